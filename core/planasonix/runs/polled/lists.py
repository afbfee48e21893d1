"""What the lists show that is new: one list for all connections where that costs fewer pages than a list for each.

The list of backfills has no bound in time (facts §1.1). It is read from its begin up to the first page that is older
than what is wanted, as long as its rows come newest first, an order that is not promised; else to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from planasonix.engine import Page
from planasonix.errors import PagingError
from planasonix.runs.effects import RunView
from planasonix.runs.target import shown_target
from planasonix.watch import Kind
from planasonix.watch.protocols import ACTIVE_LISTS

if TYPE_CHECKING:
    from planasonix.client import Planasonix

PAGE_SIZE = 100
PAGES_AT_MOST = 100
"""Of one list: some ten thousand runs. Where jobs go on after them, the next look asks for less time."""

JOB_TYPE = "connection_sync"
"""The jobs of a backfill are told with it, and the run of a pipeline loads no connection."""


Stop = Callable[[], bool]
"""Says whether the time is over, so that no further page is read. The first one always is, and of jobs the second."""


@dataclass
class Listing:
    """One connection's rows, and up to when (the API's time) they are all of them."""

    up_to: float
    rows: list[RunView] = field(default_factory=list[RunView])


def list_common(
    client: Planasonix, kind: Kind, since_by_connection: Mapping[str, float], *, now: float, stop: Stop
) -> dict[str, Listing] | None:
    """The runs of all these connections since then. None where the first page shows that there are too many, or rows
    do not tell whose they are: then each connection has a list of its own.

    Half as many pages as there are connections are tried; raises `PagingError` where the list goes on after them, or
    after `stop` says that the time is over, and what listing raises otherwise.
    """
    listings = {connection_id: Listing(now) for connection_id in since_by_connection}
    pages = max(2, len(listings) // 2)
    since = min(since_by_connection.values())
    rows: list[RunView] = []
    for row in _rows(client, kind, None, since, None, pages, stop):
        rows.append(row)
        if len(rows) == PAGE_SIZE and _pages_expected(rows, since) > pages:
            return None
    for row in rows:
        target = shown_target(row, kind)
        if target is None:
            return None
        # The list begins with the earliest; what another one has dealt with, and forgotten, is not told again.
        if target in listings and not _is_older(row, since_by_connection[target]):
            listings[target].rows.append(row)
    return listings


def list_own(
    client: Planasonix,
    kind: Kind,
    connection_id: str,
    since: float,
    *,
    mark: float,
    chunk_seconds: float,
    now: float,
    stop: Stop,
) -> Listing:
    """The runs of one connection since then, jobs up to so long after the mark.

    Raises `PagingError` where there are more than one list holds, or than it can be read of in time, and what listing
    raises otherwise.
    """
    up_to = now if kind == "backfill" else min(now, mark + chunk_seconds)
    until = None if up_to >= now else up_to
    rows = _rows(client, kind, connection_id, since, until, PAGES_AT_MOST, stop)
    return Listing(up_to, [row for row in rows if shown_target(row, kind) in (None, connection_id)])


def list_everybody(
    client: Planasonix, kind: Kind, since: float, until: float | None, *, stop: Stop, max_pages: int = PAGES_AT_MOST
) -> list[RunView]:
    """The jobs of all types, or the backfills, of all connections, created between the two (seconds since the epoch).

    Raises `PagingError` where the list goes on after `max_pages`, or after `stop` says that the time is over, and what
    listing raises otherwise.
    """
    if kind == "backfill":
        return _newest_backfills(client, None, since, max_pages, stop)
    rows = client.jobs.list(
        since=datetime.fromtimestamp(since, UTC),
        until=None if until is None else datetime.fromtimestamp(until, UTC),
        limit=PAGE_SIZE,
        max_pages=max_pages,
    )
    return list(_in_time(rows, stop))


def still_active(client: Planasonix, kind: Kind, run_ids: Iterable[str], since: float, stop: Stop) -> frozenset[str]:
    """Those of the runs that lists of active ones show: they need no read of their own.

    At most half as many pages as there are runs are read, and none after `stop`. Raises what listing raises.
    """
    wanted = frozenset(run_ids)
    active = ACTIVE_LISTS[kind]
    reader: Any = client.jobs if kind == "job" else client.backfills
    found: set[str] = set()
    pages = max(len(active.statuses), len(wanted) // 2)
    for status in active.statuses:
        filters: dict[str, Any] = {"status": status, "limit": PAGE_SIZE}
        if status in active.since_of:
            filters["since"] = datetime.fromtimestamp(since, UTC)
        cursor: str | None = None
        while pages > 0 and not stop():
            page: Page[RunView] = reader.list_page(cursor=cursor, **filters)
            pages -= 1
            found |= wanted & {row.id for row in page.rows}
            if page.cursor in (None, cursor):
                break
            cursor = page.cursor
    return frozenset(found)


def _rows(
    client: Planasonix,
    kind: Kind,
    connection_id: str | None,
    since: float,
    until: float | None,
    max_pages: int,
    stop: Stop,
) -> Iterable[RunView]:
    if kind == "backfill":
        return _newest_backfills(client, connection_id, since, max_pages, stop)
    filters: dict[str, Any] = {"type": JOB_TYPE, "limit": PAGE_SIZE, "max_pages": max_pages}
    if connection_id is not None:
        filters["connection_id"] = connection_id
    if until is not None:
        filters["until"] = datetime.fromtimestamp(until, UTC)
    return _in_time(client.jobs.list(since=datetime.fromtimestamp(since, UTC), **filters), stop)


def _in_time(rows: Iterable[RunView], stop: Stop) -> Iterator[RunView]:
    for number, row in enumerate(rows):
        if number and number % PAGE_SIZE == 0 and stop():
            raise PagingError(f"the time of the look was over after {number} rows")
        yield row


def _pages_expected(first_page: Sequence[RunView], since: float) -> float:
    """How many pages there are likely to be, by how much time the first one covers; 0 where that tells nothing."""
    stamps = [row.created_at.timestamp() for row in first_page if row.created_at is not None]
    if not _NewestFirst().holds_for(first_page) or stamps[-1] <= since:
        return 0.0
    return (stamps[0] - since) / max(0.001, stamps[0] - stamps[-1])


def _newest_backfills(
    client: Planasonix, connection_id: str | None, since: float, max_pages: int, stop: Stop
) -> list[RunView]:
    rows: dict[str, RunView] = {}
    cursor: str | None = None
    newest_first = _NewestFirst()
    for _ in range(max_pages):
        page = client.backfills.list_page(connection_id=connection_id, limit=PAGE_SIZE, cursor=cursor)
        fresh = [row for row in page.rows if row.id not in rows]
        rows |= {row.id: row for row in fresh}
        if newest_first.is_shown_by(fresh) and fresh and all(_is_older(row, since) for row in fresh):
            break
        if page.cursor is None:
            break
        if page.cursor == cursor:
            raise PagingError("the server repeats a cursor: the list of backfills would never end")
        if stop():
            raise PagingError(f"the time of the look was over after {len(rows)} rows")
        cursor = page.cursor
    else:
        raise PagingError(f"the list of backfills goes on after {max_pages} pages")
    return [row for row in rows.values() if not _is_older(row, since)]


class _NewestFirst:
    """Whether the rows have come newest first so far."""

    def __init__(self) -> None:
        self._holds = True
        self._falls = False
        self._last: float | None = None

    def is_shown_by(self, rows: Sequence[RunView]) -> bool:
        """Whether that holds, and stamps have fallen: one row, or equal ones, come in any order."""
        return self.holds_for(rows) and self._falls

    def holds_for(self, rows: Sequence[RunView]) -> bool:
        for row in rows:
            if row.created_at is None:
                self._holds = False
                continue
            at = row.created_at.timestamp()
            self._holds = self._holds and (self._last is None or at <= self._last)
            self._falls = self._falls or (self._last is not None and at < self._last)
            self._last = at
        return self._holds


def _is_older(row: RunView, since: float) -> bool:
    return row.created_at is not None and row.created_at.timestamp() < since
