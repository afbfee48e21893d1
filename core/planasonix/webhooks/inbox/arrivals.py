"""How events get in: each once, in one transaction, numbered in the order in which they become visible."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, insert, or_, select, update

from planasonix.webhooks.inbox.records import Added, Arrival, end_of
from planasonix.webhooks.inbox.rows import one_line, to_row
from planasonix.webhooks.inbox.schema import Tables
from planasonix.webhooks.inbox.store.base import Store
from planasonix.webhooks.inbox.times import to_us

KEYS_KEPT = timedelta(days=60)
"""How long it is remembered that an event was here, counted from its own time or its arrival, whichever is later.

Far beyond the age at which a receiver refuses an event, and beyond the default life of the events themselves. What
has no time in its body could come again at any age, so it is remembered for good, in 16 bytes. Once something was
forgotten, an event from before that time counts as known: nobody can tell any more.
"""

_KEYS_A_QUERY = 500  # SQLite takes so many parameters on every build


def lock_order(connection: Connection, tables: Tables) -> int:
    """Becomes the only writer of events until the transaction ends; returns the number that was given last.

    Consumers read what is numbered above their cursor, so an event must never become visible after one with a higher
    number was: they would not see it any more. A sequence gives numbers before the commit, in any order. So the
    numbers are given under a lock that is held until the commit: this row's on PostgreSQL, the file's on SQLite.
    """
    last: int = connection.execute(select(tables.meta.c.last_seq).with_for_update()).scalar_one()
    return last


@dataclass(slots=True)
class _Batch:
    """What one transaction will write, and which keys are taken so far."""

    seq: int
    now_us: int
    forgotten_us: int
    seen: dict[bytes, tuple[int | None, int | None]]
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    dead: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: dict[bytes, dict[str, Any]] = field(default_factory=dict[bytes, dict[str, Any]])
    said_again: set[int] = field(default_factory=set[int])

    def take(self, arrival: Arrival, keys: Sequence[bytes]) -> Added:
        known = [self.seen[key] for key in keys if key in self.seen]
        if known:
            # The other key is new then: a delivery after the sweep's finding, say. From now on both are known.
            seq = next((seq for seq, _ in known if seq is not None), None)
            if seq is not None and keys[0] not in self.seen:
                self.said_again.add(seq)
        elif self._may_be_forgotten(arrival):
            return Added(None, duplicate=True)
        elif arrival.event is None:
            seq = None
            reason = one_line(arrival.reason or "unreadable")
            self.dead.append({"error": reason, "attempts": 0, "at_us": self.now_us, "body": arrival.body})
        else:
            seq = self.seq + 1
            self.events.append(to_row(arrival.event, seq=seq, received_us=self.now_us, source=arrival.source))
            self.seq = seq
        expires = _expiry(arrival, self.now_us)
        for key in keys:
            self._remember(key, seq, expires)
        return Added(seq, bool(known))

    def _may_be_forgotten(self, arrival: Arrival) -> bool:
        at = None if arrival.event is None else arrival.event.occurred_at
        return at is not None and arrival.source != "replay" and to_us(at) < self.forgotten_us

    def _remember(self, key: bytes, seq: int | None, expires: int | None) -> None:
        if key in self.seen:
            first, until = self.seen[key]
            if until is None or (expires is not None and expires <= until):
                return
            seq = first
        self.seen[key] = (seq, expires)
        self.keys[key] = {"key": key, "seq": seq, "expires_us": expires}


def add(store: Store, arrivals: Sequence[Arrival], now: datetime) -> list[Added]:
    """Stores what is new; see `Inbox.add`."""
    if not arrivals:
        return []
    now_us = to_us(now)
    keys = [_keys(arrival) for arrival in arrivals]
    tables = store.tables
    with store.write() as connection:
        last = lock_order(connection, tables)
        forgotten_us = connection.execute(select(tables.meta.c.forgotten_us)).scalar_one()
        seen = _seen(connection, tables, {key for each in keys for key in each})
        batch = _Batch(last, now_us, forgotten_us, seen)
        added = [batch.take(arrival, own) for arrival, own in zip(arrivals, keys, strict=True)]
        if batch.events:
            connection.execute(insert(tables.events), batch.events)
            connection.execute(update(tables.meta).values(last_seq=batch.seq))
        if batch.dead:
            connection.execute(insert(tables.dead), batch.dead)
        if batch.keys:
            connection.execute(_remember(store), list(batch.keys.values()))
        if batch.said_again:
            from planasonix.webhooks.inbox.dead_letters import put_again

            # An end that was told too early, or falsely, was given up; somebody else tells of it now.
            put_again(store, connection, batch.said_again, batch.seq + 1, now)
    return added


def _keys(arrival: Arrival) -> list[bytes]:
    if arrival.event is None:
        return [_hash("body", hashlib.sha256(arrival.body or b"").hexdigest())]
    end = end_of(arrival.event)
    own = _hash("event", arrival.event.event_id)
    return [own] if end is None else [own, _hash(*end)]


def _hash(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


def _expiry(arrival: Arrival, now_us: int) -> int | None:
    if arrival.event is None or arrival.event.occurred_at is None:
        return None
    return max(to_us(arrival.event.occurred_at), now_us) + KEYS_KEPT // timedelta(microseconds=1)


def _seen(connection: Connection, tables: Tables, keys: set[bytes]) -> dict[bytes, tuple[int | None, int | None]]:
    seen: dict[bytes, tuple[int | None, int | None]] = {}
    ordered = list(keys)
    for begin in range(0, len(ordered), _KEYS_A_QUERY):
        some = ordered[begin : begin + _KEYS_A_QUERY]
        for row in connection.execute(select(tables.keys).where(tables.keys.c.key.in_(some))):
            seen[bytes(row.key)] = (row.seq, row.expires_us)
    return seen


def _remember(store: Store) -> Any:
    keys = store.tables.keys
    statement = store.dialect.insert(keys)
    new, old = statement.excluded.expires_us, keys.c.expires_us
    longer = case((or_(old.is_(None), new.is_(None)), None), (old > new, old), else_=new)
    return statement.on_conflict_do_update(index_elements=[keys.c.key], set_={"expires_us": longer})
