"""One look: list the runs since then, and read the one that a verdict would rest on. A list alone ends no wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING

from planasonix.errors import NotFoundError
from planasonix.models.status import is_known_status
from planasonix.runs.drivers import aperform, perform
from planasonix.runs.effects import Get, Listed, ListSince, RunView, Steps
from planasonix.runs.since.judge import Sighting, counts, in_order, judge
from planasonix.runs.since.wish import RunSince
from planasonix.watch.protocols import ENDED_PHASES

if TYPE_CHECKING:
    from planasonix.client import AsyncPlanasonix, Planasonix

OVERLAP_SECONDS = 300.0
"""How much earlier than `since` lists begin: their bound may be rounded, and clocks drift. What is too old is left out
here."""

READS_AT_MOST = 10
"""In one look. A list that shows more ends than GETs confirm is looked at again, after a pause."""


def look(
    wish: RunSince, now: Callable[[], float] = time.time, known_ends: MutableMapping[str, RunView] | None = None
) -> Steps[Sighting]:
    """List, judge, confirm. `known_ends` as in `confirm`."""
    listed: Listed = yield ListSince(wish.kind, wish.target_id, wish.job_type, wish.since.timestamp() - OVERLAP_SECONDS)
    ends: MutableMapping[str, RunView] = {} if known_ends is None else known_ends
    return (yield from confirm(wish, listed.runs, listed.clock_offset_seconds, now, ends))


def confirm(
    wish: RunSince,
    rows: Iterable[RunView],
    clock_offset_seconds: float | None,
    now: Callable[[], float],
    known_ends: MutableMapping[str, RunView],
) -> Steps[Sighting]:
    """Judge the rows of a list, and read the run that the verdict rests on until a GET has said the same.

    `known_ends` are ends that GETs have shown earlier; those of this look are added. A run that the list shows and a
    GET does not (404) counts for nothing in this look. Raises what a GET raises otherwise.
    """
    runs = {row.id: known_ends.get(row.id, row) for row in rows if counts(wish, row, clock_offset_seconds)}
    read_ids: set[str] = set()
    while True:
        sighting = judge(wish, runs.values(), now() + (clock_offset_seconds or 0.0))
        # The last read is kept for what the verdict rests on: unclear ones must not hide a run that is found.
        unclear = _unclear(wish, runs.values(), sighting, read_ids) if len(read_ids) < READS_AT_MOST - 1 else None
        run_id = unclear or _resting_on(sighting, known_ends)
        if run_id is None:
            return sighting
        if len(read_ids) >= READS_AT_MOST:
            return Sighting("waiting", sighting.run)
        read_ids.add(run_id)
        try:
            read: RunView = yield Get(wish.kind, run_id)
        except NotFoundError:
            del runs[run_id]
            continue
        if read.id != run_id or (read.created_at is not None and not counts(wish, read, clock_offset_seconds)):
            # An answer about another run says nothing of this one.
            del runs[run_id]
            continue
        runs[run_id] = read
        if read.phase in ENDED_PHASES:
            known_ends[run_id] = read


def _unclear(wish: RunSince, runs: Iterable[RunView], sighting: Sighting, read_ids: Container[str]) -> str | None:
    """The next run whose word nobody published, if the verdict would be another one were it an end.

    A row shows no time of an end: whether such a word is one, only a GET tells. It is never a success.
    """
    going_on = [run for run in in_order(runs) if run.phase not in ENDED_PHASES]
    unclear = [run for run in going_on if run.id not in read_ids and not is_known_status(run.status)]
    if wish.wanted_status == "ended":
        # The earliest end is the answer, so that only what was created before the one that is found matters.
        found = [sighting.run] if sighting.verdict == "found" and sighting.run is not None else []
        first = next(iter(in_order([*unclear, *found])), None)
        return None if first is None or first in found else first.id
    # Any run that is known to go on, and patience with bad ends, make a wait of it in any case.
    if sighting.verdict != "waiting" or not wish.fail_on_failure or len(unclear) < len(going_on):
        return None
    return unclear[-1].id if unclear else None


def _resting_on(sighting: Sighting, known_ends: Mapping[str, RunView]) -> str | None:
    """The run that must be read before the verdict stands."""
    if sighting.run is None or sighting.verdict == "waiting" or sighting.run.id in known_ends:
        return None
    return sighting.run.id


def find_run_since(
    client: Planasonix, wish: RunSince, *, known_ends: MutableMapping[str, RunView] | None = None
) -> Sighting:
    """Look once, for callers with a thread of their own. Raises what lists and GETs raise.

    `known_ends`, a dictionary that the caller keeps from look to look, saves reading the same ends again. A look reads
    ten runs at most: where more have ended with words that nobody published, a wait goes on without it.

    >>> from planasonix import Planasonix
    >>> from planasonix.runs import RunSince, find_run_since
    >>> from planasonix.sandbox import Sandbox
    >>> client = Planasonix("plnx_live_sandbox", transport=Sandbox().transport())
    >>> find_run_since(client, RunSince("job", "conn_shop_orders", "2026-01-01T00:00Z")).verdict
    'waiting'
    """
    return perform(client, look(wish, known_ends=known_ends))


async def afind_run_since(client: AsyncPlanasonix, wish: RunSince) -> Sighting:
    """As `find_run_since`."""
    return await aperform(client, look(wish))
