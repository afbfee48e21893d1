"""What was done because of which event: one row an action, so that an event never acts twice and a chain has a depth.

Kept for good: a row that was forgotten would let its event act again.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, update

from planasonix.webhooks.inbox.store.base import Store


@dataclass(frozen=True, slots=True)
class Act:
    """One action because of one event. `chain` is the caller's text; `kind` and `run_id` name the run it started.

    `is_new` is False where the row was there before: then it is as it was written first.
    """

    event_key: str
    action: str
    depth: int
    chain: str
    kind: str | None = None
    run_id: str | None = None
    is_new: bool = False


def act(store: Store, event_key: str, action: str, depth: int, chain: str) -> Act:
    acts = store.tables.acts
    row = {"event_key": event_key, "action": action, "depth": depth, "chain": chain}
    own = (acts.c.event_key == event_key, acts.c.action == action)
    with store.write() as connection:
        put = store.dialect.insert(acts).values(row).on_conflict_do_nothing()
        is_new = connection.execute(put).rowcount == 1
        found = connection.execute(select(acts).where(*own)).one()
    return Act(event_key, action, found.depth, found.chain, found.kind, found.run_id, is_new)


def started(store: Store, event_key: str, action: str, kind: str, run_id: str) -> None:
    acts = store.tables.acts
    own = (acts.c.event_key == event_key, acts.c.action == action)
    with store.write() as connection:
        connection.execute(update(acts).where(*own).values(kind=kind, run_id=run_id))


def of_run(store: Store, kind: str, run_id: str) -> Act | None:
    acts = store.tables.acts
    wanted = select(acts).where(acts.c.kind == kind, acts.c.run_id == run_id).order_by(acts.c.depth.desc()).limit(1)
    with store.read() as connection:
        row = connection.execute(wanted).first()
    return None if row is None else Act(row.event_key, row.action, row.depth, row.chain, row.kind, row.run_id)
