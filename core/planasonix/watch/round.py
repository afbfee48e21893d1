"""One round of looking at many runs of one kind, at the least cost in calls.

Two ways, chosen by a count. Reading each run costs one call a run. Listing the active runs (a *sweep*) costs one call a
page of 100, foreign runs included, and shows nothing of the runs that ended: those are *absent*, and absence proves
nothing (a page may have moved, a list may lag, `cancelling` is in no list), so each absent run earns one confirming
GET. A run that stays absent yet alive is confirmed more and more rarely.

What a sweep costs is not known before it was tried. It may take half as many calls as there are runs to watch, and the
reads after a sweep that was given up the other half, so that no round costs more than one call a run; the next try then
waits for a while. While the API is away both rules give way to `outage`: few reads, until one is answered.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from planasonix.errors import InvalidRequestError, PlanasonixError, RateLimitError
from planasonix.watch.outage import Outage
from planasonix.watch.protocols import (
    ACTIVE_LISTS,
    AsyncRunReader,
    Kind,
    ListPage,
    WatchedRun,
    list_page_of,
)
from planasonix.watch.watched import Watched

log = logging.getLogger(__name__)

PAGE_SIZE = 100
FEW = 3
"""Up to this many runs are read one by one: a sweep costs at least one call for each active status."""

CLOCK_SKEW = timedelta(minutes=5)
CALLS_PER_SECOND = 4.0
"""What looking for adaptive waits may cost over time: a fifth of the limit that the documents' sample shows (1,200 a
minute), so that 10,000 waits leave room for starts, confirming reads and other processes."""

_ROUNDS_AFTER_A_LONG_LIST = 20  # of reading each run
_READS_AFTER_A_BROKEN_LIST = 200
_LONGEST_PUT_OFF = 8
_CONFIRM_AT_MOST_EVERY = 8
_FAILED_LISTS_BORNE = 3
_SHARE_READ = 8  # of the runs one in so many is read where lists have no turn
_SMALLEST_PAGE = 25
_NO_SWEEP = 10**9
_AT_A_TIME = 2000  # runs that are gone through before other tasks of the event loop get their turn


class Rounds:
    """The rounds of one kind of run; remembers what a sweep cost."""

    def __init__(self, kind: Kind, *, concurrency: int = 20) -> None:
        self._lists = ACTIVE_LISTS[kind]
        self._kind: Kind = kind
        self._concurrency = concurrency
        self._sweep_cost = len(self._lists.statuses)
        self._reads_until_try = 0
        self._put_off = 1
        self._failed_lists = 0
        self._delayed_lists = 0
        self._page_size = PAGE_SIZE
        self._outage = Outage()

    def cost_seconds(self, watched: int) -> float:
        """The pause after which so many runs may be looked at again without asking too much of the API."""
        return min(self._sweep_cost, watched) / CALLS_PER_SECOND

    def sweep_pays_from(self, reader: AsyncRunReader, watched: int) -> int | None:
        """How many runs must be due for a sweep to cost less than to read each; None where no sweep would."""
        if watched <= FEW or list_page_of(reader) is None:
            return None
        if self._sweep_cost * 2 <= watched:
            return self._sweep_cost + 1
        return 0 if self._reads_until_try <= 0 else None

    def reads_at_most(self, reader: AsyncRunReader, watched: int) -> int | None:
        """How many runs a round may read before the list, which was left alone, is tried again; None for any number."""
        if watched <= FEW or list_page_of(reader) is None or self._sweep_cost < _NO_SWEEP:
            return None
        return max(1, self._reads_until_try)

    async def sweep(self, reader: AsyncRunReader, watched: Sequence[Watched], now: float) -> None:
        """Look at every run through the list, then read those that it did not show."""
        list_page = list_page_of(reader)
        if list_page is None:
            raise TypeError("this reader has no list")
        never_seen: list[Watched] = []
        wanted: dict[str, Watched] = {}
        for number, one in enumerate(watched, 1):
            if one.created_at is None and one.last is None:
                never_seen.append(one)
            else:
                wanted[one.run_id] = one
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        absent = await self._list(list_page, wanted, now) if wanted else []
        await self.read_each(reader, [*never_seen, *(one for one in absent if one.confirm_is_due(now))], now)

    async def read_each(self, reader: AsyncRunReader, watched: Sequence[Watched], now: float) -> None:
        """Read every run by itself, a bounded number at a time; while the API is away, a few of them."""
        self._reads_until_try -= len(watched)
        left = list(reversed(watched))
        while left:
            at_most = len(left)
            if self._outage.is_on:
                at_most = self._outage.take_tries(len(left), asyncio.get_running_loop().time())
                # In any order: the first ones might be those that alone cannot be read.
                random.shuffle(left)
            if at_most == 0:
                break
            await self._read_some(reader, left, at_most, now)
        await self._tell_unread(left)

    async def _read_some(self, reader: AsyncRunReader, left: list[Watched], at_most: int, now: float) -> None:
        """Take runs from the end and read them, up to so many, or until the API turns out to be away."""
        tries, was_on = at_most, self._outage.is_on

        async def read() -> None:
            nonlocal tries
            while tries and left and (was_on or not self._outage.is_on):
                tries -= 1
                await self.read(reader, left.pop(), now)

        await asyncio.gather(*(read() for _ in range(min(self._concurrency, at_most))))

    async def _tell_unread(self, left: Sequence[Watched]) -> None:
        """What the API did not answer others, it would not have answered these: an outage between two looks."""
        now = asyncio.get_running_loop().time()
        for number, one in enumerate(left, 1):
            if self._outage.last_error is not None:
                one.unreadable(self._outage.last_error, now)
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)

    def may_hurry(self) -> bool:
        """Whether a run may be read beside the rounds; while the API is away that is one of the few tries."""
        return self._outage.take_tries(1, asyncio.get_running_loop().time()) == 1

    async def read(self, reader: AsyncRunReader, one: Watched, now: float) -> None:
        """Read one run, unless nobody waits for it any more."""
        if one.is_done:
            return
        try:
            run = await reader.get(one.run_id)
        except PlanasonixError as error:
            # Not the round's begin: lists that hang may have come between.
            failed_at = asyncio.get_running_loop().time()
            self._outage.failed(error, failed_at)
            one.unreadable(error, failed_at)
        except Exception:
            # A defect in reading one run must not keep the others from being read.
            log.exception("reading %s %s failed; looking again", self._kind, one.run_id)
        else:
            self._outage.answered()
            one.seen(run)
            one.confirmed(now, _CONFIRM_AT_MOST_EVERY)

    async def _list(self, list_page: ListPage, wanted: dict[str, Watched], now: float) -> list[Watched]:
        """List the active runs, and return those that no page showed alive and that are worth a GET."""
        most = max(len(self._lists.statuses), len(wanted) // 2)
        since = _since(wanted.values())
        pages = 0
        for status in self._statuses_to_list(wanted.values()):
            filters: dict[str, Any] = {"limit": self._page_size, "status": status}
            if since is not None and status in self._lists.since_of:
                filters["since"] = since
            cursor: str | None = None
            cursors: set[str] = set()
            while True:
                if pages == most:
                    return self._after_too_many_pages(pages, wanted)
                try:
                    page = await list_page(cursor=cursor, **filters)
                except Exception as error:
                    return self._after_a_failed_list(error, wanted)
                pages += 1
                for row in page.rows:
                    _show(wanted, row, now)
                cursor = page.cursor
                if cursor is None or cursor in cursors:
                    break
                cursors.add(cursor)
        self._sweep_cost = pages
        self._put_off = 1
        self._failed_lists = self._delayed_lists = 0
        return list(wanted.values())

    def _statuses_to_list(self, wanted: Iterable[Watched]) -> Sequence[str]:
        """All of them, from the earliest one on that a run may have: no run is queued again once it runs, and one that
        were would be absent, which costs a GET and ends nothing.
        """
        statuses = self._lists.statuses
        reached = len(statuses) - 1
        for one in wanted:
            word = None if one.last is None else str(one.last.status)
            reached = min(reached, statuses.index(word) if word in statuses else 0)
            if reached == 0:
                break
        return statuses[reached:]

    def _after_too_many_pages(self, pages: int, wanted: dict[str, Watched]) -> list[Watched]:
        """The runs that have waited longest use up what is left of this round; the next one reads the others."""
        self._leave_the_list_alone(_ROUNDS_AFTER_A_LONG_LIST * (pages + len(wanted)))
        return _longest_unread(wanted, pages)

    def _after_a_failed_list(self, error: Exception, wanted: dict[str, Watched]) -> list[Watched]:
        """A list that fails says nothing of any run. An API that is down is not asked for each of them either; one
        whose list alone is broken, for a while now, is, and its list is left alone for some rounds.
        """
        if isinstance(error, InvalidRequestError) and self._page_size > _SMALLEST_PAGE:
            self._page_size //= 2  # the largest page of jobs is published nowhere
            return []
        if isinstance(error, RateLimitError) or getattr(error, "outcome", None) == "not_sent":
            return self._a_few_after_delays(wanted)
        if not isinstance(error, PlanasonixError):
            log.error("reading a list of %ss failed", self._kind, exc_info=error)
        self._failed_lists += 1
        if self._failed_lists < _FAILED_LISTS_BORNE:
            return []
        self._leave_the_list_alone(_READS_AFTER_A_BROKEN_LIST)
        for one in wanted.values():
            one.listed_alive()  # no list spoke of it: its next look is not put off
        return _longest_unread(wanted, _READS_AFTER_A_BROKEN_LIST)

    def _a_few_after_delays(self, wanted: dict[str, Watched]) -> list[Watched]:
        """The list had no turn, which is no fault of its own. Should it never have one, reads must make progress."""
        self._delayed_lists += 1
        if self._delayed_lists < _FAILED_LISTS_BORNE:
            return []
        some = _longest_unread(wanted, 1 + len(wanted) // _SHARE_READ)
        for one in some:
            one.listed_alive()
        return some

    def _leave_the_list_alone(self, reads: int) -> None:
        self._sweep_cost = _NO_SWEEP
        self._reads_until_try = reads * self._put_off
        self._put_off = min(2 * self._put_off, _LONGEST_PUT_OFF)


def _show(wanted: dict[str, Watched], row: WatchedRun, now: float) -> None:
    one = wanted.get(row.id)
    if one is not None and one.listed(row, now):
        del wanted[row.id]


def _longest_unread(wanted: dict[str, Watched], at_most: int) -> list[Watched]:
    return sorted(wanted.values(), key=lambda one: one.read_at)[:at_most]


def _since(watched: Iterable[Watched]) -> datetime | None:
    """What leaves out only runs that are older than all of these; None where the age of one is not known."""
    oldest: datetime | None = None
    for one in watched:
        if one.created_at is None:
            return None
        if oldest is None or one.created_at < oldest:
            oldest = one.created_at
    return None if oldest is None else oldest - CLOCK_SKEW
