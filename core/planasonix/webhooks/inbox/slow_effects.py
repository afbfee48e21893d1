"""An effect that hangs holds up all events behind it: whoever reads the log must hear of it while it does."""

from __future__ import annotations

import time
from collections.abc import Callable

from planasonix.webhooks.inbox.records import StoredEvent


class WatchedEffect:
    """The effect, and since when it is at which event: called in one thread, asked in another."""

    def __init__(
        self,
        consumer: str,
        effect: Callable[[StoredEvent], object],
        slow_seconds: float,
        log: Callable[[str, str], None],
    ) -> None:
        self.slow_seconds = slow_seconds
        self._consumer, self._effect, self._log = consumer, effect, log
        self._doing: tuple[StoredEvent, float] | None = None
        self._told: tuple[StoredEvent, float] | None = None
        self._next_at = slow_seconds

    def __call__(self, stored: StoredEvent) -> object:
        self._doing = (stored, time.monotonic())
        try:
            return self._effect(stored)
        finally:
            self._doing = None

    def tell_if_slow(self) -> None:
        """Say so once at `slow_seconds`, and again each time that the effect has taken twice as long."""
        doing = self._doing
        if doing is None:
            return
        if doing is not self._told:
            self._told, self._next_at = doing, self.slow_seconds
        stored, since = doing
        seconds = time.monotonic() - since
        if seconds < self._next_at:
            return
        self._next_at = 2 * seconds
        self._log(
            "warning",
            f"{self._consumer} is at event {stored.seq} ({stored.event.type}) for {seconds:.0f} s, and the events "
            "behind it wait. If what it acts on hangs, restart this process: the event is tried again.",
        )
