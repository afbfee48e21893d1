"""What the times of a run say about whether it is the one that a ledger entry names."""

from __future__ import annotations

from planasonix.runs.effects import RunView
from planasonix.runs.identity import is_another
from planasonix.runs.record import Record

_STAMPS_DIFFER_SECONDS = 1.0
"""The same stamp may come with and without fractions of a second."""


def is_of_another_time(record: Record, run: RunView) -> bool:
    """Whether the run was created at another moment than the API told at the start.

    Where it told none, the record holds the moment of our POST, by our clock: nothing to compare then.
    """
    if record.run_id is None or run.created_at is None or record.created_at in (None, record.sent_at):
        return False
    later = run.created_at.timestamp() - record.created_at
    # The run of a pipeline tells at its start when it was queued, and later only when it left the queue.
    return later < -_STAMPS_DIFFER_SECONDS or (later > _STAMPS_DIFFER_SECONDS and record.kind != "run")


def may_be_earlier(record: Record, run: RunView) -> bool:
    """Whether the run can be one that this intent had before its present one: same connection, and created before."""
    if is_another(run, record):
        return False
    before = record.created_at or record.sent_at
    if run.created_at is None or before is None:
        return True
    return run.created_at.timestamp() <= before + _STAMPS_DIFFER_SECONDS
