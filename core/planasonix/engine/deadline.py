"""One moment after which a call is over, whatever it is doing."""

from __future__ import annotations

from dataclasses import dataclass

from planasonix.engine.clock import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock; `at=None` means never. It bounds tries, sleeps and queueing
    together.
    """

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None, clock: Clock) -> Deadline:
        """The deadline `seconds` from now; None for no deadline."""
        return cls(None if seconds is None else clock.monotonic() + seconds)

    def remaining(self, now: float) -> float:
        """Seconds left at the monotonic time `now`, never negative, infinite without a deadline."""
        return float("inf") if self.at is None else max(0.0, self.at - now)
