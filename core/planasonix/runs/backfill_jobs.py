"""Whether the jobs of a backfill that the API calls a success succeeded too (G5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from planasonix.errors import PlanasonixError, redact
from planasonix.runs.effects import Get, RunView, Steps
from planasonix.runs.job_results import Deadline

_BAD = ("failed", "cancelled")
_READ_AT_MOST = 100
"""Jobs that are read one by one, where their results say nothing: a bound on calls."""


def read_silent_jobs(
    job_ids: Sequence[str], results: Mapping[str, Any], deadline: Deadline
) -> Steps[tuple[dict[str, Any], list[str]]]:
    """(what shows the end of each job, by its id: its results, or the job itself; the jobs that the deadline left
    unread).

    Results carry the status of their job. A job is read only where it has no results, or they carry no end. Where it
    cannot be read, the word of the backfill stands.
    """
    shown = dict(results)
    unread: list[str] = []
    reads = 0
    for job_id in job_ids:
        # The only job's results speak for themselves: no call for what the backfill has told.
        silent = len(job_ids) > 1 and getattr(shown.get(job_id), "status", None) is None
        if (job_id not in shown or silent) and deadline.is_over:
            unread.append(job_id)
        elif (job_id not in shown or silent) and reads < _READ_AT_MOST:
            reads += 1
            with suppress(PlanasonixError):
                run: RunView = yield Get("job", job_id)
                shown[job_id] = run
    return shown, unread


def bad_ones(job_ids: Sequence[str], shown: Mapping[str, Any]) -> dict[str, str]:
    """The status of each job that failed or was cancelled, by its id."""
    return {each: redact(str(shown[each].status)) for each in job_ids if each in shown and shown[each].phase in _BAD}


def not_whole(
    job_ids: Sequence[str], results: Mapping[str, Any], shown: Mapping[str, Any]
) -> dict[str, Literal["failed", "unknown"]]:
    """The tables of a backfill that ended badly which some job of it did not load (`failed`), or of which that cannot
    be told (`unknown`): a part of their window is missing, though other jobs list them.

    A job that succeeded and does not list a table had no change for it.
    """
    listed = {each: {table.name for table in part.tables or ()} for each, part in results.items()}
    phases = {each: shown[each].phase if each in shown else None for each in job_ids}
    bad = [listed.get(each, set[str]()) for each, phase in phases.items() if phase in _BAD]
    untold = [listed.get(each, set[str]()) for each, phase in phases.items() if phase not in (*_BAD, "succeeded")]
    states: dict[str, Literal["failed", "unknown"]] = {}
    for name in set[str]().union(*listed.values()):
        if any(name not in names for names in bad):
            states[name] = "failed"
        elif any(name not in names for names in untold):
            states[name] = "unknown"
    return states


def sentence_on(bad: Mapping[str, str], job_count: int) -> str:
    """What goes into the outcome's message."""
    named = ", ".join(f"{job_id} ({status})" for job_id, status in list(bad.items())[:5])
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    return f"{len(bad)} of {job_count} jobs did not succeed: {named}{more}"
