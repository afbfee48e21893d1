"""The watcher: one loop that looks for everybody who waits with one credential in one event loop."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime

from planasonix.watch.interval import Interval
from planasonix.watch.protocols import AsyncWatchClient, Kind, OwnedWatchClient, WatchedRun, reader_of
from planasonix.watch.round import Rounds
from planasonix.watch.watched import Waiter, Watched

log = logging.getLogger(__name__)

LOOK_SECONDS = 20.0
_KINDS: tuple[Kind, ...] = ("job", "backfill")


class Watcher:
    """Waits for any number of runs with one loop of looks.

    The loop lives as long as somebody waits: the first waiter starts it, the last one to leave ends it, and nothing
    is left behind. It looks through a client of its own, made from the first waiter's and closed at the end: waiters
    come and go, and close theirs when they like.
    """

    def __init__(self, *, rng: random.Random | None = None, on_idle: Callable[[], object] | None = None) -> None:
        self._on_idle = on_idle
        self._rng = rng or random.Random()
        self._runs: dict[tuple[Kind, str], Watched] = {}
        self._rounds = {kind: Rounds(kind) for kind in _KINDS}
        self._loop_task: asyncio.Task[None] | None = None
        self._client: OwnedWatchClient | None = None
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many runs are under watch now."""
        return len(self._runs)

    async def wait(
        self,
        client: AsyncWatchClient,
        kind: Kind,
        run_id: str,
        *,
        created_at: datetime | None = None,
        interval: Interval | None = None,
        age_seconds: float = 0.0,
        on_change: Callable[[WatchedRun], None] | None = None,
    ) -> WatchedRun:
        """Return the run once it has ended, well or not.

        `created_at` (aware) saves the first GET: without it the run is read at once. Raises what `patience` gives up
        with. There is no deadline here: cancel the call to leave, which touches nothing but this waiter.
        """
        loop = asyncio.get_running_loop()
        watched = self._runs.get((kind, run_id))
        if watched is None:
            watched = self._runs[kind, run_id] = Watched(kind, run_id, created_at)
        waiter = Waiter(interval or Interval(), loop.time() - age_seconds, loop.create_future(), on_change)
        watched.waiters.append(waiter)
        if created_at is None and watched.last is None:
            watched.due_at = loop.time()
        else:
            watched.due_at = min(watched.due_at, loop.time() + waiter.interval.pause(age_seconds, self._rng))
        self._keep_looking(loop, client)
        try:
            return await waiter.answer
        finally:
            watched.waiters.remove(waiter)
            if not watched.waiters:
                self._runs.pop((kind, run_id), None)
            if not self._runs:
                if self._on_idle is not None:
                    self._on_idle()
                await self._stop()

    def nudge(self, kind: Kind, run_id: str) -> None:
        """Look at this run now: somebody heard that it ended. A hint only; the next GET decides."""
        watched = self._runs.get((kind, run_id))
        if watched is not None:
            watched.due_at = 0.0
            watched.listed_alive()
            self._wake.set()

    def _keep_looking(self, loop: asyncio.AbstractEventLoop, client: AsyncWatchClient) -> None:
        if self._client is None:
            # A look that fails is taken again in the next round: one that hangs must not hold the round up.
            self._client = client.detached(max_tries=1, deadline_seconds=LOOK_SECONDS)
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = loop.create_task(self._look_on(), name="planasonix-watcher")
            self._loop_task.add_done_callback(self._tell_if_broken)
        self._wake.set()

    async def _stop(self) -> None:
        task, self._loop_task = self._loop_task, None
        client, self._client = self._client, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if client is not None:
            await client.aclose()

    def _tell_if_broken(self, task: asyncio.Task[None]) -> None:
        """Nobody may wait for a loop that died of a defect of ours."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        for watched in self._runs.values():
            for waiter in watched.waiters:
                if not waiter.answer.done():
                    waiter.answer.set_exception(error)

    async def _look_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            now = loop.time()
            soonest = min((one.due_at for one in self._runs.values() if not one.is_done), default=now + 60.0)
            if soonest > now:
                # A new waiter or a nudge may be due earlier than what we sleep for.
                try:
                    await asyncio.wait_for(self._wake.wait(), soonest - now)
                except TimeoutError:
                    pass
                else:
                    continue
            await self._look(loop)

    async def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for kind in _KINDS:
            watched = self._of(kind)
            due = [one for one in watched if one.due_at <= now]
            if not due:
                continue
            chosen = self._rounds[kind].choose(due, watched)
            client = self._client
            if client is None:
                return
            try:
                await self._rounds[kind].look(reader_of(client, kind), chosen, now)
            except Exception:
                # Whatever goes wrong in a round must end no wait: the next round looks again.
                log.exception("a round of looking at %d %ss failed; looking again", len(chosen), kind)
            # While the round went on, waiters may have been answered and have left.
            for one in (one for one in chosen if one.waiters):
                pause = self._pause(one, loop.time())
                one.next_pause(pause)
                # Counted from the round's begin, so that an interval is one; a slow API still gets some rest.
                one.due_at = max(now + pause, loop.time() + 0.1 * pause)

    def _of(self, kind: Kind) -> list[Watched]:
        return [one for one in self._runs.values() if one.kind == kind and not one.is_done and one.waiters]

    def _pause(self, one: Watched, now: float) -> float:
        return min(w.interval.pause(now - w.began, self._rng) for w in one.waiters)
