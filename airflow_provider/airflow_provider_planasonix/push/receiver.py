"""The receiver on Airflow's API server: made at the first delivery, in the process that takes it.

Airflow puts no login before a plugin's application: a delivery proves itself by its signature, and nothing else is
let in. A wrong setting must not keep the API server from starting, so that it is told in an answer and a line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix.push import options
from planasonix.errors import ConfigurationError, PlanasonixError, redact

if TYPE_CHECKING:
    from planasonix.webhooks import SigningSecrets

log = logging.getLogger(__name__)

URL_PREFIX = "/planasonix"
PATH = "/webhooks"
"""Below the prefix: deliveries go to `<API server>/planasonix/webhooks`."""
HEALTH_PATH = "/healthz"
TRY_AGAIN_SECONDS = 15.0
"""How long a setting that was found wrong is not looked at again: each look may ask a secrets backend."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class MountedReceiver:
    """The application that Airflow mounts. `make` builds the receiver; where it raises, all is answered 503."""

    def __init__(self, make: Callable[[], App] | None = None) -> None:
        self._make = make or make_receiver
        self._app: App | None = None
        self._making: asyncio.Lock | None = None
        self._failed_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app or await self._made()
        if app is not None:
            await app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"retry-after", str(int(TRY_AGAIN_SECONDS)).encode()), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

    async def _made(self) -> App | None:
        if self._making is None:
            self._making = asyncio.Lock()
        async with self._making:
            if self._app is None and time.monotonic() - self._failed_at > TRY_AGAIN_SECONDS:
                try:
                    # In a thread: settings may be a command's output, and the database driver takes its time.
                    self._app = await asyncio.to_thread(self._make)
                except Exception as error:
                    self._failed_at = time.monotonic()
                    log.error("Deliveries of Planasonix are answered 503: %s", _told(error))
            return self._app


def make_receiver() -> App:
    """The receiver that the section `[planasonix]` describes. Raises `ConfigurationError`, which names the option."""
    url = options.inbox_url()
    if url is None:
        raise ConfigurationError("[planasonix] inbox_url is not set.", field="inbox_url")
    scheme = options.text("webhook_scheme", options.DEFAULT_SCHEME)
    if scheme not in ("timestamped", "body"):
        raise ConfigurationError(
            f"[planasonix] webhook_scheme must be 'timestamped' or 'body', got {scheme!r}.", field="webhook_scheme"
        )
    secrets = signing_secrets()
    from planasonix.webhooks.inbox import GroupWriter, Inbox
    from planasonix.webhooks.receiver import receiver_app

    # Lazy: the API server starts, and senders are told to come again, while the inbox is away.
    inbox = Inbox.open(url, lazy=True)
    return receiver_app(
        GroupWriter(inbox),
        secrets,
        scheme=scheme,
        path=PATH,
        health_path=HEALTH_PATH,
        check_store=inbox.last_seq,
    )


def signing_secrets() -> SigningSecrets:
    """The secrets of the section, those of the file first. Raises `ConfigurationError`, which names the option."""
    from planasonix.webhooks import SigningSecrets

    path = options.text("webhook_secrets_file")
    name = "webhook_secrets_file" if path else "webhook_secrets"
    try:
        if path:
            return SigningSecrets.from_file(path)
        return SigningSecrets(one.strip() for one in options.text(name).split(",") if one.strip())
    except ConfigurationError as error:
        raise ConfigurationError(
            f"[planasonix] {name}: {error.message}",
            field=name,
            hint="Set webhook_secrets, or webhook_secrets_file, to what the webhook was made with.",
        ) from None


def _told(error: Exception) -> str:
    """One line that never shows a password."""
    return error.headline() if isinstance(error, PlanasonixError) else redact(repr(error))
