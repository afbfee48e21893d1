"""What an inbox forgets, and when. Never so early that what was once refused as a repetition could come in anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Table, delete, select

from planasonix.webhooks.inbox.records import Pruned
from planasonix.webhooks.inbox.store.base import Store
from planasonix.webhooks.inbox.times import to_us

EVENTS_KEPT = timedelta(days=30)

_AT_ONCE = 1_000
"""So many rows a transaction: deliveries wait for it on SQLite."""


def prune(store: Store, older_than: timedelta, now: datetime) -> Pruned:
    """Removes events and dead letters that came more than `older_than` ago, and keys that nothing needs any more."""
    tables = store.tables
    events, dead, retries, keys = tables.events, tables.dead, tables.retries, tables.keys
    before = to_us(now - older_than)
    removed_dead = _delete(store, dead, dead.c.id, dead.c.at_us < before)
    # What is still to be tried again, or for a person to look at, stays until that is done.
    open_seqs = select(retries.c.seq).union(select(dead.c.seq).where(dead.c.seq.is_not(None)))
    old = (events.c.received_us < before) & events.c.seq.not_in(open_seqs)
    behind = _behind(store, old)
    removed = _delete(store, events, events.c.seq, old)
    removed_keys = _delete(store, keys, keys.c.key, keys.c.expires_us < to_us(now))
    return Pruned(removed, removed_keys, removed_dead, behind)


def _behind(store: Store, old: ColumnElement[bool]) -> tuple[str, ...]:
    consumers, events = store.tables.consumers, store.tables.events
    with store.read() as connection:
        last = connection.execute(select(events.c.seq).where(old).order_by(events.c.seq.desc()).limit(1)).scalar()
        if last is None:
            return ()
        found = select(consumers.c.consumer).where(consumers.c.seq < last).order_by(consumers.c.consumer)
        return tuple(connection.execute(found).scalars())


def _delete(store: Store, table: Table, key: Any, condition: ColumnElement[bool]) -> int:
    removed = 0
    while True:
        some = select(key).where(condition).limit(_AT_ONCE)
        with store.write() as connection:
            # The condition once more: a key's life may have been prolonged since it was selected.
            result: CursorResult[Any] = connection.execute(delete(table).where(key.in_(some), condition))
            removed += result.rowcount
            if result.rowcount < _AT_ONCE:
                return removed
