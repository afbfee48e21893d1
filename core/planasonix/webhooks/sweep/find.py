"""One sweep: what has ended since the last one, at the least cost in calls.

==============================  ==========================================================================
created since the mark          listed whole, ended or not: an idle tenant costs a page of each kind
went on at the last sweep       up to three are read; more are looked for in the lists of active ones
in none of those                looked for in a list of all, for at most half a call each, then read
==============================  ==========================================================================

What it finds is a hint as every event is: whoever acts on one asks the API first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from planasonix.errors import AuthenticationError, NotFoundError, PagingError, PlanasonixError, RateLimitError
from planasonix.runs.drivers import Log
from planasonix.runs.effects import RunView
from planasonix.runs.polled.lists import PAGE_SIZE, list_everybody, still_active
from planasonix.watch import Kind
from planasonix.watch.protocols import ACTIVE_LISTS, ENDED_PHASES, reader_of
from planasonix.watch.round import FEW
from planasonix.webhooks.event import Event
from planasonix.webhooks.sweep.cursor import KINDS, OpenRun, SweepCursor

if TYPE_CHECKING:
    from planasonix.client import Planasonix

OVERLAP_SECONDS = 300.0
"""How late a list may show a run, by its creation, and it is still seen."""
MISSES_BORNE = 5
"""In so many sweeps the API may not know a run that it once listed; then it is deleted."""
ERRORS_BORNE = 3
"""Calls in a row without an answer: then the API is away, and the sweep ends."""
TOLD_KEPT = 20_000

Write = Callable[[list[Event]], None]
"""Stores events, durably. What it raises ends the sweep: nothing counts as told then."""
Stop = Callable[[], bool]


class Told:
    """The ends that this process has written, so that the overlap of two sweeps costs the inbox nothing. Another
    process begins with an empty one: the inbox knows its duplicates.
    """

    def __init__(self) -> None:
        self._ends: OrderedDict[tuple[Kind, str, str], None] = OrderedDict()

    def knows(self, kind: Kind, run: RunView) -> bool:
        return (kind, run.id, run.phase) in self._ends

    def note(self, kind: Kind, run: RunView) -> None:
        self._ends[kind, run.id, run.phase] = None
        while len(self._ends) > TOLD_KEPT:
            self._ends.popitem(last=False)


@dataclass
class Swept:
    """What a sweep came to. `found` ends, of which the inbox may have known some; `open` runs that go on, or that it
    did not get to. `calls_failed` is empty if all went well.
    """

    found: int = 0
    open: int = 0
    calls_failed: list[PlanasonixError] = field(default_factory=list[PlanasonixError])


def sweep_once(
    client: Planasonix,
    cursor: SweepCursor,
    write: Write,
    told: Told,
    *,
    log: Log,
    stop: Stop = lambda: False,
    overlap_seconds: float = OVERLAP_SECONDS,
    now: Callable[[], float] = time.time,
) -> Swept:
    """Look once and write what has ended; moves the cursor on, which the caller keeps.

    What had ended when the first sweep was taken is history, and not written, but for the last `overlap_seconds`.
    `stop` says that the time is over: the rest is left to the next sweep. Raises `AuthenticationError` where the key is
    refused and what `write` raises; other errors of the API leave what they hide to the next sweep.
    """
    return _Sweep(client, cursor, write, told, log, stop, overlap_seconds, now).take()


@dataclass
class _Sweep:
    client: Planasonix
    cursor: SweepCursor
    write: Write
    told: Told
    log: Log
    stop: Stop
    overlap_seconds: float
    now: Callable[[], float]
    swept: Swept = field(default_factory=Swept)
    errors_in_a_row: int = 0

    def take(self) -> Swept:
        for kind in KINDS:
            if self._is_over():
                break
            shown = self._list_new(kind)
            self._look_at_open(kind, shown)
        self.cursor.swept_at = self.now()
        self.swept.open = len(self.cursor.open)
        return self.swept

    def _list_new(self, kind: Kind) -> frozenset[str]:
        """List what was created since the mark; the ids of those that go on."""
        active: set[str] = set()
        try:
            if kind not in self.cursor.marks:
                self._begin(kind)
            while not self._is_over():
                began_at = self._server_now()
                rows, is_all = self._rows_since_mark(kind)
                self.errors_in_a_row = 0
                active |= self._note(kind, rows)
                # What is listed is written before the mark passes it.
                if is_all:
                    self._move_mark(kind, rows, began_at)
                if is_all:
                    break
        except AuthenticationError:
            raise
        except PlanasonixError as error:
            self._failed(error, f"the new {kind}s could not be listed")
        return frozenset(active)

    def _begin(self, kind: Kind) -> None:
        """The first sweep: all that goes on is waited for, however old."""
        if self.client.clock_offset_seconds is None:
            self.client.jobs.list_page(limit=1)  # tells how far the API's clock is from ours
        began_at = self._server_now()
        for status in ACTIVE_LISTS[kind].statuses:
            reader = self.client.jobs if kind == "job" else self.client.backfills
            self._note(kind, reader.list(status=status, limit=PAGE_SIZE))
        self.cursor.marks[kind] = began_at

    def _rows_since_mark(self, kind: Kind) -> tuple[list[RunView], bool]:
        """Rows, and whether they are all: one list of all, or where that is too long, of the next stretch of time."""
        cursor, now = self.cursor, self._server_now()
        # A mark in the future comes from a clock that was wrong at the first sweep.
        mark, chunk = min(self.cursor.marks[kind], now), cursor.chunk_seconds
        if kind == "backfill" or chunk is None:
            try:
                rows = list_everybody(self.client, kind, mark - self.overlap_seconds, None, stop=self.stop)
            except PagingError:
                if kind == "job":
                    cursor.chunk_seconds = max(1.0, (now - mark) / 2)
                raise
            return rows, True
        try:
            since = mark - min(self.overlap_seconds, 10 * chunk)
            rows = list_everybody(self.client, kind, since, mark + chunk, stop=self.stop)
        except PagingError:
            cursor.chunk_seconds = max(1.0, chunk / 2)
            raise
        if mark + chunk >= now:
            cursor.chunk_seconds = None
            return rows, True
        # There was too much after the mark for one list: what is not in this stretch comes after it.
        cursor.marks[kind], cursor.chunk_seconds = mark + chunk, 2 * chunk
        return rows, False

    def _move_mark(self, kind: Kind, rows: Iterable[RunView], began_at: float) -> None:
        """Everything was listed, so the mark may stand where the list began, by the API's clock.

        That clock is known by its last answer and ours, which may have jumped since. It has not jumped forward both
        since the answer before the list and since the last one of the list, so the lower of two readings is safe.
        """
        newest = max((row.created_at.timestamp() for row in rows if row.created_at is not None), default=0.0)
        now = self._server_now()
        up_to = min(newest, now) if self.client.clock_offset_seconds is None else min(began_at, now)
        self.cursor.marks[kind] = max(self.cursor.marks[kind], up_to)

    def _note(self, kind: Kind, rows: Iterable[RunView]) -> frozenset[str]:
        """Write those that have ended, remember those that go on, and return their ids."""
        active: set[str] = set()
        ended: list[RunView] = []
        for row in rows:
            if row.phase in ENDED_PHASES:
                ended.append(row)
            else:
                active.add(row.id)
                created_at = 0.0 if row.created_at is None else row.created_at.timestamp()
                self.cursor.open.setdefault((kind, row.id), OpenRun(created_at))
        self._write(kind, ended)
        return frozenset(active)

    def _write(self, kind: Kind, ended: Iterable[RunView]) -> None:
        ended = list(ended)
        fresh = [run for run in ended if not self.told.knows(kind, run)]
        if fresh:
            self.write([Event.of_run(run, kind) for run in fresh])
        for run in ended:
            self.told.note(kind, run)
            self.cursor.open.pop((kind, run.id), None)
        self.swept.found += len(fresh)

    def _look_at_open(self, kind: Kind, shown: Collection[str]) -> None:
        """Find out about those that the list of new ones did not show."""
        doubtful = {key[1]: one for key, one in self.cursor.open.items() if key[0] == kind and key[1] not in shown}
        try:
            if len(doubtful) > FEW and not self._is_over():
                since = min(one.created_at for one in doubtful.values()) - self.overlap_seconds
                for run_id in still_active(self.client, kind, doubtful, max(0.0, since), self._is_over):
                    del doubtful[run_id]
            if len(doubtful) > FEW and kind == "job":
                for run_id in self._found_in_list(doubtful):
                    del doubtful[run_id]
        except AuthenticationError:
            raise
        except PlanasonixError as error:
            self._failed(error, f"the active {kind}s could not be listed")
        # The oldest first: a sweep that is cut shall not leave out the same ones each time.
        for run_id in sorted(doubtful, key=lambda each: (doubtful[each].misses, doubtful[each].created_at)):
            if self._is_over():
                return
            self._read(kind, run_id)

    def _found_in_list(self, wanted: Collection[str]) -> list[str]:
        """Those of the jobs that a list of all shows to have ended, for at most half a call each; written."""
        opened = [self.cursor.open["job", run_id].created_at for run_id in wanted]
        since = datetime.fromtimestamp(max(0.0, min(opened) - 1), UTC)
        until = datetime.fromtimestamp(max(opened) + 1, UTC)
        found: dict[str, RunView] = {}
        cursor: str | None = None
        for _ in range(len(wanted) // 2):
            if self._is_over():
                break
            page = self.client.jobs.list_page(since=since, until=until, limit=PAGE_SIZE, cursor=cursor)
            found |= {row.id: row for row in page.rows if row.id in wanted and row.phase in ENDED_PHASES}
            if page.cursor in (None, cursor) or len(found) == len(wanted):
                break
            cursor = page.cursor
        self._write("job", found.values())
        return list(found)

    def _read(self, kind: Kind, run_id: str) -> None:
        one = self.cursor.open[kind, run_id]
        try:
            run: RunView = reader_of(self.client, kind).get(run_id)
        except AuthenticationError:
            raise
        except NotFoundError:
            self.errors_in_a_row = 0
            one.misses += 1
            if one.misses >= MISSES_BORNE:
                self.log("warning", f"the API does not know {kind} {run_id} any more: it is not looked for any longer")
                del self.cursor.open[kind, run_id]
            return
        except PlanasonixError as error:
            self._failed(error, f"{kind} {run_id} could not be read")
            return
        self.errors_in_a_row = 0
        if run.id == run_id:  # an answer about another run says nothing of this one
            self._note(kind, [run])

    def _failed(self, error: PlanasonixError, what: str) -> None:
        # A rate limit asks for peace: what is left can wait for the next sweep.
        self.errors_in_a_row += ERRORS_BORNE if isinstance(error, RateLimitError) else 1
        self.swept.calls_failed.append(error)
        self.log("info", f"{what}: {error.headline()}")

    def _is_over(self) -> bool:
        return self.errors_in_a_row >= ERRORS_BORNE or self.stop()

    def _server_now(self) -> float:
        return self.now() + (self.client.clock_offset_seconds or 0.0)
