"""What was given up, and how it is tried again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from planasonix.errors import ConfigurationError
from planasonix.webhooks.event import Event, UnreadableEvent
from planasonix.webhooks.inbox.arrivals import add, lock_order
from planasonix.webhooks.inbox.records import Arrival, DeadLetter
from planasonix.webhooks.inbox.rows import from_row
from planasonix.webhooks.inbox.store.base import Store
from planasonix.webhooks.inbox.times import from_us, to_us


def dead_letters(store: Store, consumer: str | None, after: int, limit: int) -> list[DeadLetter]:
    dead = store.tables.dead
    wanted = select(dead).where(dead.c.id > after).order_by(dead.c.id).limit(limit)
    if consumer is not None:
        wanted = wanted.where(dead.c.consumer == consumer)
    return _letters(store, wanted)


def replay(store: Store, seqs: Sequence[int], consumer: str | None, now: datetime) -> list[int]:
    """Puts events again before the consumers, under new numbers; what is remembered of them stays as it is."""
    with store.write() as connection:
        first = lock_order(connection, store.tables) + 1
        copies = _copies(store, connection, [(seq, consumer) for seq in seqs], first, now)
        _append(store, connection, copies)
    return [copy["seq"] for copy in copies]


def replay_dead(store: Store, ids: Sequence[int], now: datetime) -> list[int]:
    """Puts given-up events again before the consumer that gave them up, and reads unreadable deliveries again.

    What was put again is no dead letter any more; what is still unreadable stays one.
    """
    dead = store.tables.dead
    letters = _letters(store, select(dead).where(dead.c.id.in_(ids)).order_by(dead.c.id))
    if missing := sorted(set(ids) - {letter.id for letter in letters}):
        raise ConfigurationError(f"There is no dead letter {missing[0]}.", field="id")
    given_up = [letter for letter in letters if letter.stored is not None]
    seqs: list[int] = []
    with store.write() as connection:
        first = lock_order(connection, store.tables) + 1
        # Deleted before it is copied: of two who replay the same letter, the second finds none.
        mine = [
            letter
            for letter in given_up
            if connection.execute(delete(dead).where(dead.c.id == letter.id)).rowcount == 1
        ]
        again = [(letter.stored.seq, letter.consumer) for letter in mine if letter.stored is not None]
        copies = _copies(store, connection, again, first, now)
        _append(store, connection, copies)
        seqs += [copy["seq"] for copy in copies]
    for letter in letters:
        if letter.body is not None:
            seqs += _read_again(store, letter, now)
    return seqs


def put_again(store: Store, connection: Connection, seqs: Collection[int], first: int, now: datetime) -> None:
    """Within a transaction that holds the order: events that a consumer gave up come before it once more."""
    dead = store.tables.dead
    wanted = select(dead.c.id, dead.c.seq, dead.c.consumer).where(dead.c.seq.in_(seqs), dead.c.consumer.is_not(None))
    letters = connection.execute(wanted.order_by(dead.c.id)).all()
    if letters:
        connection.execute(delete(dead).where(dead.c.id.in_([letter.id for letter in letters])))
        again = [(letter.seq, letter.consumer) for letter in letters]
        _append(store, connection, _copies(store, connection, again, first, now))


def _read_again(store: Store, letter: DeadLetter, now: datetime) -> list[int]:
    try:
        event = Event.parse(letter.body or b"")
    except UnreadableEvent:
        return []
    (added,) = add(store, [Arrival.of(event, "replay")], now)
    with store.write() as connection:
        connection.execute(delete(store.tables.dead).where(store.tables.dead.c.id == letter.id))
    return [] if added.seq is None or added.duplicate else [added.seq]


def _letters(store: Store, wanted: Select[Any]) -> list[DeadLetter]:
    events = store.tables.events
    with store.read() as connection:
        rows: list[Row[Any]] = list(connection.execute(wanted))
        seqs = [row.seq for row in rows if row.seq is not None]
        found = {row.seq: row for row in connection.execute(select(events).where(events.c.seq.in_(seqs)))}
    return [_letter(row, found.get(row.seq)) for row in rows]


def _letter(row: Row[Any], event: Row[Any] | None) -> DeadLetter:
    stored = None if event is None else from_row(event)
    return DeadLetter(row.id, row.consumer, stored, row.error, row.attempts, from_us(row.at_us), row.body)


def _copies(
    store: Store, connection: Connection, wanted: Sequence[tuple[int, str | None]], first: int, now: datetime
) -> list[dict[str, Any]]:
    events = store.tables.events
    wanted_rows = select(events).where(events.c.seq.in_([seq for seq, _ in wanted]))
    found = {row["seq"]: dict(row) for row in connection.execute(wanted_rows).mappings()}
    copies: list[dict[str, Any]] = []
    for offset, (seq, consumer) in enumerate(wanted):
        if seq not in found:
            raise ConfigurationError(f"There is no event {seq} in the inbox.", field="seq", hint="It may be pruned.")
        old = found[seq]
        new = {
            "seq": first + offset,
            "source": "replay",
            "received_us": to_us(now),
            "replay_of": old["replay_of"] or seq,
            "only_for": consumer,
        }
        copies.append(old | new)
    return copies


def _append(store: Store, connection: Connection, copies: list[dict[str, Any]]) -> None:
    if copies:
        connection.execute(insert(store.tables.events), copies)
        connection.execute(update(store.tables.meta).values(last_seq=copies[-1]["seq"]))
