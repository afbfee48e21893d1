"""Reading single values of what the API shows of a run."""

from __future__ import annotations

import re
from datetime import datetime
from math import isfinite

from planasonix.errors import redact
from planasonix.runs.effects import RunView
from planasonix.runs.record import Record


def text(value: object) -> str | None:
    """What the API says in words; it may quote what it should not, and may send a number."""
    return None if value is None else redact(str(value))


def plus(one: int | None, other: int | None) -> int | None:
    """The sum of what is known."""
    if one is None:
        return other
    return one if other is None else one + other


def duration_seconds(run: RunView) -> float | None:
    """What the API says, else what its stamps say."""
    told = getattr(run, "duration_seconds", None)
    if isinstance(told, int | float) and isfinite(told):
        return float(told)
    begin = getattr(run, "started_at", None) or run.created_at
    end = getattr(run, "finished_at", None) or getattr(run, "updated_at", None)
    if isinstance(begin, datetime) and isinstance(end, datetime) and end >= begin:
        return (end - begin).total_seconds()
    return None


def moment(run: RunView, name: str) -> str | None:
    """One of the run's times, as RFC 3339 in UTC."""
    value = getattr(run, name, None)
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else None


def record_state(record: Record) -> str:
    """Where the job of a ledger's record stands, as far as its owner knows, for people."""
    if record.ended_as is not None:
        return record.verdict or record.ended_as
    if record.run_id is not None:
        return "started" if record.owned else "waited for, may be somebody else's"
    return "asked for" if record.sent_at is not None else "refused, busy"


def names(sentence: str, table: str) -> bool:
    """Whether the sentence names the table: the whole name, in any case."""
    return re.search(rf"(?<![\w.]){re.escape(table)}(?!\w)", sentence, re.IGNORECASE) is not None
