"""All who wait for runs of one kind with one credential in one event loop, and the list pages that serve them.

A connection's runs are listed once a round, for however many wait for it. For many connections one list of all runs
since the earliest `since` may cost fewer pages than a list each: it is tried with half as many pages as there are
connections, and left alone for a while when those do not suffice.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any

from planasonix.errors import PlanasonixError
from planasonix.runs.drivers import aperform
from planasonix.runs.effects import Listed, ListSince, RunView, Steps
from planasonix.runs.since.judge import Sighting
from planasonix.runs.since.look import OVERLAP_SECONDS, confirm
from planasonix.runs.since.wish import RunSince
from planasonix.runs.target import shown_target
from planasonix.watch import Interval, Kind
from planasonix.watch.interval import jitter
from planasonix.watch.outage import Outage
from planasonix.watch.patience import Patience
from planasonix.watch.round import CALLS_PER_SECOND, FEW
from planasonix.watch.watcher import TURN_SECONDS

if TYPE_CHECKING:
    from planasonix.client import AsyncPlanasonix

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 120.0
"""Of an adaptive wait beside very many others: looks that cost many calls are taken more rarely."""

_GATHER_SECONDS = 0.5
"""Who begins together is served together: after a restart all triggers come at once."""

_LOOK_AHEAD = 0.5
_REST = 0.1
_AT_A_TIME = 10
_ROUNDS_AFTER_A_LONG_LIST = 20
_KNOWN_ENDS_AT_MOST = 10_000
_PAGE = 100

_Group = tuple[str, str | None]
"""A target, and the type of its runs."""

_stopping: set[asyncio.Task[None]] = set()  # a loop holds its tasks weakly


@dataclass(eq=False, slots=True)
class _Wait:
    wish: RunSince
    interval: Interval
    began: float
    answer: asyncio.Future[Sighting]
    on_change: Callable[[RunView], None] | None
    due_at: float
    pause_seconds: float = 1.0
    seen: tuple[str, str] | None = None
    patience: Patience = field(default_factory=lambda: Patience())

    def tell(self, sighting: Sighting) -> None:
        """A look went well."""
        self.patience.answered()
        run = sighting.run
        if run is not None and self.seen != (run.id, str(run.status)):
            self.seen = (run.id, str(run.status))
            if self.on_change is not None:
                try:
                    self.on_change(run)
                except Exception:
                    # The listener's trouble is not the run's.
                    log.exception("a listener of %s failed", self.wish)
        if sighting.verdict != "waiting" and not self.answer.done():
            self.answer.set_result(sighting)

    def failed(self, error: PlanasonixError, now: float) -> None:
        """A look failed: that ends the wait only when it goes on doing so."""
        given_up = self.patience.failed(error, now)
        if given_up is not None and not self.answer.done():
            self.answer.set_exception(given_up)


class Board:
    """Looks through a client of its own for as long as somebody waits, and leaves nothing behind."""

    def __init__(self, kind: Kind, on_idle: Callable[[], object]) -> None:
        self._kind: Kind = kind
        self._on_idle = on_idle
        self._waits: list[_Wait] = []
        self._client: AsyncPlanasonix | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._rng = random.Random()
        self._outage = Outage()
        self._known_ends: dict[str, RunView] = {}
        self._cost = 0
        self._rounds_without_common = 0

    async def wait(
        self,
        client: AsyncPlanasonix,
        wish: RunSince,
        interval: Interval,
        on_change: Callable[[RunView], None] | None,
    ) -> Sighting:
        """Return the first verdict other than `waiting`. Cancel the call to leave."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        one = _Wait(wish, interval, now, loop.create_future(), on_change, now + _GATHER_SECONDS)
        self._waits.append(one)
        if self._client is None:
            self._client = client.detached(max_tries=1, deadline_seconds=TURN_SECONDS)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._rounds(), name=f"planasonix-since-{self._kind}s")
            self._task.add_done_callback(self._ended)
        self._wake.set()
        loop_is_gone = False
        try:
            return await one.answer
        except GeneratorExit:
            # The loop was closed under this wait: nothing can be awaited any more.
            loop_is_gone = True
            raise
        finally:
            self._waits.remove(one)
            if not self._waits:
                self._on_idle()
                if not loop_is_gone:
                    await self._stop(loop)

    async def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        task, self._task = self._task, None
        client, self._client = self._client, None
        # In a task of its own: whoever cancels the last wait may do so more than once.
        stopping = loop.create_task(_stop(task, client), name="planasonix-stop-since")
        _stopping.add(stopping)
        stopping.add_done_callback(_stopping.discard)
        await asyncio.shield(stopping)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody may wait for rounds that died of a defect of ours."""
        if not task.cancelled() and (error := task.exception()) is not None:
            for one in self._waits:
                if not one.answer.done():
                    one.answer.set_exception(error)

    async def _rounds(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            due_at = min((one.due_at for one in self._waits if not one.answer.done()), default=inf)
            began = loop.time()
            if due_at > began:
                try:
                    async with asyncio.timeout_at(None if due_at == inf else due_at):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                continue
            # What is due soon is looked at together with what is due now.
            due = [one for one in self._waits if one.due_at <= began + _LOOK_AHEAD * one.pause_seconds]
            due = [one for one in due if not one.answer.done()]
            try:
                await self._look(due)
            except Exception:
                # Whatever goes wrong in a round must end no wait: the next one looks again.
                log.exception("a round of looking for %d %ss failed; looking again", len(due), self._kind)
            spread = jitter(self._rng)
            for one in due:
                now = loop.time()
                one.pause_seconds = spread * self._pause(one, now)
                one.due_at = max(began + one.pause_seconds, now + _REST * one.pause_seconds)

    def _pause(self, one: _Wait, now: float) -> float:
        pause = one.interval.base(now - one.began)
        if one.interval.fixed_seconds is not None:
            return pause
        return min(LONGEST_PAUSE_SECONDS, max(pause, self._cost / CALLS_PER_SECOND))

    async def _look(self, due: Sequence[_Wait]) -> None:
        groups: dict[_Group, list[_Wait]] = {}
        for one in due:
            groups.setdefault((one.wish.target_id, one.wish.job_type), []).append(one)
        if len(self._known_ends) > _KNOWN_ENDS_AT_MOST:
            self._known_ends.clear()
        self._cost = 0
        self._rounds_without_common -= 1
        if len(groups) > FEW and self._rounds_without_common <= 0 and not self._outage.is_on:
            rows = await self._list_all(groups)
            if rows is None:
                self._rounds_without_common = _ROUNDS_AFTER_A_LONG_LIST
            else:
                for (target_id, _), waits in groups.items():
                    await self._tell(waits, [row for row in rows if shown_target(row, self._kind) == target_id])
                return
        gate = asyncio.Semaphore(_AT_A_TIME)
        await asyncio.gather(*(self._look_at(gate, group, waits) for group, waits in groups.items()))

    async def _list_all(self, groups: Mapping[_Group, Sequence[_Wait]]) -> list[RunView] | None:
        """The runs of all targets since the earliest moment. None where that takes too many pages, or cannot be read,
        or does not show whose the runs are: then each target has a list of its own.
        """
        client = self._reader()
        filters: dict[str, Any] = {"limit": _PAGE, "max_pages": max(2, len(groups) // 2)}
        since = min(one.wish.since.timestamp() for waits in groups.values() for one in waits) - OVERLAP_SECONDS
        types = {job_type for _, job_type in groups}
        reader: Any = {"job": client.jobs, "backfill": client.backfills, "run": client.runs}[self._kind]
        try:
            if client.clock_offset_seconds is None:
                await reader.list_page(limit=1)  # tells how far the API's clock is from ours
            if self._kind == "job":
                filters["since"] = datetime.fromtimestamp(since + (client.clock_offset_seconds or 0.0), UTC)
                if len(types) == 1 and None not in types:
                    filters["type"] = types.pop()
            rows: list[RunView] = [row async for row in reader.list(**filters)]
        except PlanasonixError as error:
            log.info("no common list of %ss (%s): one for each of %d", self._kind, error, len(groups))
            return None
        if any(shown_target(row, self._kind) is None for row in rows):
            return None
        self._cost = 1 + len(rows) // _PAGE
        return rows

    async def _look_at(self, gate: asyncio.Semaphore, group: _Group, waits: Sequence[_Wait]) -> None:
        """One target, through a list of its own."""
        target_id, job_type = group
        since = min(one.wish.since.timestamp() for one in waits) - OVERLAP_SECONDS
        async with gate:
            now = asyncio.get_running_loop().time()
            if self._outage.take_tries(1, now) == 0 and self._outage.last_error is not None:
                # What the API did not answer others, it would not have answered these.
                self._tell_failed(waits, self._outage.last_error)
                return
            try:
                listed = await aperform(self._reader(), _listed(ListSince(self._kind, target_id, job_type, since)))
            except PlanasonixError as error:
                self._outage.failed(error, asyncio.get_running_loop().time())
                self._tell_failed(waits, error)
                return
            self._outage.answered()
            self._cost += 1 + len(listed.runs) // _PAGE
            await self._tell(waits, listed.runs)

    async def _tell(self, waits: Sequence[_Wait], rows: Sequence[RunView]) -> None:
        client = self._reader()
        for one in waits:
            try:
                steps = confirm(one.wish, rows, client.clock_offset_seconds, time.time, self._known_ends)
                one.tell(await aperform(client, steps))
            except PlanasonixError as error:
                self._tell_failed([one], error)

    def _tell_failed(self, waits: Sequence[_Wait], error: PlanasonixError) -> None:
        now = asyncio.get_running_loop().time()
        for one in waits:
            one.failed(error, now)

    def _reader(self) -> AsyncPlanasonix:
        if self._client is None:
            raise RuntimeError("nobody waits any more")
        return self._client


def _listed(effect: ListSince) -> Steps[Listed]:
    listed: Listed = yield effect
    return listed


async def _stop(task: asyncio.Task[None] | None, client: AsyncPlanasonix | None) -> None:
    try:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    finally:
        if client is not None:
            await client.aclose()
