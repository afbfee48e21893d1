"""How events are read."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from planasonix.webhooks.inbox.records import StoredEvent
from planasonix.webhooks.inbox.rows import from_row
from planasonix.webhooks.inbox.store.base import Store


def read(store: Store, after: int, limit: int) -> list[StoredEvent]:
    events = store.tables.events
    with store.read() as connection:
        rows = connection.execute(select(events).where(events.c.seq > after).order_by(events.c.seq).limit(limit))
        return [from_row(row) for row in rows]


def read_some(store: Store, seqs: Sequence[int]) -> list[StoredEvent]:
    events = store.tables.events
    with store.read() as connection:
        rows = connection.execute(select(events).where(events.c.seq.in_(seqs)).order_by(events.c.seq))
        return [from_row(row) for row in rows]


def find(store: Store, event_ids: Sequence[str]) -> list[StoredEvent]:
    events = store.tables.events
    with store.read() as connection:
        first = events.c.replay_of.is_(None)
        rows = connection.execute(select(events).where(events.c.event_id.in_(event_ids), first).order_by(events.c.seq))
        return [from_row(row) for row in rows]


def last_seq(store: Store) -> int:
    with store.read() as connection:
        return connection.execute(select(store.tables.meta.c.last_seq)).scalar_one()


def identity(store: Store) -> str:
    with store.read() as connection:
        return connection.execute(select(store.tables.meta.c.identity)).scalar_one()
