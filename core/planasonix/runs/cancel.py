"""Cancel a run that its owner gave up (G2).

A job has a cancel route, idempotent on jobs that ended; so has the run of a pipeline, by the client's doing. A
backfill has none (facts §1.1): the client cancels its jobs one by one, and since a backfill may go on to start others,
it is read again and asked again until it has ended.
"""

from __future__ import annotations

from contextlib import suppress

from planasonix.errors import NotPublishedError, PlanasonixError
from planasonix.runs.effects import Cancel, Get, RunView, Sleep, Steps
from planasonix.runs.identity import is_another
from planasonix.runs.target import Targeted
from planasonix.watch.protocols import ENDED_PHASES, Kind

_PAUSE_SECONDS = 1.0


def cancel(
    kind: Kind, run_id: str, *, meant: Targeted | None = None, patience_seconds: float = 30.0
) -> Steps[str | None]:
    """Ask for the end of the run; return its last status seen, or None where it is another run than the one `meant`.

    Raises the client's errors. That a run cannot be read speaks neither for nor against it: then it is cancelled.

    For a backfill this goes on until it has ended or `patience_seconds` have passed.
    """
    if kind != "backfill":
        if meant is not None:
            with suppress(PlanasonixError):
                shown: RunView = yield Get(kind, run_id)
                if is_another(shown, meant):
                    return None
        run: RunView = yield Cancel(kind, run_id)
        return str(run.status)
    asked: frozenset[str] = frozenset()
    waited = 0.0
    while True:
        backfill: RunView = yield Get(kind, run_id)
        if meant is not None and is_another(backfill, meant):
            return None
        job_ids = _job_ids(backfill)
        if backfill.phase not in ENDED_PHASES and (not asked or job_ids - asked):
            try:
                backfill = yield Cancel(kind, run_id)
                asked |= job_ids | _job_ids(backfill)
            except NotPublishedError:
                # No job yet that could be cancelled: one may start at any moment.
                if waited >= patience_seconds:
                    raise
        if backfill.phase in ENDED_PHASES or waited >= patience_seconds:
            return str(backfill.status)
        yield Sleep(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS


def cancelled_words(kind: Kind, status: str) -> str:
    """What came of a cancel that `cancel` returned this status from: `was cancelled (it is cancelling)`.

    A run may have ended by itself before, and a backfill may go on to start others than the jobs that were cancelled.
    """
    # Not at import: a plugin's import loads no models.
    from planasonix.models.status import phase_of

    phase = phase_of(status, ended=False)
    if phase in ("succeeded", "failed"):
        return f"had ended before it could be cancelled (it is {status})"
    if kind == "backfill" and phase == "active":
        return f"was asked to stop and is still {status}: look at it"
    return f"was cancelled (it is {status})"


def _job_ids(backfill: RunView) -> frozenset[str]:
    return frozenset(getattr(backfill, "job_ids", None) or ())
