"""One round of looking at many runs of one kind, at the least cost in calls.

Two ways, chosen by a count. Reading each run costs one call a run. Listing the active runs costs one call a page of
100, foreign runs included, and shows nothing of the runs that ended: those are *absent*, and absence proves nothing
(a page may have moved, a list may lag, `cancelling` is in no list), so each absent run earns one confirming GET. A run
that stays absent yet alive is confirmed more and more rarely.

The cost of listing is not known before it was tried: a sweep that needs more pages than there are runs to watch stops
there, and the next ones are put off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from planasonix.errors import InvalidRequestError, PlanasonixError
from planasonix.watch.protocols import ENDED_PHASES, AsyncRunReader, Kind, WatchedRun
from planasonix.watch.watched import Watched

PAGE_SIZE = 100
FEW = 3
"""Up to this many runs are read one by one: a sweep costs at least one call for each active status."""

ACTIVE_STATUSES = ("queued", "running")
CLOCK_SKEW = timedelta(minutes=5)
_ROUNDS_BEFORE_ANOTHER_TRY = 20
_CONFIRM_AT_MOST_EVERY = 8
_FAILED_LISTS_BORNE = 3
_SMALLEST_PAGE = 25
_NO_SWEEP = 10**9


class Rounds:
    """The rounds of one kind of run; remembers what a sweep cost."""

    def __init__(self, kind: Kind, *, concurrency: int = 20) -> None:
        self._kind: Kind = kind
        self._concurrency = concurrency
        self.sweeps = False
        self._sweep_cost = 2
        self._rounds_since_sweep = 0
        self._failed_lists = 0
        self._page_size = PAGE_SIZE

    def choose(self, due: Sequence[Watched], watched: Sequence[Watched]) -> Sequence[Watched]:
        """Whom this round looks at: all of `watched` where a sweep pays, as its pages show them anyway; else `due`."""
        self.sweeps = len(watched) > FEW and self._a_sweep_pays(len(watched))
        return watched if self.sweeps else due

    async def look(self, reader: AsyncRunReader, watched: Sequence[Watched], now: float) -> None:
        """Look at every run of `watched` once, in the way last chosen, and tell each what was seen."""
        if not self.sweeps:
            await self._read_each(reader, watched, now)
            return
        unknown_start = [one for one in watched if one.created_at is None]
        rest = [one for one in watched if one.created_at is not None]
        absent = await self._sweep(reader, rest)
        due = [one for one in absent if one.confirm_is_due(now)]
        await self._read_each(reader, [*unknown_start, *due], now)

    def _a_sweep_pays(self, count: int) -> bool:
        if self._sweep_cost < count:
            return True
        self._rounds_since_sweep += 1
        if self._rounds_since_sweep < _ROUNDS_BEFORE_ANOTHER_TRY:
            return False
        self._rounds_since_sweep = 0
        return True

    async def _sweep(self, reader: AsyncRunReader, watched: Sequence[Watched]) -> list[Watched]:
        """List the active runs; return those of `watched` that no page showed alive."""
        wanted = {one.run_id: one for one in watched}
        if not wanted:
            return []
        filters: dict[str, Any] = {"limit": self._page_size}
        if self._kind == "job":  # the backfill list has no `since` (facts §1.1)
            filters["since"] = _oldest(watched) - CLOCK_SKEW
        pages = 0
        for status in ACTIVE_STATUSES:
            cursor: str | None = None
            cursors: set[str] = set()
            while True:
                try:
                    page = await reader.list_page(cursor=cursor, status=status, **filters)
                except PlanasonixError as error:
                    return self._after_a_failed_list(error, wanted)
                pages += 1
                for row in page.rows:
                    _show(wanted, row)
                cursor = page.cursor
                if cursor is None or cursor in cursors:
                    break
                cursors.add(cursor)
                if pages >= len(watched):
                    self._sweep_cost = pages * 2
                    return list(wanted.values())
        self._sweep_cost = pages
        self._failed_lists = 0
        return list(wanted.values())

    def _after_a_failed_list(self, error: PlanasonixError, wanted: dict[str, Watched]) -> list[Watched]:
        """A list that fails says nothing of any run. An API that is down is not asked for each of them either; one
        whose list alone is broken, for a while now, is, and its list is left alone for some rounds.
        """
        if isinstance(error, InvalidRequestError) and self._page_size > _SMALLEST_PAGE:
            self._page_size //= 2  # the largest page of jobs is published nowhere
            return []
        self._failed_lists += 1
        if self._failed_lists < _FAILED_LISTS_BORNE:
            return []
        self._sweep_cost = _NO_SWEEP
        for one in wanted.values():
            one.listed_alive()  # no list spoke of it: its next look is not put off
        return list(wanted.values())

    async def _read_each(self, reader: AsyncRunReader, watched: Sequence[Watched], now: float) -> None:
        gate = asyncio.Semaphore(self._concurrency)

        async def read(one: Watched) -> None:
            async with gate:
                if one.is_done:
                    return
                try:
                    run = await reader.get(one.run_id)
                except PlanasonixError as error:
                    one.unreadable(error, now)
                else:
                    one.seen(run)
                    one.confirmed(now, _CONFIRM_AT_MOST_EVERY)

        await asyncio.gather(*(read(one) for one in watched))


def _show(wanted: dict[str, Watched], row: WatchedRun) -> None:
    one = wanted.get(row.id)
    if one is None:
        return
    del wanted[row.id]
    one.seen(row)
    if row.phase not in ENDED_PHASES:
        one.listed_alive()


def _oldest(watched: Sequence[Watched]) -> datetime:
    return min(one.created_at for one in watched if one.created_at is not None)
