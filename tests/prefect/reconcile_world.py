"""A Prefect server and a tenant, for tests of what reconcile makes of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Paused, Running, State

from planasonix import Planasonix
from planasonix.runs import Record, SyncRequest
from planasonix.sandbox import RunningSandbox
from prefect_planasonix.ledger import ArtifactStore
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.owner import RunOwner
from prefect_planasonix.reconcile_source import PrefectSource
from prefect_planasonix.resuming import to_resume
from tests.prefect.conftest import CANARY_KEY


@flow
def owner() -> None: ...


class World:
    """A Prefect server and a tenant, with flow runs whose states a test sets."""

    def __init__(self, prefect: Any, sandbox: RunningSandbox, client: Planasonix) -> None:
        self.prefect, self.sandbox, self.client = prefect, sandbox, client
        self.deployment_id = prefect.create_deployment(prefect.create_flow(owner), f"d-{uuid4().hex[:8]}")
        self.connections = iter([one.id for one in client.connections.list()])

    def run(self, state: State[Any]) -> str:
        made = self.prefect.create_flow_run_from_deployment(self.deployment_id)
        if state.is_cancelling():
            # Of a run that never began Prefect would make a cancelled one at once.
            self.prefect.set_flow_run_state(made.id, Running(), force=True)
        self.prefect.set_flow_run_state(made.id, state, force=True)
        return str(made.id)

    def asleep(self, key: str = "planasonix-1") -> str:
        return self.run(Paused(name="Suspended", reschedule=True, pause_key=key, timeout_seconds=600))

    def job(self, flow_run_id: str | None, *, deferral: dict[str, Any] | None = None, **more: Any) -> LedgerEntry:
        """A job that the run has asked for."""
        connection_id = next(self.connections)
        made = self.client.connections.sync(connection_id)
        fields = {name: more.pop(name) for name in ("deadline_at", "ended_as", "run_id") if name in more}
        now = time.time()
        known = {"sent_at": now, "run_id": made.id, "created_at": now, "deadline_at": now + 600, **fields}
        plain = Record.fresh("intent", SyncRequest(connection_id), {}).to_dict()
        record = Record.from_dict({**plain, **known})
        who = RunOwner(flow_run_id=flow_run_id, flow_name="owner")
        entry = LedgerEntry(f"{connection_id}/1", who, record, deferral=deferral, **more)
        return ArtifactStore(self.prefect, who).write(entry)

    def source(self, flow_run_id: str | None = None) -> PrefectSource:
        return PrefectSource(self.prefect, flow_run_id=flow_run_id)

    def to_wake(self, *flow_run_ids: str) -> set[str]:
        source = self.source()
        return {str(run.id) for run, _ in to_resume(self.client, source)} & set(flow_run_ids)


@contextmanager
def a_world(sandbox: RunningSandbox) -> Iterator[World]:
    """Jobs end when a test says so."""
    sandbox.set_speed(0)
    with (
        get_client(sync_client=True) as prefect,
        Planasonix(CANARY_KEY, base_url=sandbox.url) as client,
    ):
        yield World(prefect, sandbox, client)


FIRST, ALL = {"try": 1, "return_when": "first"}, {"try": 1, "return_when": "all"}
