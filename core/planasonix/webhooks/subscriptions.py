"""Subscriptions that any number of calls make only once, and secrets that change without a lost delivery.

No secret is returned by anything here: orchestrators store what a task returns.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from planasonix.errors import ConfigurationError, PlanasonixError
from planasonix.webhooks.secrets_file import SecretsFile, checked_secret, new_secret

if TYPE_CHECKING:
    from planasonix.client import Planasonix
    from planasonix.models import Webhook

DEFAULT_EVENTS = ("job.succeeded", "job.failed", "backfill.completed")
"""All that are published (facts §3.1). Other ends come by the sweep."""
OVERLAP = timedelta(hours=24)
"""How long an old secret stays valid: deliveries that were signed with it may still be tried again."""
ROTATION_AT_MOST = timedelta(hours=1)
NOTICE_SECONDS = 2.0
"""What receivers get to see the file's mark before the API may sign with a secret that they cannot know."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL_NAMES = (".local", ".localhost", ".internal", ".lan", ".home.arpa")


@dataclass(frozen=True)
class Subscribed:
    """What became of a subscription: its id, what was done, and what its owner should know."""

    webhook_id: str
    done: Literal["created", "updated", "unchanged", "rotated", "replaced"]
    warnings: tuple[str, ...] = ()


def subscribe(
    client: Planasonix,
    url: str,
    events: Sequence[str] = DEFAULT_EVENTS,
    *,
    secret: str | None = None,
    secrets_file: str | None = None,
    enable: bool = False,
) -> Subscribed:
    """Have the events sent to the URL; returns the id only.

    Idempotent by URL: a subscription that is there gets the events and stays otherwise, `enable` switches one on that
    is off. `secret` is what a new one signs with. With `secrets_file`, the receiver's file, it is written there first,
    so that the first delivery can be verified; left out, one is made.

    Raises `ConfigurationError` for a URL, secret or file that cannot be, and what the API raises.

    >>> from planasonix import Planasonix
    >>> from planasonix.sandbox import Sandbox
    >>> client = Planasonix("plnx_live_sandbox", transport=Sandbox().transport())
    >>> secret = "whsec_0123456789abcdef"
    >>> first = subscribe(client, "https://etl.example.com/planasonix/webhooks", secret=secret)
    >>> again = subscribe(client, "https://etl.example.com/planasonix/webhooks", secret=secret)
    >>> first.done, again.done, again.webhook_id == first.webhook_id
    ('created', 'unchanged', True)
    """
    warnings = list(url_warnings(url))
    wanted = sorted(set(events))
    file = None if secrets_file is None else SecretsFile(secrets_file)
    if secret is not None:
        checked_secret(secret)
    found, others = _found(client, url)
    if others:
        names = ", ".join(one.id for one in others)
        warnings.append(f"More subscriptions have this URL, so that each event comes more than once: {names}.")
    if found is None:
        return Subscribed(_create(client, url, wanted, secret, file), "created", tuple(warnings))
    if file is not None and file.is_empty():
        warnings.append(
            "The subscription is older than the file of secrets, which is empty: nothing can be verified. "
            f"Run: planasonix webhooks rotate {found.id} --secrets-file FILE"
        )
    if found.enabled is False and not enable:
        warnings.append("The subscription is switched off: nothing is sent. Switch it on with --enable.")
    if sorted(found.events) == wanted and (found.enabled is not False or not enable):
        return Subscribed(found.id, "unchanged", tuple(warnings))
    client.webhooks.update(found.id, events=wanted, enabled=True if enable else None)
    return Subscribed(found.id, "updated", tuple(warnings))


def rotate(
    client: Planasonix,
    webhook_id: str,
    secrets_file: str,
    *,
    secret: str | None = None,
    overlap: timedelta = OVERLAP,
    sleep: Callable[[float], object] = time.sleep,
) -> Subscribed:
    """Change the secret of a subscription without losing a delivery; returns the id only.

    Without `secret` the API makes the new one and may sign with it before we know it. So the file is marked first:
    receivers answer 503 to what they cannot verify, and the sender tries again. With `secret` nothing needs to be tried
    again: it is in the file first, then a second subscription signs with it and the first one is deleted, because
    no call takes a secret for a subscription that is there (facts §1.1); the id is a new one then. The old secret
    stays valid for `overlap`.

    Rotations with one file on one machine happen one after the other.

    Raises `ConfigurationError`, and what the API raises. Where the API's answer was lost the mark stays for an hour:
    call again before it ends.
    """
    file = SecretsFile(secrets_file)
    with file.held():
        if secret is not None:
            return _replace(client, webhook_id, file, checked_secret(secret), overlap)
        before = file.mark_rotating(webhook_id, datetime.now(UTC) + ROTATION_AT_MOST)
        sleep(NOTICE_SECONDS)
        try:
            made = client.webhooks.rotate_secret(webhook_id)
        except PlanasonixError as error:
            if error.outcome in ("not_sent", "refused"):
                # One that stood there tells of a lost answer: that secret may sign already.
                file.mark_rotating(webhook_id, before)
            raise
        file.rotated(webhook_id, made.signing_secret.get_secret_value(), overlap=overlap)
        return Subscribed(webhook_id, "rotated")


