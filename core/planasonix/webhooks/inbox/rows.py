"""Events as rows, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from planasonix.errors import redact
from planasonix.webhooks.event import Event
from planasonix.webhooks.inbox.records import Source, StoredEvent
from planasonix.webhooks.inbox.times import from_us, to_us

if TYPE_CHECKING:
    from sqlalchemy import Row

_LONGEST_ERROR = 1_000


def to_row(event: Event, *, seq: int, received_us: int, source: Source) -> dict[str, Any]:
    """The row of an event. Raises TypeError, ValueError or RecursionError for a payload that is no JSON."""
    return {
        "seq": seq,
        "event_id": event.event_id,
        "type": event.type,
        "kind": event.kind,
        "object_id": event.object_id,
        "connection_id": event.connection_id,
        "status": event.status,
        "occurred_us": None if event.occurred_at is None else to_us(event.occurred_at),
        "received_us": received_us,
        "source": source,
        "replay_of": None,
        "only_for": None,
        "payload": json.dumps(dict(event.payload), separators=(",", ":")),
    }


def from_row(row: Row[Any]) -> StoredEvent:
    """The event of a row of the table of events."""
    event = Event(
        event_id=row.event_id,
        type=row.type,
        kind=row.kind,
        object_id=row.object_id,
        connection_id=row.connection_id,
        status=row.status,
        occurred_at=None if row.occurred_us is None else from_us(row.occurred_us),
        payload=json.loads(row.payload),
    )
    return StoredEvent(row.seq, event, from_us(row.received_us), row.source, row.replay_of, row.only_for)


def one_line(error: BaseException | str) -> str:
    """An error as a dead letter shows it: its kind and first line, without what looks like a secret."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    line = next(iter(text.strip().splitlines()), "")
    # PostgreSQL's text takes neither a NUL nor half a character.
    line = line.replace("\0", "").encode("utf-8", "replace").decode()
    return redact(line)[:_LONGEST_ERROR]
