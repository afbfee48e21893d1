"""What events have started, so that no event starts it twice, and a chain of them is seen as one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, select

from planasonix.watch.protocols import Kind
from planasonix.webhooks.inbox.records import Act
from planasonix.webhooks.inbox.store.base import Store
from planasonix.webhooks.inbox.times import to_us


def claim(store: Store, act: Act, now: datetime) -> Act:
    acts = store.tables.acts
    values = {
        "key": act.key,
        "event_id": act.event_id,
        "action": act.action,
        "depth": act.depth,
        "chain": json.dumps(act.chain),
        "claimed_us": to_us(now),
    }
    with store.write() as connection:
        connection.execute(store.dialect.insert(acts).values(**values).on_conflict_do_nothing())
        found = _act(connection, store, act.key)
    return act if found is None else found


def started(store: Store, key: str, runs: Sequence[tuple[Kind, str]]) -> None:
    if not runs:
        return
    put = store.dialect.insert(store.tables.act_runs)
    with store.write() as connection:
        # A run that is there belongs to the act that named it first: a later one has only joined it.
        rows = [{"kind": kind, "run_id": run_id, "key": key} for kind, run_id in runs]
        connection.execute(put.values(rows).on_conflict_do_nothing())


def of_run(store: Store, kind: Kind, run_id: str) -> Act | None:
    runs = store.tables.act_runs
    with store.read() as connection:
        key = connection.execute(select(runs.c.key).where(runs.c.kind == kind, runs.c.run_id == run_id)).scalar()
        return None if key is None else _act(connection, store, key)


def _act(connection: Connection, store: Store, key: str) -> Act | None:
    acts, runs = store.tables.acts, store.tables.act_runs
    row = connection.execute(select(acts).where(acts.c.key == key)).first()
    if row is None:
        return None
    of_it = connection.execute(select(runs.c.kind, runs.c.run_id).where(runs.c.key == key).order_by(runs.c.run_id))
    act = Act(row.key, row.event_id, row.action, row.depth, tuple(json.loads(row.chain)))
    return replace(act, runs=tuple((each.kind, each.run_id) for each in of_it))
