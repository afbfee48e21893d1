"""Put an end to the job of an older intent before the new one starts (G2), if it is certainly ours (G3)."""

from __future__ import annotations

from collections.abc import Callable

from planasonix.errors import ConflictError
from planasonix.runs.cancel import cancel
from planasonix.runs.decide import Policy
from planasonix.runs.effects import Post, RunView, Save, Say, Sleep, Steps
from planasonix.runs.identity import read_run
from planasonix.runs.look import look
from planasonix.runs.record import Record
from planasonix.runs.requests import request_class
from planasonix.watch.protocols import ENDED_PHASES

_PAUSE_SECONDS = 2.0


def retire(record: Record, policy: Policy, now: Callable[[], float]) -> Steps[None]:
    """Cancel the record's run if it is owned and alive, and await its end.

    Raises `ConflictError` when it is still not ended after `policy.retire_seconds`: the orchestrator's retry comes
    back to it.
    """
    if record.run_id is None:
        record = yield from find_lost(record, policy, now)
    if record.run_id is None or not record.owned:
        return
    if not policy.cancel_older:
        yield Say("warning", f"{record.kind} {record.run_id} of the earlier run of this task is left as it is")
        return
    give_up_at = now() + policy.retire_seconds
    asked = False
    while True:
        run, gone = yield from read_run(record, policy, now)
        if gone:
            return
        if run is None:
            # Started a moment ago: not every copy of the API's store may have heard of it.
            yield Sleep(_PAUSE_SECONDS)
            continue
        if run.phase in ENDED_PHASES:
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


def find_lost(record: Record, policy: Policy, now: Callable[[], float]) -> Steps[Record]:
    """The record with the id of the run that its lost start request made, where that is certain."""
    if record.sent_at is None:
        return record
    if not policy.cancel_older:
        yield Say("warning", "an earlier start request of this task has an unknown outcome; its job goes on, if any")
        return record
    yield Sleep(policy.settle_seconds)
    ours, candidates = yield from look(record, request_class(record.operation), policy)
    alive = [run for run in candidates if run.phase not in ENDED_PHASES]
    if ours is None and alive and policy.key_counts(record.sent_at, now()):
        ours = yield from _replayed(record)
    elif ours is None and alive:
        yield Say(
            "warning",
            "an earlier start request of this task has an unknown outcome, and these may be its job or somebody "
            f"else's, so that they go on: {', '.join(run.id for run in alive)}",
        )
    if ours is None:
        return record
    record = record.named(ours, now(), policy.timeout_seconds)
    yield Save(record)
    return record


def _replayed(record: Record) -> Steps[RunView | None]:
    """The run that the key stands for, asked by sending the same bytes again; None where it started nothing.

    Asked only while runs are alive that may be ours. If ours is none of them the request may take effect now: then it
    is ours as well, and ended like any other. Raises what says neither: the orchestrator's retry comes back to it.
    """
    yield Save(record)
    try:
        run, _ = yield Post(record, retry_unknown=True)
    except ConflictError:
        # A replay was due, were one of those runs ours.
        return None
    return run
