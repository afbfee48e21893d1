"""Whether the jobs of a backfill that the API calls a success succeeded too (G5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from planasonix.errors import PlanasonixError, redact
from planasonix.runs.effects import Get, RunView, Steps
from planasonix.runs.job_results import Deadline

_BAD = ("failed", "cancelled")
_READ_AT_MOST = 100
"""Jobs that are read one by one, where their results say nothing: a bound on calls."""


def bad_jobs(
    job_ids: Sequence[str], results: Mapping[str, Any], deadline: Deadline
) -> Steps[tuple[dict[str, str], list[str]]]:
    """(the status of each job that failed or was cancelled, by its id; the jobs that the deadline left unread).

    Results carry the status of their job. A job is read only where it has no results, or they carry no end. Where it
    cannot be read, the word of the backfill stands.
    """
    bad: dict[str, str] = {}
    unread: list[str] = []
    reads = 0
    for job_id in job_ids:
        shown: Any = results.get(job_id)
        # The only job's results speak for themselves: no call for what the backfill has told.
        silent = len(job_ids) > 1 and getattr(shown, "status", None) is None
        if (shown is None or silent) and deadline.is_over:
            unread.append(job_id)
        elif (shown is None or silent) and reads < _READ_AT_MOST:
            reads += 1
            with suppress(PlanasonixError):
                run: RunView = yield Get("job", job_id)
                shown = run
        if shown is not None and shown.phase in _BAD:
            bad[job_id] = redact(str(shown.status))
    return bad, unread


def not_whole(results: Sequence[Any], job_count: int) -> frozenset[str]:
    """The tables of a backfill that ended badly which some job of it may not have loaded: a part of their window is
    missing, though other jobs list them.

    A job that succeeded and does not list a table had no change for it.
    """
    listed: Counter[str] = Counter()
    succeeded = 0
    for part in results:
        good = part.phase == "succeeded"
        succeeded += good
        listed.update({table.name: 0 for table in part.tables or ()})
        if not good:
            listed.update({table.name for table in part.tables or ()})
    return frozenset(name for name, among_bad in listed.items() if among_bad + succeeded < job_count)


def sentence_on(bad: Mapping[str, str], job_count: int) -> str:
    """What goes into the outcome's message."""
    named = ", ".join(f"{job_id} ({status})" for job_id, status in list(bad.items())[:5])
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    return f"{len(bad)} of {job_count} jobs did not succeed: {named}{more}"
