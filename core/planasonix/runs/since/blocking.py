"""Waiting in a thread of one's own for a run that somebody else starts: scripts, workers, steps."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from planasonix.errors import PlanasonixError, WaitTimeoutError
from planasonix.runs.effects import RunView
from planasonix.runs.since.judge import Sighting
from planasonix.runs.since.look import find_run_since
from planasonix.runs.since.wish import RunSince
from planasonix.watch import Interval
from planasonix.watch.patience import LOOK_SECONDS, Patience

if TYPE_CHECKING:
    from planasonix.client import Planasonix

ADAPTIVE = Interval(shortest_seconds=5.0, longest_seconds=30.0)


def wait_for_run_since(
    client: Planasonix,
    wish: RunSince,
    *,
    timeout_seconds: float | None = None,
    interval: Interval | None = None,
    on_change: Callable[[RunView], None] | None = None,
) -> Sighting:
    """Block until there is something found, or failed. Parameters, result and errors are those of `await_run_since`."""
    interval, patience, rng = interval or ADAPTIVE, Patience(), random.Random()
    # A look that fails is taken again: it is the loop that tries.
    looking = client.with_options(max_tries=1, deadline_seconds=LOOK_SECONDS)
    began = time.monotonic()
    run: RunView | None = None
    known_ends: dict[str, RunView] = {}
    while True:
        last_look = timeout_seconds is not None and time.monotonic() - began >= timeout_seconds
        try:
            sighting = find_run_since(looking, wish, known_ends=known_ends)
        except PlanasonixError as error:
            if patience.failed(error, time.monotonic()):
                raise
        else:
            patience.answered()
            if sighting.run is not None and on_change is not None and _changed(run, sighting.run):
                on_change(sighting.run)
            if sighting.verdict != "waiting":
                return sighting
            run = sighting.run
        if last_look:
            raise timed_out(wish, run, timeout_seconds)
        waited = time.monotonic() - began
        pause = interval.pause(waited, rng)
        time.sleep(pause if timeout_seconds is None else max(0.0, min(pause, timeout_seconds - waited)))


def _changed(before: RunView | None, now: RunView) -> bool:
    return before is None or (before.id, str(before.status)) != (now.id, str(now.status))


def timed_out(wish: RunSince, run: RunView | None, timeout_seconds: float | None) -> WaitTimeoutError:
    """The error of a wait whose time is up."""
    limit = "its time" if timeout_seconds is None else f"{timeout_seconds:g} s"
    pending: list[Any] = []
    seen = "none was seen"
    if run is not None:
        pending = [{"kind": wish.kind, "id": run.id, "status": str(run.status)}]
        seen = f"the last one seen is {run.id}, {run.status}"
    return WaitTimeoutError(
        f"No Planasonix {wish} had {wish.wanted_status} within {limit}: {seen}.",
        pending=pending,
        hint="Look whether it was started at all, and for which connection; since and the timeout bound the wait.",
    )
