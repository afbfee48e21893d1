"""How far the server's clock is from ours: what it stamps on jobs is compared with moments of our own."""

from __future__ import annotations

from collections.abc import Mapping

from planasonix.errors import http_date


class ServerClock:
    """Learns from the `Date` of every answer. It has whole seconds: good enough to tell minutes and hours apart."""

    def __init__(self) -> None:
        self.offset_seconds: float | None = None

    def note(self, headers: Mapping[str, str], now: float) -> None:
        """`headers` in lower case; `now` is our Unix time when the answer had come."""
        moment = http_date(headers.get("date", ""))
        if moment is not None:
            self.offset_seconds = moment - now
