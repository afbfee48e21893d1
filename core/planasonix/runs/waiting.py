"""Blocking waits that an event can end: for the first of several runs, and for a connection that is busy."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from planasonix.errors import NotFoundError, PlanasonixError
from planasonix.runs.handle import RunHandle
from planasonix.watch import Interval, WatchedRun
from planasonix.watch.blocking import Look, Pause, look_until_ended
from planasonix.watch.conclude import TimeIsUp
from planasonix.watch.heard import HEARD, RunKey
from planasonix.watch.protocols import Kind, reader_of

if TYPE_CHECKING:
    from planasonix.client import Planasonix

_Loop = Generator[Look | Pause, Any, WatchedRun]


def busy_pause_seconds(waited_seconds: float) -> float:
    """How long until a busy connection is tried again, where it is not known what keeps it busy: 30 s to 5 min."""
    return min(300.0, max(30.0, 0.1 * waited_seconds)) * random.uniform(0.9, 1.1)


def pause(seconds: float, stop: threading.Event | None = None) -> None:
    """Sleep. Raises `KeyboardInterrupt` once `stop` is set."""
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise KeyboardInterrupt


@contextmanager
def leaves_it_running() -> Generator[None]:
    """Around a wait for the caller's own run: an error that ends it says that the run goes on (`run_goes_on`)."""
    try:
        yield
    except PlanasonixError as error:
        error.run_goes_on = True
        raise


def wait_for_any(
    client: Planasonix,
    handles: Sequence[RunHandle],
    *,
    interval: Interval | None = None,
    stop: threading.Event | None = None,
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Block until one of the runs has ended, is missing for good, or has passed its deadline: a look tells which.

    Each is looked at by the rules of every wait (`watch.blocking`). Raises `AuthenticationError` or
    `PermissionDeniedError` when the key is refused for five minutes, and `KeyboardInterrupt` once `stop` is set.
    `on_tick` is called before each look; what it raises ends the wait. Where a listener hears of an end, that run is
    looked at at once, but for a wait with `stop`.
    """
    # (when it is its turn, its number, its loop, what that asked for)
    turns: list[tuple[float, int, _Loop, Look | Pause]] = []
    for number, handle in enumerate(handles):
        loop = _loop_of(handle, interval or Interval())
        turns.append((time.monotonic(), number, loop, next(loop)))
    heapq.heapify(turns)
    keys: list[RunKey] = [(handle.kind, handle.id) for handle in handles]
    with HEARD.ear_for(keys) as ear:
        while turns:
            seconds = max(0.0, turns[0][0] - time.monotonic())
            if stop is not None:
                pause(seconds, stop)
            elif (heard := ear.pause(seconds)) is not None:
                now = time.monotonic()
                turns = [(now if keys[turn[1]] == heard else turn[0], *turn[1:]) for turn in turns]
                heapq.heapify(turns)
            due, number, loop, effect = heapq.heappop(turns)
            on_tick()
            try:
                if isinstance(effect, Look):
                    effect = _look(client, handles[number], loop, effect)
                if isinstance(effect, Pause):
                    due = time.monotonic() + effect.seconds
                    effect = loop.send(None)
            except (StopIteration, TimeIsUp, NotFoundError):
                return
            heapq.heappush(turns, (due, number, loop, effect))


def wait_while_taken(
    client: Planasonix,
    kind: Kind,
    run_id: str | None,
    *,
    since: float,
    until: float,
    interval: Interval | None = None,
    stop: threading.Event | None = None,
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Block until the run that keeps the connection busy has ended, or for a while; at most until `until`.

    `since` is when the connection was first found busy; both are seconds since the epoch. Raises nothing of the API:
    whatever became of somebody else's run, the next start asks the API itself. `on_tick` as in `wait_for_any`.
    """
    now = time.time()
    if run_id is None:
        pause(max(0.0, min(until - now, busy_pause_seconds(now - since))), stop)
        return
    other = RunHandle(kind, run_id, "", owned=False, created_at=since, deadline_at=until, intent="")
    try:
        wait_for_any(client, [other], interval=interval, stop=stop, on_tick=on_tick)
    except PlanasonixError:
        pause(max(0.0, min(until - time.time(), busy_pause_seconds(0.0))), stop)


def _loop_of(handle: RunHandle, interval: Interval) -> _Loop:
    left = max(0.0, handle.deadline_at - time.time())
    return look_until_ended(
        run_id=handle.id,
        deadline=time.monotonic() + left,
        interval=interval,
        now=time.monotonic,
        rng=random.Random(),
        age=handle.age_seconds(time.time()),
    )


def _look(client: Planasonix, handle: RunHandle, loop: _Loop, effect: Look) -> Look | Pause:
    try:
        # A look that fails is taken again: it is the loop that tries, within the time that is left.
        looking = client.with_options(max_tries=1, deadline_seconds=effect.seconds)
        seen = reader_of(looking, handle.kind).get(handle.id)
    except PlanasonixError as error:
        return loop.throw(error)
    return loop.send(seen)
