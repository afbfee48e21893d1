"""One run under watch, and those who wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from planasonix.errors import PlanasonixError
from planasonix.watch.interval import Interval
from planasonix.watch.patience import Patience
from planasonix.watch.protocols import ENDED_PHASES, Kind, WatchedRun

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Waiter:
    """One call of `wait`: its answer, and what it brought along."""

    interval: Interval
    began: float
    answer: asyncio.Future[WatchedRun]
    on_change: Callable[[WatchedRun], None] | None = None


@dataclass(eq=False)
class Watched:
    """A run, its waiters, and what was seen of it. Times are seconds of the loop's clock."""

    kind: Kind
    run_id: str
    created_at: datetime | None
    waiters: list[Waiter] = field(default_factory=list[Waiter])
    patience: Patience = field(default_factory=Patience)
    last: WatchedRun | None = None
    due_at: float = inf
    _absences: int = 0
    _confirm_at: float = 0.0
    _base_pause: float = 1.0

    @property
    def is_done(self) -> bool:
        """Nobody waits any more: all were answered, or left."""
        return all(waiter.answer.done() for waiter in self.waiters)

    def seen(self, run: WatchedRun) -> None:
        """A list or a GET showed the run."""
        self.patience.answered()
        changed = self.last is None or self.last.status != run.status
        self.last = run
        self.created_at = self.created_at or run.created_at
        for waiter in self.waiters:
            if changed and waiter.on_change is not None:
                try:
                    waiter.on_change(run)
                except Exception:
                    # One waiter's listener must not keep the news from the others.
                    log.exception("a listener of %s %s failed", self.kind, self.run_id)
            if run.phase in ENDED_PHASES and not waiter.answer.done():
                waiter.answer.set_result(run)

    def unreadable(self, error: PlanasonixError, now: float) -> None:
        """A GET failed; all waiters give up together once patience ends."""
        given_up = self.patience.failed(error, now)
        if given_up is None:
            return
        for waiter in self.waiters:
            if not waiter.answer.done():
                waiter.answer.set_exception(given_up)

    def listed_alive(self) -> None:
        self._absences = 0
        self._confirm_at = 0.0

    def confirm_is_due(self, now: float) -> bool:
        return now >= self._confirm_at

    def confirmed(self, now: float, at_most_every: int) -> None:
        """A GET found the run alive though a list did not show it: ask more rarely, up to every nth round."""
        self._absences += 1
        rounds = min(2 ** (self._absences - 1), at_most_every)
        # Half a pause of slack keeps the confirm in the intended round in spite of jitter.
        self._confirm_at = now + (rounds - 0.5) * self._base_pause

    def next_pause(self, pause: float) -> None:
        self._base_pause = pause
