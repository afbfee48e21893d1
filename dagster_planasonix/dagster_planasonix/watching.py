"""What a wait hears of its job, and whether anybody still wants that: not every end of a run sends a signal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dagster as dg

from dagster_planasonix.termination import state_of_run
from planasonix.runs import REMIND_SECONDS
from planasonix.watch import WatchedRun

ASK_SECONDS = 30.0
"""How often the run's status is asked for: a question of Dagster's database, not of the API."""


class Listener:
    """For `on_change` of a wait, with `remind_seconds=ASK_SECONDS`.

    Tells `tell` of each new status, and of the same one every ten minutes. Raises `DagsterExecutionInterruptedError`
    where Dagster has ended the run, or given it up, without a word to this process: its worker was killed and its step
    was not, or an executor does not forward the signal. As a `BaseException` that ends the wait.
    """

    def __init__(self, context: Any, tell: Callable[[WatchedRun], None], now: Callable[[], float] = time.monotonic):
        self._context = context
        self._tell = tell
        self._now = now
        self._status: object = None
        self._told_at = now()

    def __call__(self, run: WatchedRun) -> None:
        now = self._now()
        if run.status != self._status or now - self._told_at >= REMIND_SECONDS:
            self._status, self._told_at = run.status, now
            self._tell(run)
            return
        end_if_given_up(self._context)


def end_if_given_up(context: Any) -> None:
    """Raise `DagsterExecutionInterruptedError` where Dagster has ended the step's run, or given it up."""
    if state_of_run(context)[0] != "going":
        raise dg.DagsterExecutionInterruptedError


class StillWanted:
    """The same question for a wait that has no reminders: asked at each call, but not again for `seconds`."""

    def __init__(self, context: Any, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._seconds = seconds
        self._now = now
        self._asked_at = now()

    def __call__(self) -> None:
        now = self._now()
        if now - self._asked_at >= self._seconds:
            self._asked_at = now
            end_if_given_up(self._context)
