"""Look for the job of a start request whose answer was lost, among the connection's runs since it was sent."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import Any

from planasonix.errors import PlanasonixError
from planasonix.runs.decide import Policy
from planasonix.runs.effects import Claimed, Get, Listed, ListSince, RunView, Steps
from planasonix.runs.identity import is_another
from planasonix.runs.metadata_names import INTENT
from planasonix.runs.record import Record
from planasonix.runs.requests import RunRequest
from planasonix.watch.protocols import ENDED_PHASES, Kind

_SLACK_SECONDS = 3.0
"""Stamps and `Date` have whole seconds, and an answer takes a while."""
_QUEUED_AT_MOST_SECONDS = 86_400.0
"""How long the run of a pipeline may have stood in its queue, where only its start is shown."""


def look(
    record: Record,
    request: RunRequest | type[RunRequest],
    policy: Policy,
    *,
    within_seconds: float | None = None,
    own_clock: bool = False,
) -> Steps[tuple[RunView | None, list[RunView]]]:
    """(the run that carries our token, if the API shows metadata; every run that may be ours).

    Left out are runs of other types, windows and tables, runs that had ended before we asked, this intent's earlier
    jobs, what an earlier look passed over, what another slot of the ledger owns, and what carries another intent's
    token. `within_seconds` leaves out what was created later than that after we asked, for a look that comes long
    after. `own_clock`: this process has sent the request, so that what the API's clock is from its own tells of runs
    that had begun before, too. Two machines of ours may differ by more, and leaving out our own run would start a
    second one.
    """
    sent_at = record.sent_at or 0.0
    listed: Listed = yield ListSince(
        record.kind, record.target_id, request.job_type, sent_at - policy.clock_skew_seconds
    )
    asked = json.loads(record.body)
    known = (*record.earlier_ids, *record.passed_ids)
    runs = [run for run in listed.runs if run.id not in known and request.may_be(asked, run)]
    if within_seconds is not None:
        until = sent_at + within_seconds
        runs = [run for run in runs if not _began_after(run, record.kind, until, listed.clock_offset_seconds)]
    taken: frozenset[str] = yield Claimed(tuple(run.id for run in runs))
    possible: list[RunView] = []
    for row in (run for run in runs if run.id not in taken):
        run: RunView = row
        # Where the GET fails, the row must do: what is not known of a run speaks neither for nor against it.
        with suppress(PlanasonixError):
            run = yield Get(record.kind, row.id)
        if is_another(run, record):
            continue
        token = token_of(run)
        if token == record.intent:
            return run, [run]
        before = _was_before(run, sent_at, listed.clock_offset_seconds, own_clock=own_clock)
        if token is None and not before and request.may_be(asked, run):
            possible.append(run)
    return None, possible


def _began_after(run: RunView, kind: Kind, moment: float, clock_offset_seconds: float | None) -> bool:
    """Whether it was created after `moment`, which is by our clock, as far as the two clocks can be compared."""
    created = run.created_at
    if created is None or clock_offset_seconds is None:
        return False
    if kind == "run" and getattr(run, "queued_at", None) is None:
        # A list shows when the run of a pipeline left its queue, which may be long after it was asked for.
        moment += _QUEUED_AT_MOST_SECONDS
    return created.timestamp() > moment + clock_offset_seconds + _SLACK_SECONDS


def _was_before(run: RunView, sent_at: float, clock_offset_seconds: float | None, *, own_clock: bool) -> bool:
    """Whether it had ended before we asked or, by a clock that is known well enough, had begun."""
    created, finished = run.created_at, getattr(run, "finished_at", None)
    if finished is None and run.phase in ENDED_PHASES:
        # A list's row has no stamp of its end: its creation must do, which lies before that.
        finished = created
    stamps = (finished, created if own_clock else None)
    if clock_offset_seconds is None:
        return False
    bound = sent_at + clock_offset_seconds - _SLACK_SECONDS
    return any(isinstance(stamp, datetime) and stamp.timestamp() < bound for stamp in stamps)


def token_of(run: RunView) -> str | None:
    """The token that the run's metadata carries, where the API shows metadata at all."""
    metadata: Any = getattr(run, "metadata", None)
    token = metadata.get(INTENT) if isinstance(metadata, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return token if isinstance(token, str) else None
