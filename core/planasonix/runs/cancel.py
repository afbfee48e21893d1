"""Cancel a run that its owner gave up (G2).

A job has a cancel route, idempotent on jobs that ended. A backfill has none (facts §1.1): its jobs are cancelled one
by one, and `job_ids` is read again because a backfill may still be starting some.
"""

from __future__ import annotations

from planasonix.errors import APIError, NotFoundError
from planasonix.runs.effects import Cancel, Get, RunView, Sleep, Steps

_PAUSE_SECONDS = 1.0


def cancel(kind: str, run_id: str, *, patience_seconds: float = 30.0) -> Steps[str]:
    """Ask for the end of the run; return its last status seen. Raises the client's errors.

    For a backfill this goes on until it is terminal or `patience_seconds` have passed.
    """
    if kind == "job":
        job: RunView = yield Cancel(run_id)
        return str(job.status)
    asked: set[str] = set()
    waited = 0.0
    while True:
        backfill: RunView = yield Get("backfill", run_id)
        if backfill.phase in ("succeeded", "failed", "cancelled"):
            return str(backfill.status)
        for job_id in getattr(backfill, "job_ids", None) or ():
            if job_id in asked:
                continue
            try:
                yield Cancel(job_id)
            except NotFoundError:
                pass
            except APIError as error:
                if error.retryable:
                    continue
                raise
            asked.add(job_id)
        if waited >= patience_seconds:
            return str(backfill.status)
        yield Sleep(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS
