"""One run under watch, and those who wait for it.

What a list says is never the end of a wait. Lists lag behind, come from caches, and may show a run as ended that was
taken up again, or as running that has ended:

==================================  ======================================================================
a list shows the run                what follows
==================================  ======================================================================
active                              nothing: no GET this round, for `LIST_BELIEVED_SECONDS` after the last one
ended                               one GET now; no other one for the same word if the GET finds it alive
not at all                          a GET, more and more rarely while it finds the run alive
==================================  ======================================================================

So a wait ends with what a GET of that very run answered, at the latest half an hour after it became true, whatever
lists say. An answer about another run than the one asked for says nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from planasonix.errors import PlanasonixError
from planasonix.watch.conclude import TimeIsUp
from planasonix.watch.interval import Interval
from planasonix.watch.patience import Patience
from planasonix.watch.protocols import ENDED_PHASES, Kind, WatchedRun

log = logging.getLogger(__name__)

LIST_BELIEVED_SECONDS = 1800.0
"""How long lists alone may say that a run goes on. Longer than most runs: the GET costs long ones two calls an hour."""


def _believed_seconds() -> float:
    # Waits that began together must not all be read in the same round.
    return LIST_BELIEVED_SECONDS * random.uniform(0.5, 1.0)


@dataclass(eq=False, slots=True)
class Waiter:
    """One call of `wait`: its answer, and what it brought along."""

    interval: Interval
    began: float
    answer: asyncio.Future[WatchedRun]
    on_change: Callable[[WatchedRun], None] | None = None
    remind_seconds: float | None = None
    told_at: float = 0.0

    def wants_reminding(self) -> bool:
        """Whether it has heard nothing for longer than it wants to; it hears of each new status anyway."""
        if self.remind_seconds is None:
            return False
        return self.answer.get_loop().time() - self.told_at >= self.remind_seconds


@dataclass(eq=False, slots=True)
class Watched:
    """A run, its waiters, and what was seen of it. Times are seconds of the loop's clock."""

    kind: Kind
    run_id: str
    created_at: datetime | None
    waiters: list[Waiter] = field(default_factory=list[Waiter])
    patience: Patience | None = None
    """Of the looks that failed since the last good one; None while there is none."""
    last: WatchedRun | None = None
    due_at: float = inf
    believed_seconds: float = field(default_factory=_believed_seconds)
    read_at: float = 0.0
    _listed_end: str | None = None
    _absences: int = 0
    _confirm_at: float = 0.0
    pause_seconds: float = 1.0

    @property
    def is_done(self) -> bool:
        """Nobody waits any more: all were answered, or left."""
        return all(waiter.answer.done() for waiter in self.waiters)

    def seen(self, run: WatchedRun) -> None:
        """A GET answered."""
        if run.id != self.run_id:
            log.warning("asked for %s %s, the API answered for %s; looking again", self.kind, self.run_id, run.id)
            return
        self.patience = None
        self._tell(run)
        if run.phase in ENDED_PHASES:
            for waiter in self.waiters:
                if not waiter.answer.done():
                    waiter.answer.set_result(run)

    def unreadable(self, error: PlanasonixError, now: float) -> None:
        """A GET failed; all waiters give up together once patience ends."""
        self.patience = self.patience or Patience()
        given_up = self.patience.failed(error, now)
        if given_up is None:
            return
        for waiter in self.waiters:
            if not waiter.answer.done():
                waiter.answer.set_exception(given_up)

    def time_is_up(self, waiter: Waiter) -> None:
        """This waiter's deadline passed."""
        if not waiter.answer.done():
            waiter.answer.set_exception(TimeIsUp(None if self.last is None else str(self.last.status)))

    def listed(self, row: WatchedRun, now: float) -> bool:
        """A list showed the run; whether that is enough for this round."""
        if row.phase in ENDED_PHASES:
            if self._listed_end != str(row.status):
                self._listed_end = str(row.status)
                self.listed_alive()
            return False
        self.listed_alive()
        self._listed_end = None
        self._tell(row)
        if now - self.read_at >= self.believed_seconds:
            return False
        self.patience = None
        return True

    def listed_alive(self) -> None:
        self._absences = 0
        self._confirm_at = 0.0

    def confirm_is_due(self, now: float) -> bool:
        return now >= self._confirm_at

    def confirmed(self, now: float, at_most_every: int) -> None:
        """A GET found the run alive though a list did not show it: ask more rarely, up to every nth round."""
        self.read_at = now
        self._absences += 1
        rounds = min(2 ** (self._absences - 1), at_most_every)
        # Half a pause of slack keeps the confirm in the intended round in spite of jitter.
        self._confirm_at = now + (rounds - 0.5) * self.pause_seconds

    def _tell(self, run: WatchedRun) -> None:
        changed = self.last is None or self.last.status != run.status
        self.last = run
        self.created_at = self.created_at or run.created_at
        for waiter in self.waiters:
            if waiter.on_change is not None and (changed or waiter.wants_reminding()):
                waiter.told_at = waiter.answer.get_loop().time()
                try:
                    waiter.on_change(run)
                except Exception:
                    # One waiter's listener must not keep the news from the others.
                    log.exception("a listener of %s %s failed", self.kind, self.run_id)
