"""Finds out how a tenant signs: a temporary subscription, one test delivery, and every scheme tried on it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from planasonix.errors import PlanasonixError, SignatureError
from planasonix.webhooks.secrets_file import new_secret
from planasonix.webhooks.secrets_source import SigningSecrets
from planasonix.webhooks.signatures import Match, Scheme, authenticate

if TYPE_CHECKING:
    from planasonix.client import Planasonix

_MOST_BYTES = 1_048_576
_SCHEMES: tuple[Scheme, ...] = ("timestamped", "body")


class ProbeFailed(PlanasonixError):
    """Nothing arrived in time, or nothing that a known scheme explains."""


def probe(
    client: Planasonix,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    url: str | None = None,
    timeout_seconds: float = 60.0,
    listening: Callable[[int], object] | None = None,
) -> Match:
    """Returns the scheme, and the form of the key, that the tenant's test delivery verifies with.

    Listens on `host` and `port` (0: a free one) for one delivery to `url`, which a proxy may lead there; without it the
    tenant must reach that address itself. The subscription that it makes is deleted again. Raises `ProbeFailed`, and
    what the API raises.
    """
    arrived: queue.Queue[tuple[bytes, list[tuple[str, str]]]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit() and int(length) <= _MOST_BYTES):
                self.send_error(400)
                return
            arrived.put((self.rfile.read(int(length)), list(self.headers.items())))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the standard library's would print what strangers send."""

    secret = new_secret()
    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="planasonix-webhook-probe", daemon=True).start()
    try:
        target = url or f"http://{host}:{server.server_port}/planasonix/webhooks"
        if listening is not None:
            listening(server.server_port)
        made = client.webhooks.create(target, ["job.succeeded"], secret)
        try:
            client.webhooks.test(made.id)
            return _explained(arrived, SigningSecrets(secret), timeout_seconds)
        finally:
            client.webhooks.delete(made.id)
    finally:
        server.shutdown()
        server.server_close()


def _explained(
    arrived: queue.Queue[tuple[bytes, list[tuple[str, str]]]], secrets: SigningSecrets, timeout_seconds: float
) -> Match:
    try:
        body, headers = arrived.get(timeout=timeout_seconds)
    except queue.Empty:
        raise ProbeFailed(
            f"No test delivery arrived within {timeout_seconds:g} s.",
            hint="Name an address that the tenant can reach with --url, and lead it to this host and port.",
        ) from None
    for scheme in _SCHEMES:
        try:
            return authenticate(body, headers, secrets, schemes=(scheme,))
        except SignatureError:
            continue
    # Of the value only its length: it may be of use to support, and of none to anybody else.
    shapes = ", ".join(f"{name} ({len(value)} characters)" for name, value in headers if "planasonix" in name.lower())
    raise ProbeFailed(f"The delivery fits no known scheme; its headers: {shapes or 'none of Planasonix'}.")
