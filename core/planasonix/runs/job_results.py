"""Reading the results of all jobs of one run: bounded in calls, and in time where the caller has little."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from planasonix.errors import PlanasonixError
from planasonix.runs.effects import Results, Steps

_RESULTS_OF_AT_MOST = 500
"""Jobs of one backfill whose results are read: a bound on calls, stated in the report when it is met."""
_UNREAD_BORNE = 3


class Deadline:
    """`is_over` after `seconds`, by the clock `now`; never where they are None."""

    def __init__(self, seconds: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._at = None if seconds is None else now() + seconds

    @property
    def is_over(self) -> bool:
        return self._at is not None and self._now() >= self._at


def read_results(
    job_ids: Iterable[str], deadline: Deadline, read_before: MutableMapping[str, Any] | None = None
) -> Steps[tuple[dict[str, Any], list[str]]]:
    """(the results by job id, the ids of the jobs whose results are missing). No error of the API comes through.

    What `read_before` has is not read again; what is read now is added to it. One is asked for however late it is: else
    a caller that is always late would never come to an end.
    """
    known: MutableMapping[str, Any] = {} if read_before is None else read_before
    parts: dict[str, Any] = {}
    unread: list[str] = []
    has_asked = False
    for job_id in job_ids:
        if job_id in known:
            parts[job_id] = known[job_id]
            continue
        if (has_asked and deadline.is_over) or len(unread) > _UNREAD_BORNE or len(parts) >= _RESULTS_OF_AT_MOST:
            unread.append(job_id)
            continue
        has_asked = True
        try:
            results = yield Results(job_id)
        except PlanasonixError:
            # The run itself told how it ended; what it loaded is worth a warning, not another ending.
            results = None
        if results is None:
            unread.append(job_id)
        else:
            parts[job_id] = known[job_id] = results
    return parts, unread
