"""The ends that somebody heard of before anybody here waited for them.

A short run may end, and its event arrive, before the process that started it begins to wait. Its first look might then
be ten minutes away. So the last events are kept for a while: a hint for that first look, as every event.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection
from queue import Empty, SimpleQueue

from planasonix.watch.protocols import Kind

RunKey = tuple[Kind, str]

KEPT = 10_000
"""Of the newest; some 2 MiB. Older ones cost their waiter no more than its poll interval."""
LOOKS_AFTER_SECONDS = (2.0, 10.0)
"""An API may tell of an end before its own GET shows it. A run that is found alive is read again so much later."""
_APART_SECONDS = 1.0
"""Between two looks at one run that events ask for, however many come."""


class Heard:
    """The runs of the newest events. Written by a listener's thread, read by the event loops of all waiters."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._runs: OrderedDict[RunKey, None] = OrderedDict()
        self._ears: list[Ear] = []

    def note(self, kind: Kind, run_id: str) -> None:
        """Somebody said that this run has ended."""
        with self._lock:
            self._runs[kind, run_id] = None
            self._runs.move_to_end((kind, run_id))
            while len(self._runs) > self._kept:
                self._runs.popitem(last=False)
        for ear in tuple(self._ears):
            ear.hears((kind, run_id))

    def knows(self, kind: Kind, run_id: str) -> bool:
        """Whether somebody said so lately."""
        return (kind, run_id) in self._runs

    def ear_for(self, runs: Collection[RunKey]) -> Ear:
        """For a thread that waits for these runs; a context manager."""
        return Ear(self._ears, runs, [run for run in runs if self.knows(*run)])


class Ear:
    """For a wait that blocks its thread: its pauses end when somebody says that one of its runs has ended.

    Takes no lock: orchestrators end a wait by raising in the middle of whatever its thread does, and a lock that is
    held then would stop the listener for all.
    """

    def __init__(self, ears: list[Ear], runs: Collection[RunKey], known: Collection[RunKey]) -> None:
        self._ears = ears
        self._runs = frozenset(runs)
        self._news: SimpleQueue[RunKey] = SimpleQueue()
        self._later: list[tuple[float, RunKey]] = []
        self._heard_at: dict[RunKey, float] = {}
        for run in known:
            self._look_later(run)

    def __enter__(self) -> Ear:
        self._ears.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._ears.remove(self)

    def hears(self, run: RunKey) -> None:
        """Called by whichever thread has the news."""
        if run in self._runs:
            self._news.put(run)

    def pause(self, seconds: float) -> RunKey | None:
        """Sleep so long, or until a run is to be looked at sooner: that one is returned, else None."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            due, run = min([*self._later, (until, None)], key=lambda one: one[0])
            if due <= now:
                if run is not None:
                    self._later.remove((due, run))
                return run
            try:
                heard = self._news.get(timeout=due - now)
            except Empty:
                continue
            now = time.monotonic()
            if now - self._heard_at.get(heard, -_APART_SECONDS) >= _APART_SECONDS:
                self._look_later(heard)
                return heard

    def _look_later(self, run: RunKey) -> None:
        now = self._heard_at[run] = time.monotonic()
        self._later = [one for one in self._later if one[1] != run]
        self._later += [(now + seconds, run) for seconds in LOOKS_AFTER_SECONDS]


HEARD = Heard()
"""One for the process: an id names the same run wherever it is waited for."""
