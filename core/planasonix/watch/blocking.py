"""A blocking wait for one run: what `jobs.wait` of the sync client and blocking operators use."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from planasonix.errors import PlanasonixError
from planasonix.watch.conclude import TimeIsUp, raise_unless_succeeded, timed_out
from planasonix.watch.heard import HEARD
from planasonix.watch.interval import Interval
from planasonix.watch.patience import LOOK_SECONDS, Patience
from planasonix.watch.protocols import ENDED_PHASES, Kind, WatchClient, WatchedRun, reader_of

log = logging.getLogger(__name__)

LAST_LOOK_SECONDS = 2.0
"""What the look at the deadline itself may take: a hanging API delays the end of a wait by this and no more."""


@dataclass(frozen=True)
class Look:
    """Effect: read the run now, within so many seconds. The driver answers with it, or throws the client's error."""

    seconds: float


@dataclass(frozen=True)
class Pause:
    """Effect: sleep."""

    seconds: float


def look_until_ended(
    *,
    run_id: str,
    deadline: float | None,
    interval: Interval,
    now: Callable[[], float],
    rng: random.Random,
    age: float = 0.0,
    patience: Patience | None = None,
    on_change: Callable[[WatchedRun], None] | None = None,
    remind_seconds: float | None = None,
) -> Generator[Look | Pause, Any, WatchedRun]:
    """The I/O-free loop: look, judge, pause, until the run ends.

    `deadline` and `now` are seconds of one clock, `age` is how old the run is already. A last look is always taken at
    the deadline itself, so that a run that ended in time is never reported late. An answer about another run than the
    one asked for (`run_id`) says nothing. `on_change` hears of each new status, and of the same one again after
    `remind_seconds`. Raises `TimeIsUp` past the deadline, or the error that `Patience` gives up with.
    """
    patience = patience or Patience()
    began, status, told_at = now() - age, None, now()
    while True:
        run: WatchedRun | None = None
        last_look = deadline is not None and now() >= deadline
        try:
            left = LOOK_SECONDS if deadline is None else deadline - now()
            seen: WatchedRun = yield Look(min(LOOK_SECONDS, max(LAST_LOOK_SECONDS, left)))
        except PlanasonixError as error:
            if patience.failed(error, now()):
                raise
        else:
            if seen.id == run_id:
                run = seen
            else:
                log.warning("asked for %s, the API answered for %s; looking again", run_id, seen.id)
        if run is not None:
            patience.answered()
            reminds = remind_seconds is not None and now() - told_at >= remind_seconds
            if on_change is not None and (reminds or run.status != status):
                told_at = now()
                try:
                    on_change(run)
                except Exception:
                    # The listener's trouble is not the run's.
                    log.exception("a listener of %s failed", run.id)
            status = run.status
            if run.phase in ENDED_PHASES:
                return run
        if last_look:
            raise TimeIsUp(status)
        pause = interval.pause(now() - began, rng)
        if deadline is not None:
            pause = min(pause, max(0.0, deadline - now()))
        yield Pause(pause)


def wait_until_ended(
    client: WatchClient,
    kind: Kind,
    run_id: str,
    *,
    timeout_seconds: float | None = None,
    interval: Interval | None = None,
    age_seconds: float = 0.0,
    on_change: Callable[[WatchedRun], None] | None = None,
    remind_seconds: float | None = None,
) -> WatchedRun:
    """Block until the run has ended, well or not, and return it. Raises as `wait_blocking`, but not for its status.

    The time is that of the monotonic clock: a wall clock that is set, in either direction, while the wait goes on moves
    no deadline. Exceptions that are not the client's pass through, because orchestrators stop a task by raising one in
    its thread. Where a listener hears of the run's end, the next look is taken at once.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    loop = look_until_ended(
        run_id=run_id,
        deadline=deadline,
        interval=interval or Interval(),
        now=time.monotonic,
        rng=random.Random(),
        age=age_seconds,
        on_change=on_change,
        remind_seconds=remind_seconds,
    )
    with HEARD.ear_for([(kind, run_id)]) as ear:
        effect = next(loop)
        while True:
            try:
                if isinstance(effect, Pause):
                    ear.pause(effect.seconds)
                    effect = loop.send(None)
                    continue
                try:
                    # A look that fails is taken again: it is the loop that tries, within the time that is left.
                    looking = client.with_options(max_tries=1, deadline_seconds=effect.seconds)
                    seen = reader_of(looking, kind).get(run_id)
                except PlanasonixError as error:
                    effect = loop.throw(error)
                else:
                    effect = loop.send(seen)
            except StopIteration as end:
                return end.value
            except TimeIsUp as end:
                raise timed_out(kind, run_id, end.status, timeout_seconds) from None


def wait_blocking(client: WatchClient, kind: Kind, run_id: str, *, timeout_seconds: float | None = None) -> WatchedRun:
    """Block until the run ended well and return it.

    Raises `RunFailedError`, `RunCancelledError`, `WaitTimeoutError` after `timeout_seconds` (the run goes on),
    `NotFoundError` when the run is missing for two minutes, `AuthenticationError` or `PermissionDeniedError` when the
    key is refused for five.
    """
    run = wait_until_ended(client, kind, run_id, timeout_seconds=timeout_seconds)
    raise_unless_succeeded(kind, run)
    return run
