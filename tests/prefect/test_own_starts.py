"""A wait for what the same execution of the flow has started needs no look at the ledger, and writes what it must."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prefect import flow, task
from prefect.runtime import flow_run

from planasonix.runs import RunHandle
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.ledger import ArtifactStore, records_of
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.own_starts import OWN_STARTS, OwnStarts
from prefect_planasonix.owner import RunOwner
from tests.prefect.conftest import CANARY_KEY

pytestmark = pytest.mark.usefixtures("prefect_server")
ORDERS = "conn_shop_orders"


@pytest.fixture
def block(sandbox: RunningSandbox) -> PlanasonixSync:
    sandbox.set_speed(1000)
    account = PlanasonixCredentials(api_key=CANARY_KEY, base_url=sandbox.url)  # pyright: ignore[reportArgumentType]
    return PlanasonixSync(credentials=account, connection_id=ORDERS, poll_interval_seconds=0.2)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections whose entries were asked for."""
    asked: list[str] = []
    entries = ArtifactStore.entries

    def noted(store: ArtifactStore, target_id: str) -> list[LedgerEntry]:
        asked.append(target_id)
        return entries(store, target_id)

    monkeypatch.setattr(ArtifactStore, "entries", noted)
    return asked


def test_a_wait_of_the_same_execution_looks_nowhere_and_is_noted(block: PlanasonixSync, looks: list[str]) -> None:
    @flow
    async def load() -> str:
        run = await block.atrigger()
        assert run is not None
        assert [entry.waits for entry in records_of(prefect_client(), str(flow_run.id))] == [False]
        await run.await_completion()
        return str(flow_run.id)

    [entry] = records_of(prefect_client(), asyncio.run(load()))  # pyright: ignore[reportArgumentType]
    assert looks == [ORDERS], "by the start alone"
    assert (entry.waits, entry.record.ended_as, entry.record.verdict) == (True, "succeeded", "succeeded")


def test_a_wait_in_a_task_or_after_a_retry_is_no_other_runs(block: PlanasonixSync, looks: list[str]) -> None:
    owned: list[bool] = []

    @task
    def wait(run: Any) -> None:
        run.wait_for_completion()
        owned.append(run.handle.owned)

    @flow(retries=1)
    def load() -> str:
        run = block.trigger()
        assert run is not None
        wait(run)
        if flow_run.run_count == 1:
            raise OSError("something behind it failed")
        return str(flow_run.id)

    [entry] = records_of(prefect_client(), load())
    assert entry.record.verdict == "succeeded"
    assert owned == [True, True]


def handle(run_id: str) -> RunHandle:
    return RunHandle("job", run_id, ORDERS, True, 0.0, 60.0, "key")


class Slot:
    """As far as they look at one."""

    def __init__(self, slot: str) -> None:
        self.entry = type("Entry", (), {"slot": slot})()


def test_a_later_job_in_the_same_place_puts_the_earlier_ones_out_of_date() -> None:
    starts, owner = OwnStarts(), RunOwner(flow_run_id="f", execution="1/now")
    first, second, other = Slot("a"), Slot("a"), Slot("b")
    starts.note(owner, handle("job_1"), first)  # type: ignore[arg-type]
    starts.note(owner, handle("job_9"), other)  # type: ignore[arg-type]
    starts.note(owner, handle("job_2"), second)  # type: ignore[arg-type]
    assert starts.find(owner, handle("job_1")) is None
    assert starts.find(owner, handle("job_2")) is second
    assert starts.find(owner, handle("job_9")) is other


@pytest.mark.parametrize(
    "owner",
    [
        RunOwner(flow_run_id="f", execution="2/later"),
        RunOwner(flow_run_id="g", execution="1/now"),
        RunOwner(flow_run_id="f", execution="1/now", parent_task_run_id="t"),
        RunOwner(),
    ],
)
def test_whoever_else_asks_has_to_look(owner: RunOwner) -> None:
    starts = OwnStarts()
    starts.note(RunOwner(flow_run_id="f", execution="1/now"), handle("job_1"), Slot("a"))  # type: ignore[arg-type]
    assert starts.find(owner, handle("job_1")) is None
    starts.note(owner, handle("job_2"), Slot("a"))  # type: ignore[arg-type]
    if owner.parent_task_run_id or owner.execution is None:
        assert starts.find(owner, handle("job_2")) is None


def test_the_child_of_a_fork_has_none() -> None:
    import os

    OWN_STARTS.note(RunOwner(flow_run_id="f", execution="1/now"), handle("job_1"), Slot("a"))  # type: ignore[arg-type]
    child = os.fork()
    if child == 0:
        found = OWN_STARTS.find(RunOwner(flow_run_id="f", execution="1/now"), handle("job_1"))
        os._exit(0 if found is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    OWN_STARTS.forget()
