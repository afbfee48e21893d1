"""What an inbox forgets, and when. Never so early that what was once refused as a repetition could come in anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Table, delete, func, select, update

from planasonix.webhooks.inbox.arrivals import KEYS_KEPT, lock_order
from planasonix.webhooks.inbox.records import Pruned
from planasonix.webhooks.inbox.store.base import Store
from planasonix.webhooks.inbox.times import to_us

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
    _forget_before(store, now)
    removed_keys = _delete(store, keys, keys.c.key, keys.c.expires_us < to_us(now))
    return Pruned(removed, removed_keys, removed_dead, behind)


def _forget_before(store: Store, now: datetime) -> None:
    """Says from when on nobody can tell any more, before it is so: a process may end between the two."""
    meta, keys = store.tables.meta, store.tables.keys
    with store.write() as connection:
        lock_order(connection, store.tables)
        # By what is forgotten and not by the clock: one that was wrong for a minute would rule out all that is to come.
        last = connection.execute(select(func.max(keys.c.expires_us)).where(keys.c.expires_us < to_us(now))).scalar()
        if last is not None:
            before = last - KEYS_KEPT // timedelta(microseconds=1) + 1
            connection.execute(update(meta).where(meta.c.forgotten_us < before).values(forgotten_us=before))


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
