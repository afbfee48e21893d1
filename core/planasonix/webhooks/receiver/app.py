"""The web application that takes deliveries."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from planasonix.errors import ConfigurationError, SignatureError
from planasonix.webhooks.event import Event, UnreadableEvent
from planasonix.webhooks.inbox.records import Added, Arrival, InboxUnavailable
from planasonix.webhooks.receiver.body import Refused, check_head, read_body
from planasonix.webhooks.receiver.refusals import RefusalLog
from planasonix.webhooks.signatures import (
    HORIZON,
    SIGNATURE,
    Scheme,
    UnmatchedSignature,
    authenticate,
    check_age,
    checked_schemes,
)

if TYPE_CHECKING:
    from planasonix.webhooks.secrets_source import SigningSecrets

log = logging.getLogger(__name__)

PATH = "/planasonix/webhooks"
HEALTH_PATH = "/healthz"
MOST_BYTES = 1_048_576
MOST_AT_ONCE = 256
"""Deliveries in memory, each of `MOST_BYTES` at most."""
RETRY_AFTER_SECONDS = 5
_HEALTH_SECONDS = 5.0
_FAILURE_SECONDS = 30.0
_UNMATCHED_HINT = ": no known secret signed it. `planasonix webhooks rotate` makes one that the secrets file holds."
"""A store that can be read may still take nothing: locked, full. Longer than this a failure says nothing, for nobody
would send anything more to a receiver that is taken for ill."""


class Writer(Protocol):
    """What the receiver needs of a `GroupWriter`."""

    async def submit(self, arrival: Arrival) -> Added: ...


def receiver_app(
    writer: Writer,
    secrets: SigningSecrets,
    *,
    scheme: Scheme = "timestamped",
    path: str = PATH,
    health_path: str = HEALTH_PATH,
    check_store: Callable[[], object] | None = None,
    most_bytes: int = MOST_BYTES,
    most_at_once: int = MOST_AT_ONCE,
    body_timeout_seconds: float = 10.0,
    horizon: timedelta = HORIZON,
) -> Starlette:
    """Returns an app to run alone or to mount: deliveries at `path`, health at `health_path`.

    A delivery is answered 200 once it is durable, or was before; 4xx with an empty body if it is not proven to be
    genuine; 503 with Retry-After if the sender should come again: the store is away, too many are under way, or a
    secret is being changed. `check_store` (in a thread) raises where the store is away, for the health route; an
    inbox's `last_seq` will do. Health is 503 too while the newest delivery could not be stored. `horizon` is how old
    the body may say that it is, under the scheme `body`.

    Raises `ConfigurationError` for a scheme or a bound that cannot be.
    """
    (pinned,) = checked_schemes((scheme,))
    for field, bound in (("most_bytes", most_bytes), ("most_at_once", most_at_once)):
        if bound < 1:
            raise ConfigurationError(f"{field} must be 1 or more.", field=field)
    receiver = _Receiver(writer, secrets, pinned, most_bytes, most_at_once, body_timeout_seconds, horizon)

    async def health(request: Request) -> Response:
        try:
            if check_store is not None:
                async with asyncio.timeout(_HEALTH_SECONDS):
                    await asyncio.to_thread(check_store)
        except Exception as error:
            log.warning("The inbox is away: %s", type(error).__name__)
            return _answer(503)
        if receiver.fails():
            return _answer(503)
        return Response("ok\n", media_type="text/plain")

    app = Starlette(routes=[Route(path, receiver), Route(health_path, health, methods=["GET"])])
    app.router.redirect_slashes = False
    return app


class _Receiver:
    def __init__(
        self,
        writer: Writer,
        secrets: SigningSecrets,
        scheme: Scheme,
        most_bytes: int,
        most_at_once: int,
        body_timeout_seconds: float,
        horizon: timedelta,
    ) -> None:
        self._writer, self._secrets, self._horizon = writer, secrets, horizon
        self._scheme: Scheme = scheme
        self._most_bytes, self._most_at_once = most_bytes, most_at_once
        self._body_timeout_seconds = body_timeout_seconds
        self._at_once = 0
        self._failed_at: float | None = None
        self._refusals = RefusalLog(log)

    def fails(self) -> bool:
        """Whether the store has just turned a delivery away, and taken none since."""
        return self._failed_at is not None and time.monotonic() - self._failed_at < _FAILURE_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._at_once >= self._most_at_once:
            await _answer(503)(scope, receive, send)
            return
        self._at_once += 1
        digest, unread = "", False
        try:
            status, digest, told = await self._receive(scope, receive)
        except Refused as refused:
            status, told, unread = refused.status, refused.outcome, True
        except InboxUnavailable:
            status, told, self._failed_at = 503, "inbox away", time.monotonic()
        except Exception as error:
            # The sender comes again, and nothing of the delivery gets into a traceback.
            status, told = 503, f"failed: {type(error).__name__}"
        finally:
            self._at_once -= 1
        if status == 200:
            log.info("Delivery 200: %s %s", digest, told)
        else:
            self._refusals.tell(status, digest, told)
        await _answer(status, unread=unread)(scope, receive, send)

    def _scheme_hint(self, body: bytes, headers: Headers) -> str:
        """What to do where a secret of ours has signed it, in the scheme that is not set."""
        other: Scheme = "body" if self._scheme == "timestamped" else "timestamped"
        try:
            authenticate(body, headers.raw, self._secrets, schemes=(other,))
        except SignatureError:
            return ""
        return (
            f" It is genuine in the scheme {other!r}; {self._scheme!r} is set. `planasonix webhooks probe` tells which."
        )

    async def _receive(self, scope: Scope, receive: Receive) -> tuple[int, str, str]:
        """The status, what names the delivery, and what is told of it."""
        if scope["method"] != "POST":
            raise Refused(405, "method")
        headers = Headers(scope=scope)
        check_head(headers, self._most_bytes)
        if SIGNATURE not in headers:
            # Before the body: it would be read, a mebibyte of it, to learn no more.
            raise Refused(401, f"The header {SIGNATURE} is missing.")
        body = await read_body(receive, most_bytes=self._most_bytes, timeout_seconds=self._body_timeout_seconds)
        digest = hashlib.sha256(body).hexdigest()[:12]
        try:
            match = authenticate(body, headers.raw, self._secrets, schemes=(self._scheme,))
        except UnmatchedSignature:
            rotating = self._secrets.is_rotating()
            told = " while rotating" if rotating else self._scheme_hint(body, headers) or _UNMATCHED_HINT
            return (503 if rotating else 401), digest, f"unmatched{told}"
        except SignatureError as error:
            return 401, digest, f"{error.message}{self._scheme_hint(body, headers)}"
        try:
            event = Event.parse(body)
        except UnreadableEvent as error:
            added = await self._writer.submit(Arrival.unreadable(body, str(error)))
            what = "unreadable"
        else:
            try:
                check_age(event, (self._scheme,), now=None, horizon=self._horizon)
            except SignatureError as error:
                return 401, digest, error.message
            added = await self._writer.submit(Arrival.of(event))
            what = f"{event.type} {event.event_id}"
        self._failed_at = None
        return 200, digest, f"{what} {'again' if added.duplicate else 'stored'}, secret {match.secret_index}"


def _answer(status: int, *, unread: bool = False) -> Response:
    headers: dict[str, str] = {}
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    elif status == 405:
        headers["allow"] = "POST"
    if unread:
        headers["connection"] = "close"  # the rest of the body may still come
    return Response(status_code=status, headers=headers)
