"""A check of key and address that tells what works, what does not, and what was not looked at.

The plugins differ in what they call the places where a setting is entered: `Words` has those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planasonix.errors import (
    APIError,
    AuthenticationError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    PlanasonixError,
    RateLimitError,
    TransportError,
)

if TYPE_CHECKING:
    from planasonix.client import Planasonix


@dataclass(frozen=True)
class Words:
    """What the settings are called where the user enters them; `new_key` says how another key is entered there."""

    api_key: str = "api_key"
    new_key: str = "pass it as api_key, or set PLANASONIX_API_KEY"
    base_url: str = "base_url"
    address: str = "base_url"
    path_prefixes: str = "path_prefixes"
    proxy: str = "proxy"
    holder: str = "setting organization_id"


SKEW_SECONDS = 60.0
"""The API's `Date` has whole seconds and its answer takes a while: less than this is no finding."""

_NOT_CHECKED = (
    "Not checked, because it would start something: whether the key may start syncs and backfills, and cancel jobs."
)


def check_connection(client: Planasonix, words: Words | None = None) -> tuple[bool, str]:
    """Read what every task needs to read, and tell in a few sentences what came of it.

    Three reads, nothing is started or changed: connections, jobs (a page of one) and the organization (facts §1.1,
    §1.2, §1.5). The first two have to work; the organization is named where the key may read it.

    `client`: one whose calls are bounded in time; it is used, not closed.
    Returns whether a task can work with it, and the text. Never raises an error of planasonix.
    """
    words = words or Words()
    host = client.config.host
    try:
        found = len(client.connections.list_page().rows)
    except PlanasonixError as error:
        return False, _with_clock(client, explained(error, "list connections", "connections", words))
    try:
        client.jobs.list_page(limit=1)
    except PlanasonixError as error:
        return False, _with_clock(client, explained(error, "read jobs, and every wait would fail", "jobs", words))
    organization, right_one = _organization(client, words)
    text = f"{host} accepted the key. {organization} Its {found} connections and its jobs can be read."
    return right_one, _with_clock(client, text, also=_NOT_CHECKED)


def explained(error: PlanasonixError, what: str, things: str, words: Words) -> str:
    """An error, for the person who fills in the form: what happened, which field to look at, then the error itself.

    `what`: what the key may not do, should that be it. `things`: what could not be read.
    """
    if isinstance(error, AuthenticationError):
        text = (
            f"The server was reached, but does not accept the API key ({words.api_key}): it is mistyped, revoked or "
            f"expired, or another server's. Make a new one in Planasonix, Settings, API keys, and {words.new_key}"
        )
    elif isinstance(error, PermissionDeniedError):
        text = (
            f"The key is known, but may not {what}: it lacks the right to read {things}, "
            "or this address is not on the organization's allow-list"
        )
    elif isinstance(error, NotFoundError):
        where = f"{words.base_url}, and {words.path_prefixes}"
        text = f"The server was reached, but has no Planasonix API there: check {where}"
    elif isinstance(error, RateLimitError):
        text = "The server was reached and limits the rate now: try again later"
    elif isinstance(error, TransportError):
        text = f"The server was not reached: check {words.address}, {words.proxy}, and the network"
    elif isinstance(error, InvalidResponseError):
        text = f"Something answered that is not the Planasonix API: check {words.base_url}"
    elif isinstance(error, APIError):
        text = "The server was reached, but failed"
    else:
        return str(error)
    return f"{text}. {error}"


def _organization(client: Planasonix, words: Words) -> tuple[str, bool]:
    """A sentence on the organization, and whether it is the one that the connection names."""
    wanted = client.config.organization_id
    try:
        found = client.organization.get()
    except PermissionDeniedError:
        return "Which organization it belongs to is not known: it may not read that.", True
    except PlanasonixError as error:
        return f"Which organization it belongs to is not known: {error.headline()}.", True
    name = f"{found.name} ({found.id})" if found.name else found.id
    if wanted and found.id != wanted:
        return (
            f"It belongs to the organization {name}, but the {words.holder} names {wanted}: mend organization_id.",
            False,
        )
    return f"It belongs to the organization {name}.", True


def _with_clock(client: Planasonix, text: str, *, also: str | None = None) -> str:
    """The text, and a sentence on this machine's clock if it is far from the API's: one good answer has to tell."""
    from planasonix.runs.reporting import duration

    parts = [text]
    offset = client.clock_offset_seconds
    if offset is not None and abs(offset) >= SKEW_SECONDS:
        way = "behind" if offset > 0 else "ahead of"
        parts.append(
            f"This machine's clock is {duration(abs(offset))} {way} the API's: deadlines and durations will be off by "
            "that, so set it by a time server."
        )
    if also:
        parts.append(also)
    return " ".join(parts)
