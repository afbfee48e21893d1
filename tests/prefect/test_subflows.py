"""A retry of a flow calls its subflows anew: their jobs are found again."""

from __future__ import annotations

from typing import Any

import pytest
from prefect import flow, task
from prefect.runtime import flow_run

from planasonix.errors import WaitTimeoutError
from planasonix.runs import StagedOutcome
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.flows import run_backfill, run_sync
from prefect_planasonix.home import at_home
from prefect_planasonix.ledger import records_of
from prefect_planasonix.owner import RunOwner
from prefect_planasonix.state_watch import _lineage
from prefect_planasonix.tasks import wait_for_run
from tests.prefect.conftest import CANARY_KEY

pytestmark = pytest.mark.usefixtures("prefect_server")
ORDERS = "conn_shop_orders"
OPTIONS: dict[str, Any] = {"poll_interval_seconds": 0.2}


@pytest.fixture
def credentials(sandbox: RunningSandbox) -> PlanasonixCredentials:
    sandbox.set_speed(1000)
    return PlanasonixCredentials(api_key=CANARY_KEY, base_url=sandbox.url)  # pyright: ignore[reportArgumentType]


def fail_once() -> None:
    if flow_run.run_count == 1:
        raise OSError("something behind it failed")


def test_each_call_of_a_subflow_keeps_its_job_when_the_caller_is_retried(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    ids: list[list[str]] = []

    @flow(retries=1)
    def caller() -> str:
        outcomes = [run_sync(credentials, ORDERS, **OPTIONS) for _ in range(2)]
        ids.append([outcome.id for outcome in outcomes if outcome])
        fail_once()
        return str(flow_run.id)

    run_id = caller()
    assert len(set(ids[0])) == 2
    assert ids[0] == ids[1]
    assert sandbox.jobs_started() == 2
    entries = records_of(prefect_client(), run_id)
    assert {entry.record.run_id for entry in entries} == set(ids[0])
    # Each stands in the ledger of the subflow's newest run, too.
    for entry in entries:
        assert entry.flow_run_id != run_id
        assert records_of(prefect_client(), str(entry.flow_run_id)) == [entry]


def test_subflows_of_subflows_and_their_tasks_do_too(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    @task
    def in_task() -> None:
        PlanasonixSync(credentials=credentials, connection_id=ORDERS, **OPTIONS).trigger().wait_for_completion()

    @flow
    def inner() -> None:
        run_sync(credentials, "conn_shop_inventory", **OPTIONS)
        in_task.submit().result()

    @flow
    def middle() -> None:
        inner()

    @flow(retries=1)
    def outer() -> None:
        middle()
        fail_once()

    outer()
    assert sandbox.jobs_started() == 2


def test_a_subflow_whose_job_failed_begins_anew_when_its_caller_is_retried(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    sandbox.script(ORDERS, sequence=[{"outcome": "failed"}, {"outcome": "succeeded"}])

    @flow(retries=1)
    def caller() -> Any:
        return run_sync(credentials, ORDERS, **OPTIONS)

    assert caller().succeeded
    assert sandbox.jobs_started() == 2


def test_the_stages_of_a_subflow_are_not_loaded_again(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    @flow(retries=1)
    def caller() -> Any:
        outcome = run_backfill(
            credentials, ORDERS, "2026-01-01T00:00Z", "2026-01-04T00:00Z", stage="1d", max_active_stages=3, **OPTIONS
        )
        fail_once()
        return outcome

    outcome = caller()
    assert isinstance(outcome, StagedOutcome)
    assert outcome.succeeded
    assert sandbox.backfills_started(ORDERS) == 3


def test_a_subflow_in_a_task_keeps_its_job_when_the_task_is_retried(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    tries: list[list[str]] = []

    @task(retries=1)
    def load() -> None:
        outcomes = [run_sync(credentials, ORDERS, **OPTIONS) for _ in range(2)]
        tries.append([outcome.id for outcome in outcomes if outcome])
        if len(tries) == 1:
            raise OSError("something behind it failed")

    @flow
    def caller() -> None:
        load()

    caller()
    assert len(set(tries[0])) == 2
    assert tries[0] == tries[1]
    assert sandbox.jobs_started() == 2


@pytest.mark.parametrize("started_in", ["the subflow", "the caller"])
def test_a_task_of_a_subflow_in_a_task_ends_what_its_flow_runs_have_started(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox, started_in: str
) -> None:
    sandbox.script(ORDERS, outcome="stuck")

    def start() -> dict[str, Any]:
        run = PlanasonixSync(credentials=credentials, connection_id=ORDERS, timeout_seconds=1, **OPTIONS).trigger()
        assert run is not None
        return run.handle.to_dict()

    @flow
    def inner(handle: dict[str, Any] | None) -> None:
        wait_for_run(credentials, handle or start(), **OPTIONS)

    @task
    def in_task(handle: dict[str, Any] | None) -> None:
        inner(handle)

    @flow
    def caller() -> None:
        in_task(start() if started_in == "the caller" else None)

    with pytest.raises(WaitTimeoutError):
        caller()
    assert [job["status"] for job in sandbox.jobs()] == ["cancelled"]


def test_a_deployments_run_that_a_flow_has_started_stands_for_itself() -> None:
    client = prefect_client()

    @flow
    def child() -> None: ...

    @flow
    def caller() -> tuple[str, str, str]:
        from prefect.deployments import run_deployment

        deployment = client.create_deployment(flow_id=client.create_flow(child), name="one")
        run: Any = run_deployment(deployment, timeout=0)  # pyright: ignore[reportArgumentType]
        assert run.parent_task_run_id is not None
        return str(run.id), str(run.parent_task_run_id), str(deployment)

    run_id, task_run_id, deployment_id = caller()
    owner = RunOwner(flow_run_id=run_id, parent_task_run_id=task_run_id, deployment_id=deployment_id)
    assert at_home(client, owner) == owner
    # Its caller has completed: that does not give it up.
    assert [str(each) for each in _lineage(client, owner)] == [run_id]
