"""The sandbox's own time: the real clock times a speed, plus what a test adds by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple


class _Anchor(NamedTuple):
    """One point where both clocks are known; time runs on from it at `speed`."""

    virtual: float
    monotonic: float
    speed: float


class VirtualClock:
    """Virtual UTC time.

    Args:
        speed: virtual seconds per real second. 0 makes the clock fully manual: it moves by `advance` only.
        start: first virtual instant, aware; the present when left out.
    """

    def __init__(self, speed: float = 1.0, *, start: datetime | None = None) -> None:
        if speed < 0:
            raise ValueError("speed must not be negative: virtual time never runs backwards")
        if start is not None and start.tzinfo is None:
            raise ValueError("start must be an aware datetime")
        first = start.timestamp() if start else time.time()
        # One tuple, replaced as a whole, lets other threads read the clock without a lock.
        self._anchor = _Anchor(first, time.monotonic(), speed)

    @classmethod
    def manual(cls, start: datetime | None = None) -> VirtualClock:
        """A clock that stands still until `advance`."""
        return cls(0.0, start=start)

    @property
    def speed(self) -> float:
        return self._anchor.speed

    @property
    def is_manual(self) -> bool:
        return self._anchor.speed == 0

    def time(self) -> float:
        """Virtual seconds since the epoch."""
        anchor = self._anchor
        return anchor.virtual + (time.monotonic() - anchor.monotonic) * anchor.speed

    def now(self) -> datetime:
        """The virtual instant, aware, UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def advance(self, seconds: float) -> None:
        """Jumps `seconds` of virtual time ahead."""
        if seconds < 0:
            raise ValueError("virtual time never runs backwards")
        self._anchor = self._anchor._replace(virtual=self._anchor.virtual + seconds)

    def set_speed(self, speed: float) -> None:
        """Changes the speed from now on; the virtual instant stays."""
        if speed < 0:
            raise ValueError("speed must not be negative: virtual time never runs backwards")
        self._anchor = _Anchor(self.time(), time.monotonic(), speed)

    def real_seconds(self, virtual_seconds: float) -> float:
        """How long a caller has to wait for `virtual_seconds`; on a manual clock callers count virtually."""
        return virtual_seconds if self.is_manual else virtual_seconds / self.speed

    def caller_time(self) -> float:
        """The epoch seconds that a caller of the API reads on its own clock."""
        return self.time() if self.is_manual else time.time()


def to_text(at: float | None) -> str | None:
    """Epoch seconds as the API writes them: UTC, whole seconds, `Z`."""
    return None if at is None else _text(int(at // 1))


@lru_cache(maxsize=65_536)
def _text(second: int) -> str:
    moment = time.gmtime(second)
    return (
        f"{moment.tm_year:04}-{moment.tm_mon:02}-{moment.tm_mday:02}"
        f"T{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}Z"
    )
