"""Events that the API does not confirm yet: they are asked about again, and hold up none of those behind them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planasonix.webhooks import StoredEvent

MOST = 1_000
"""Put off at a time; each costs the API a few reads."""


@dataclass(slots=True)
class _Waiting:
    stored: StoredEvent
    due_at: float
    tries: int = 0
    is_handed_over: bool = False


class PutOff:
    """By their numbers. One stays until Airflow has stored what came of it, so that a watermark stays below it."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}

    def again(self, stored: StoredEvent) -> bool:
        """Put the event off once more; False if it has waited for long enough, or too many wait."""
        # Not above: a watcher's modules are imported on the loop of all triggers, and that one is not small.
        from airflow_provider_planasonix.push import confirm

        waiting = self._waiting.get(stored.seq)
        if waiting is None:
            if len(self._waiting) >= MOST:
                return False
            waiting = self._waiting[stored.seq] = _Waiting(stored, 0.0)
        if waiting.tries >= len(confirm.NOT_YET_SECONDS):
            del self._waiting[stored.seq]
            return False
        waiting.due_at = time.monotonic() + confirm.NOT_YET_SECONDS[waiting.tries]
        waiting.tries += 1
        return True

    def due(self) -> list[StoredEvent]:
        """Those to be asked about now, oldest first."""
        now = time.monotonic()
        return [one.stored for _, one in sorted(self._waiting.items()) if not one.is_handed_over and one.due_at <= now]

    def due_in(self) -> float:
        """Seconds until the next is due; endless without one."""
        open_ones = [one.due_at for one in self._waiting.values() if not one.is_handed_over]
        return max(0.0, min(open_ones) - time.monotonic()) if open_ones else float("inf")

    def settle(self, seq: int, *, fires: bool) -> None:
        """The API has spoken. What fires stays until `stored` is told."""
        if fires and seq in self._waiting:
            self._waiting[seq].is_handed_over = True
        else:
            self._waiting.pop(seq, None)

    def stored(self, seq: int) -> None:
        """Airflow has stored what came of it."""
        self._waiting.pop(seq, None)

    def below(self, seq: int) -> int:
        """The number, or the last one before all that wait."""
        return min([seq, *(first - 1 for first in self._waiting)])

    def forget(self) -> None:
        self._waiting.clear()
