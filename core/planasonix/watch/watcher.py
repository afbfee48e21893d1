"""The watcher: one set of rounds for everybody who waits with one credential in one event loop."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Hashable, Iterable
from datetime import datetime
from functools import partial

from planasonix.watch.group import Group
from planasonix.watch.heard import HEARD
from planasonix.watch.interval import Interval
from planasonix.watch.protocols import (
    KINDS,
    AsyncRunReader,
    AsyncWatchClient,
    Kind,
    OwnedWatchClient,
    WatchedRun,
    reader_of,
)
from planasonix.watch.watched import Waiter, Watched

TURN_SECONDS = 120.0
"""What a look in a round may take, most of it until its turn in the rate budget: the wait for the answer itself is
bounded by the client's own `timeout_seconds`."""

_ADAPTIVE = Interval()

_stopping: set[asyncio.Task[None]] = set()  # a loop holds its tasks weakly


class Watcher:
    """Waits for any number of runs with one loop of looks for each kind.

    The loops live as long as somebody waits: the first waiter starts them, the last one to leave ends them, and nothing
    is left behind. They look through a client of their own, made from the first waiter's and closed at the end: waiters
    come and go, and close theirs when they like.
    """

    def __init__(self, *, rng: random.Random | None = None, on_idle: Callable[[], object] | None = None) -> None:
        self._on_idle = on_idle
        self._rng = rng or random.Random()
        self._groups = self._new_groups()
        self._client: OwnedWatchClient | None = None

    @property
    def watch_key(self) -> Hashable | None:
        """Of the client that looks; another one once its key was replaced. None while nobody waits."""
        return None if self._client is None else self._client.config.watch_key

    @property
    def waiting(self) -> int:
        """How many runs are under watch now."""
        return sum(len(group.runs) for group in self._groups.values())

    async def wait(
        self,
        client: AsyncWatchClient,
        kind: Kind,
        run_id: str,
        *,
        timeout_seconds: float | None = None,
        created_at: datetime | None = None,
        interval: Interval | None = None,
        age_seconds: float = 0.0,
        on_change: Callable[[WatchedRun], None] | None = None,
        remind_seconds: float | None = None,
    ) -> WatchedRun:
        """Return the run once it has ended, well or not.

        `created_at` (aware) saves the first GET: without it the run is read at once. `on_change` hears of each new
        status, and of the same one again after `remind_seconds`. Raises what `patience` gives up
        with, and `TimeIsUp` after `timeout_seconds`. Cancel the call to leave, which touches nothing but this waiter.
        """
        loop = asyncio.get_running_loop()
        group, reader, now = self._groups[kind], self._reader(client, kind), loop.time()
        watched = group.runs.get(run_id)
        # One that has its answer is on its way out: its run and its patience are those of an earlier wait.
        is_new = watched is None or watched.is_done
        if watched is None or is_new:
            watched = group.runs[run_id] = Watched(kind, run_id, created_at, read_at=now)
        loop_is_gone = False
        if on_change is not None:
            # The looks are taken in the task of whoever came first. What a listener logs belongs to its own caller, and
            # many tell callers apart by context variables: Airflow sends each trigger's lines to its task's log so.
            on_change = partial(contextvars.copy_context().run, on_change)
        waiter = Waiter(interval or _ADAPTIVE, now - age_seconds, loop.create_future(), on_change, remind_seconds, now)
        watched.waiters.append(waiter)
        # Not `asyncio.timeout`: of what ten thousand waits hold, every object lengthens each garbage collection.
        timer = None if timeout_seconds is None else loop.call_later(timeout_seconds, watched.time_is_up, waiter)
        try:
            group.expect(watched, now)
            group.keep_looking(loop, reader)
            if is_new and (created_at is None or HEARD.knows(kind, run_id)):
                group.hurry(loop, reader, watched)
            return await waiter.answer
        except GeneratorExit:
            # The loop was closed under this wait: nothing can be awaited any more.
            loop_is_gone = True
            raise
        finally:
            if timer is not None:
                timer.cancel()
            watched.waiters.remove(waiter)
            if not watched.waiters and group.runs.get(run_id) is watched:
                del group.runs[run_id]
            if not self.waiting:
                if self._on_idle is not None:
                    self._on_idle()
                if not loop_is_gone:
                    await self._stop(loop)

    def nudge(self, kind: Kind, run_id: str) -> bool:
        """Look at this run now: somebody heard that it ended. A hint only; the GET decides. Whether anybody waits."""
        group = self._groups[kind]
        watched = group.runs.get(run_id)
        if watched is None or watched.is_done or self._client is None:
            return False
        watched.listed_alive()
        group.hurry(watched.waiters[0].answer.get_loop(), reader_of(self._client, kind), watched)
        return True

    def _reader(self, client: AsyncWatchClient, kind: Kind) -> AsyncRunReader:
        reader_of(client, kind)  # a client that cannot read this kind is refused before anything is opened
        if self._client is None:
            # A look that fails is taken again in the next round: one that hangs must not hold the round up.
            self._client = client.detached(max_tries=1, deadline_seconds=TURN_SECONDS)
        return reader_of(self._client, kind)

    def _new_groups(self) -> dict[Kind, Group]:
        return {kind: Group(kind, self._rng, self._tell_everybody) for kind in KINDS}

    async def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        # Who joins while the old ones stop finds new ones.
        client, self._client = self._client, None
        groups, self._groups = self._groups, self._new_groups()
        # In a task of its own: whoever cancels the last wait may do so more than once.
        stopping = loop.create_task(_stop_all(groups.values(), client), name="planasonix-stop")
        _stopping.add(stopping)
        stopping.add_done_callback(_stopping.discard)
        await asyncio.shield(stopping)

    def _tell_everybody(self, error: BaseException) -> None:
        """Nobody may wait for a loop that died of a defect of ours."""
        for group in self._groups.values():
            for watched in group.runs.values():
                for waiter in watched.waiters:
                    if not waiter.answer.done():
                        waiter.answer.set_exception(error)


async def _stop_all(groups: Iterable[Group], client: OwnedWatchClient | None) -> None:
    try:
        await asyncio.gather(*(group.stop() for group in groups))
    finally:
        if client is not None:
            await client.aclose()