def url_warnings(url: str) -> tuple[str, ...]:
    """What speaks against a receiver's URL. Raises `ConfigurationError` for one that cannot be."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in _DEFAULT_PORTS or not host or url != url.strip():
        raise ConfigurationError(
            "url must be the receiver's address, as in https://etl.example.com/planasonix/webhooks.", field="url"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            "url must not hold a user or password: everybody who may list subscriptions sees it.", field="url"
        )
    warnings: list[str] = []
    if parts.scheme == "http":
        warnings.append("http:// lets everybody on the way read the events; the API asks for https.")
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        warnings.append(f"Port {port} is not the usual one of {parts.scheme}: see that it can be reached.")
    if _is_private(host):
        warnings.append(f"{host} is a private, link-local or loopback address: Planasonix's cloud cannot reach it.")
    return tuple(warnings)


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_global
    except ValueError:
        # Names are not resolved: what they mean here is not what they mean to the sender.
        return host == "localhost" or "." not in host or host.endswith(_LOCAL_NAMES)


def _found(client: Planasonix, url: str) -> tuple[Webhook | None, list[Webhook]]:
    """The subscription of this URL that counts, and the others: one that is switched on before one that is not, then
    the oldest.
    """
    same = [one for one in client.webhooks.list() if one.url is not None and _same_url(one.url, url)]
    never = datetime.max.replace(tzinfo=UTC)
    same.sort(key=lambda one: (one.enabled is False, one.created_at or never, one.id))
    return (same[0], same[1:]) if same else (None, [])


def _same_url(one: str, other: str) -> bool:
    return _canonical(one) == _canonical(other)


def _canonical(url: str) -> tuple[object, ...]:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme,
            parts.hostname,
            parts.port or _DEFAULT_PORTS.get(parts.scheme),
            parts.path or "/",
            parts.query,
        )
    except ValueError:
        return (url,)


def _create(client: Planasonix, url: str, events: list[str], secret: str | None, file: SecretsFile | None) -> str:
    if secret is None and file is None:
        raise ConfigurationError(
            "secret is missing: what the new subscription signs with.",
            field="secret",
            hint="Supply one of 16 bytes or more, or a secrets_file, into which a new one is written.",
        )
    secret = secret or new_secret()
    if file is not None:
        file.add(secret)
    try:
        made_id = client.webhooks.create(url, events, secret).id
    except PlanasonixError as error:
        if error.outcome in ("not_sent", "refused"):
            if file is not None:
                file.drop(secret)
            raise
        # The answer was lost: the subscription may be there, with this secret.
        found, _ = _found(client, url)
        if found is None:
            raise
        made_id = found.id
    if file is not None:
        file.belongs_to(secret, made_id)
    return made_id


def _replace(client: Planasonix, webhook_id: str, file: SecretsFile, secret: str, overlap: timedelta) -> Subscribed:
    old = client.webhooks.get(webhook_id)
    if old.url is None:
        raise ConfigurationError(
            f"The API does not show the URL of {webhook_id}: it cannot be made again.",
            field="secret",
            hint="Leave the secret out: then the API makes a new one.",
        )
    file.add(secret)
    others = {one.id for one in client.webhooks.list()}
    try:
        new_id = client.webhooks.create(old.url, [*old.events] or [*DEFAULT_EVENTS], secret).id
    except PlanasonixError as error:
        if error.outcome in ("not_sent", "refused"):
            file.drop(secret)
            raise
        made = [one.id for one in client.webhooks.list() if one.id not in others and one.url == old.url]
        if len(made) != 1:
            raise
        new_id = made[0]
    # Until now both have sent each event: the inbox keeps one of the two.
    client.webhooks.delete(webhook_id)
    file.rotated(webhook_id, secret, new_id=new_id, overlap=overlap)
    return Subscribed(new_id, "replaced")
