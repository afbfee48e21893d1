"""Who may be the only one, by the database's clock: those of the holders may differ, and that one they share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, update

from planasonix.webhooks.inbox.records import Lease, LeaseLost
from planasonix.webhooks.inbox.store.base import Store


def acquire(store: Store, name: str, holder: str, seconds: float) -> Lease | None:
    leases, now = store.tables.leases, store.dialect.now()
    with store.write() as connection:
        # A row that says "expired" first: of several who see none, one inserts, and the rest wait for its lock.
        blank = store.dialect.insert(leases).values(name=name, holder="", token=0, expires=0.0)
        connection.execute(blank.on_conflict_do_nothing())
        row = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).one()
        if row.expires > connection.execute(select(now)).scalar_one():
            return None
        token = row.token + 1
        connection.execute(
            update(leases).where(leases.c.name == name).values(holder=holder, token=token, expires=now + seconds)
        )
    return Lease(name, holder, seconds, token)


def renew(store: Store, lease: Lease) -> bool:
    """Also after its end, as long as nobody else has taken it: then nobody else has worked meanwhile."""
    with store.write() as connection:
        renewed = update(store.tables.leases).where(*_held(store, lease))
        return connection.execute(renewed.values(expires=store.dialect.now() + lease.seconds)).rowcount == 1


def release(store: Store, lease: Lease) -> None:
    with store.write() as connection:
        # The next token is used up, so that this lease cannot be renewed any more.
        connection.execute(
            update(store.tables.leases).where(*_held(store, lease)).values(expires=0.0, token=lease.token + 1)
        )


def check(connection: Connection, store: Store, lease: Lease | None) -> None:
    """In a transaction: raises LeaseLost where another holder came after this one; none comes until it ends."""
    if lease is None:
        return
    leases = store.tables.leases
    held = select(leases.c.token).where(*_held(store, lease)).with_for_update()
    if connection.execute(held).first() is None:
        raise LeaseLost(f"The lease {lease.name!r} went from {lease.holder!r} to another holder.")


def _held(store: Store, lease: Lease) -> tuple[Any, ...]:
    leases = store.tables.leases
    return leases.c.name == lease.name, leases.c.token == lease.token
