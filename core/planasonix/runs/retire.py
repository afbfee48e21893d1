"""Put an end to the job of an older intent before the new one starts (G2), if it is certainly ours (G3)."""

from __future__ import annotations

from collections.abc import Callable

from planasonix.errors import ConflictError, NotFoundError
from planasonix.runs.cancel import cancel
from planasonix.runs.decide import Policy
from planasonix.runs.effects import Get, RunView, Say, Sleep, Steps
from planasonix.runs.record import Record

_PAUSE_SECONDS = 2.0


def retire(record: Record, policy: Policy, now: Callable[[], float]) -> Steps[None]:
    """Cancel the record's run if it is owned and alive, and await its end.

    Raises `ConflictError` when it is still not ended after `policy.retire_seconds`: the orchestrator's retry comes
    back to it.
    """
    if record.run_id is None:
        if record.sent_at is not None:
            yield Say(
                "warning",
                "an earlier start request of this task has an unknown outcome; if it did start a job, that job goes on",
            )
        return
    if not record.owned:
        return
    if not policy.cancel_older:
        yield Say("warning", f"{record.kind} {record.run_id} of the earlier run of this task is left as it is")
        return
    give_up_at = now() + policy.retire_seconds
    asked = False
    while True:
        try:
            run: RunView = yield Get(record.kind, record.run_id)
        except NotFoundError:
            return
        if run.phase not in ("active", "cancelling"):
            return
        if not asked and run.phase == "active":
            yield Say(
                "info",
                f"{record.kind} {run.id} of the earlier run of this task is still running: cancelling it first",
            )
            yield from cancel(record.kind, record.run_id)
            asked = True
        elif now() >= give_up_at:
            raise ConflictError(
                f"{record.kind} {run.id} of the earlier run of this task was asked to stop "
                f"{policy.retire_seconds:g} s ago and has not ended.",
                status_code=409,
                hint="Retry later: some sources finish their present batch before they stop.",
            )
        yield Sleep(_PAUSE_SECONDS)
