"""When each watched run is due, the soonest first."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from planasonix.watch.watched import Watched


class Agenda:
    """A heap of due times. A run that is put again, or that nobody waits for, leaves a dead entry behind, which is
    dropped when its time comes: to find it earlier would cost a search among all.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Watched]] = []
        self._numbers = count()  # ties are broken before runs would be compared

    def put(self, one: Watched, due_at: float) -> None:
        """From now on the run is due then."""
        one.due_at = due_at
        heappush(self._heap, (due_at, next(self._numbers), one))

    def rebuild(self, runs: Iterable[Watched]) -> None:
        """Take the due times of all runs as they stand."""
        self._heap = [(one.due_at, next(self._numbers), one) for one in runs]
        heapify(self._heap)

    def soonest(self) -> float:
        """When the next run is due; infinity if none is."""
        while self._heap and not self._is_live(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def take(self, until: float, at_most: int | None = None) -> list[Watched]:
        """Remove and return the runs that are due until then, the soonest first."""
        taken: list[Watched] = []
        while len(taken) != at_most and self.soonest() <= until:
            taken.append(heappop(self._heap)[2])
        return taken

    @staticmethod
    def _is_live(entry: tuple[float, int, Watched]) -> bool:
        due_at, _, one = entry
        return due_at == one.due_at and bool(one.waiters)
