"""A resumed flow begins at its top, in the same try: what it asked for before is not asked for again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import Flow, flow, suspend_flow_run, task
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow

from planasonix.errors import PlanasonixError
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync, wish_ledger
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.deferred import run_sync_deferred
from prefect_planasonix.intent import Tries
from prefect_planasonix.ledger import records_of
from prefect_planasonix.ledger_entry import LedgerEntry

pytestmark = pytest.mark.usefixtures("prefect_server")
ORDERS = "conn_shop_orders"


@pytest.fixture
def box(sandbox: RunningSandbox) -> RunningSandbox:
    sandbox.set_speed(50)
    return sandbox


def sync_of(box: RunningSandbox) -> PlanasonixSync:
    credentials = PlanasonixCredentials(api_key=box.api_key, base_url=box.url)  # pyright: ignore
    return PlanasonixSync(credentials=credentials, connection_id=ORDERS, poll_interval_seconds=0.3)


class Deployed:
    """A flow run of a deployment, which this process executes as a worker's would: as a new one each time."""

    def __init__(self, flow: Flow[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self._flow, self._monkeypatch = flow, monkeypatch
        client = prefect_client()
        deployment = client.create_deployment(flow_id=client.create_flow(flow), name=flow.name)
        self.id: UUID = client.create_flow_run_from_deployment(deployment).id

    def execute(self) -> str:
        """Returns the name of the state that the run is left in."""
        self._monkeypatch.setattr(wish_ledger, "TRIES", Tries())
        with suppress(Pause, PlanasonixError):
            run_flow(self._flow, flow_run=prefect_client().read_flow_run(self.id))
        state = prefect_client().read_flow_run(self.id).state
        return "" if state is None else str(state.name)

    def resume(self) -> str:
        prefect_client().resume_flow_run(self.id)
        return self.execute()

    def entries(self) -> list[LedgerEntry]:
        return records_of(prefect_client(), self.id)


def told(call: Any) -> str:
    """What the call came to, in a word."""
    try:
        return str(call().status)
    except PlanasonixError as error:
        return type(error).__name__


@pytest.mark.parametrize("way", ["flow", "task", "retried task"])
def test_a_job_that_failed_before_the_suspension_is_not_started_again(
    box: RunningSandbox, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    box.script(ORDERS, "failed")
    ends: list[str] = []

    def load() -> Any:
        return sync_of(box).trigger().wait_for_completion()

    in_task = task(load, retries=1 if way == "retried task" else 0)

    @flow(name=f"waits-{way}")
    def waits() -> None:
        ends.append(told(load if way == "flow" else in_task))
        suspend_flow_run(timeout=600)

    run = Deployed(waits, monkeypatch)
    assert run.execute() == "Suspended"
    jobs = 2 if way == "retried task" else 1
    assert box.jobs_started() == jobs
    assert run.resume() == "Completed"
    assert ends == ["RunFailedError"] * 2
    assert box.jobs_started() == jobs


def test_a_job_is_waited_for_where_prefect_fails_to_suspend(
    box: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(**options: Any) -> None:
        raise httpx.ReadTimeout("no answer")

    @flow(name="cannot-be-suspended")
    def deferred() -> Any:
        return run_sync_deferred(sync_of(box))

    box.set_speed(2)
    monkeypatch.setattr("prefect.suspend_flow_run", failing)
    run = Deployed(deferred, monkeypatch)
    assert run.execute() == "Completed"
    assert [entry.record.ended_as for entry in run.entries()] == ["succeeded"]
