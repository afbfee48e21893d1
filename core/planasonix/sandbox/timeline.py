"""What is due when: one heap of future events, worked off lazily whenever somebody looks."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class Timeline:
    """Events run in the order of their virtual instants and see that instant as the present."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._ties = count()

    def at(self, when: float, action: Callable[..., None], *args: Any) -> None:
        """Calls `action(when, *args)` once virtual time has reached `when`."""
        heapq.heappush(self._heap, (when, next(self._ties), action, args))

    def settle(self, now: float) -> None:
        """Runs everything that is due, including what the events themselves add."""
        while self._heap and self._heap[0][0] <= now:
            when, _, action, args = heapq.heappop(self._heap)
            action(when, *args)

    def next_at(self) -> float | None:
        return self._heap[0][0] if self._heap else None
