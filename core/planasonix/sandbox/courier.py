"""The thread that posts deliveries, so that no call of the API ever waits for a receiver."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from .deliveries import Shipment

NOT_ALLOWED = "target not allowed: the sandbox delivers to loopback and to delivery_hosts only"


class Courier:
    """Runs `work` whenever it is woken or the time that `work` returned has passed."""

    def __init__(self, work: Callable[[], float | None]) -> None:
        self._work = work
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        self._wake.set()

    def ensure_running(self) -> None:
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name="planasonix-sandbox-courier", daemon=True)
            self._thread.start()
        self.wake()

    def stop(self) -> None:
        self._stopped = True
        self.wake()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None

    def _run(self) -> None:
        while not self._stopped:
            pause = self._work()
            self._wake.wait(pause)
            self._wake.clear()


def post(shipment: Shipment) -> tuple[int | None, str | None]:
    """One attempt: the HTTP status, or None and what went wrong. Redirects are answers, not directions."""
    if not shipment.allowed:
        return None, NOT_ALLOWED
    parts = urlsplit(shipment.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=shipment.timeout_seconds)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body=shipment.delivery.body, headers=shipment.headers)
        response = connection.getresponse()
        response.read(65_536)
        return response.status, None
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return None, str(exc) or type(exc).__name__
    finally:
        connection.close()
