"""The ends that somebody heard of before anybody here waited for them.

A short run may end, and its event arrive, before the process that started it begins to wait. Its first look might then
be ten minutes away. So the last events are kept for a while: a hint for that first look, as every event.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from planasonix.watch.protocols import Kind

KEPT = 10_000
"""Of the newest; some 2 MiB. Older ones cost their waiter no more than its poll interval."""


class Heard:
    """The runs of the newest events. Written by a listener's thread, read by the event loops of all waiters."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._runs: OrderedDict[tuple[Kind, str], None] = OrderedDict()

    def note(self, kind: Kind, run_id: str) -> None:
        """Somebody said that this run has ended."""
        with self._lock:
            self._runs[kind, run_id] = None
            self._runs.move_to_end((kind, run_id))
            while len(self._runs) > self._kept:
                self._runs.popitem(last=False)

    def knows(self, kind: Kind, run_id: str) -> bool:
        """Whether somebody said so lately."""
        return (kind, run_id) in self._runs


HEARD = Heard()
"""One for the process: an id names the same run wherever it is waited for."""
