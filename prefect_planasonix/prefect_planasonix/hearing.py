"""What a wait hears of its job: to the log now and then, to Prefect's pages each time."""

from __future__ import annotations

import time
from collections.abc import Callable

from planasonix.runs import REMIND_SECONDS, RunHandle, Story
from planasonix.watch import WatchedRun


class Hearing:
    """For `on_change` of a wait that is reminded often: tells the log of each new status, and of the same one every
    ten minutes; `tell` hears of each look.
    """

    def __init__(
        self,
        handle: RunHandle,
        log: Callable[[str], object],
        tell: Callable[[WatchedRun], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = Story().listener(handle.kind, log)
        self._tell = tell
        self._now = now
        self._status: object = None
        self._told_at = now()

    def __call__(self, run: WatchedRun) -> None:
        now = self._now()
        if run.status != self._status or now - self._told_at >= REMIND_SECONDS:
            self._status, self._told_at = run.status, now
            self._log(run)
        self._tell(run)
