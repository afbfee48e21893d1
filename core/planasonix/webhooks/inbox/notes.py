"""Small texts that a consumer keeps beside its cursor, such as the place where the sweep was."""

from __future__ import annotations

from sqlalchemy import select

from planasonix.webhooks.inbox import leases
from planasonix.webhooks.inbox.records import Lease
from planasonix.webhooks.inbox.store.base import Store


def note(store: Store, name: str) -> str | None:
    notes = store.tables.notes
    with store.read() as connection:
        return connection.execute(select(notes.c.text).where(notes.c.name == name)).scalar()


def write_note(store: Store, name: str, text: str, lease: Lease | None) -> None:
    notes = store.tables.notes
    put = store.dialect.insert(notes).values(name=name, text=text)
    with store.write() as connection:
        leases.check(connection, store, lease)
        connection.execute(put.on_conflict_do_update(index_elements=[notes.c.name], set_={"text": put.excluded.text}))
