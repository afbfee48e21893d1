"""How far each consumer is, and what it has put off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, delete, insert, select, update

from planasonix.webhooks.inbox import leases
from planasonix.webhooks.inbox.arrivals import lock_order
from planasonix.webhooks.inbox.records import Lease, StoredEvent
from planasonix.webhooks.inbox.rows import from_row, one_line
from planasonix.webhooks.inbox.store.base import Store

Start = Literal["now", "beginning"]


@dataclass(frozen=True, slots=True)
class Retry:
    """An event that its consumer failed on `attempts` times and will try again."""

    stored: StoredEvent
    attempts: int


def cursor(store: Store, consumer: str) -> int:
    consumers = store.tables.consumers
    with store.read() as connection:
        return connection.execute(select(consumers.c.seq).where(consumers.c.consumer == consumer)).scalar() or 0


def subscribe(store: Store, consumer: str, start: Start) -> int:
    consumers = store.tables.consumers
    known = select(consumers.c.seq).where(consumers.c.consumer == consumer)
    with store.write() as connection:
        last = lock_order(connection, store.tables)
        seq = last if start == "now" else 0
        connection.execute(store.dialect.insert(consumers).values(consumer=consumer, seq=seq).on_conflict_do_nothing())
        return connection.execute(known).scalar_one()


def advance(store: Store, consumer: str, seq: int, lease: Lease | None) -> None:
    with store.write() as connection:
        leases.check(connection, store, lease)
        _move(connection, store, consumer, seq)
        _settle(connection, store, consumer, seq)


def begin(store: Store, consumer: str, seq: int, again_in_seconds: float, lease: Lease | None) -> int:
    """Counts a try before it is made: one that kills its process could not be counted afterwards. Returns the count."""
    retries = store.tables.retries
    due = store.dialect.now() + again_in_seconds
    put = store.dialect.insert(retries).values(
        consumer=consumer, seq=seq, attempts=1, due=due, error="the process ended during the try"
    )
    put = put.on_conflict_do_update(
        index_elements=[retries.c.consumer, retries.c.seq],
        set_={"attempts": retries.c.attempts + 1, "due": due},
    )
    with store.write() as connection:
        leases.check(connection, store, lease)
        connection.execute(put)
        own = (retries.c.consumer == consumer, retries.c.seq == seq)
        return connection.execute(select(retries.c.attempts).where(*own)).scalar_one()


def not_tried(store: Store, consumer: str, seq: int, lease: Lease | None) -> None:
    """Takes a count of `begin` back, for a try that ended before it could do anything."""
    retries = store.tables.retries
    own = (retries.c.consumer == consumer, retries.c.seq == seq)
    with store.write() as connection:
        leases.check(connection, store, lease)
        connection.execute(update(retries).where(*own).values(attempts=retries.c.attempts - 1, due=0.0))


def failed(
    store: Store,
    consumer: str,
    seq: int,
    error: BaseException | str,
    *,
    attempts: int,
    again_in_seconds: float | None,
    lease: Lease | None,
    now_us: int,
) -> None:
    """Puts the event off, or with `again_in_seconds` None among the dead letters; the cursor goes past it."""
    retries = store.tables.retries
    line = one_line(error)
    with store.write() as connection:
        leases.check(connection, store, lease)
        _move(connection, store, consumer, seq)
        _settle(connection, store, consumer, seq)
        if again_in_seconds is None:
            values = {"consumer": consumer, "seq": seq, "error": line, "attempts": attempts, "at_us": now_us}
            connection.execute(insert(store.tables.dead), values)
        else:
            due = store.dialect.now() + again_in_seconds
            row = {"consumer": consumer, "seq": seq, "attempts": attempts, "due": due, "error": line}
            connection.execute(insert(retries).values(row))


def due(store: Store, consumer: str, limit: int) -> list[Retry]:
    """What the consumer has put off until now, oldest first."""
    retries, events = store.tables.retries, store.tables.events
    both = select(events, retries.c.attempts).join(retries, retries.c.seq == events.c.seq)
    at = select(store.tables.consumers.c.seq).where(store.tables.consumers.c.consumer == consumer).scalar_subquery()
    # What is above the cursor was begun and never ended: the consumer comes to it by itself.
    passed = retries.c.seq <= at
    both = both.where(retries.c.consumer == consumer, retries.c.due <= store.dialect.now(), passed)
    both = both.order_by(retries.c.due)
    with store.read() as connection:
        return [Retry(from_row(row), row.attempts) for row in connection.execute(both.limit(limit))]


def _move(connection: Connection, store: Store, consumer: str, seq: int) -> None:
    consumers = store.tables.consumers
    put = store.dialect.insert(consumers).values(consumer=consumer, seq=seq)
    further = put.on_conflict_do_update(
        index_elements=[consumers.c.consumer],
        set_={"seq": put.excluded.seq},
        where=consumers.c.seq < put.excluded.seq,
    )
    connection.execute(further)


def _settle(connection: Connection, store: Store, consumer: str, seq: int) -> None:
    retries = store.tables.retries
    connection.execute(delete(retries).where(retries.c.consumer == consumer, retries.c.seq == seq))
