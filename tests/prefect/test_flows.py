"""Tasks and flows against the sandbox: one job for a call, its end told, resumed after a failure."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

from planasonix.errors import ConfigurationError, RunCancelledError, RunFailedError
from planasonix.runs import Outcome, StagedOutcome, SyncRequest
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync
from prefect_planasonix.deferred import arun_sync_deferred, run_deferred, run_sync_deferred
from prefect_planasonix.flows import arun_backfill, arun_sync, run_backfill, run_pipeline, run_sync
from prefect_planasonix.tasks import (
    afetch_results,
    astart_sync,
    await_for_run,
    cancel_run,
    fetch_results,
    start_backfill,
    start_pipeline_run,
    start_sync,
    wait_for_run,
)
from tests.prefect.conftest import CANARY_KEY

pytestmark = pytest.mark.usefixtures("prefect_server")
WINDOW = ("2026-01-01T00:00Z", "2026-01-05T00:00Z")


@pytest.fixture
def credentials(sandbox: RunningSandbox) -> PlanasonixCredentials:
    sandbox.set_speed(1000)
    return PlanasonixCredentials(api_key=CANARY_KEY, base_url=sandbox.url)  # pyright: ignore[reportArgumentType]


def test_a_sync_is_started_once_and_its_outcome_is_returned(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    outcome = run_sync(credentials, "conn_shop_orders", poll_interval_seconds=0.2)
    assert isinstance(outcome, Outcome)
    assert outcome.succeeded
    again = asyncio.run(arun_sync(credentials, "conn_shop_orders", poll_interval_seconds=0.2))
    assert again is not None
    assert again.id != outcome.id
    assert sandbox.jobs_started("conn_shop_orders") == 2


def test_a_flow_whose_job_failed_is_not_green(credentials: PlanasonixCredentials) -> None:
    with pytest.raises(RunFailedError, match="conn_legacy_mainframe"):
        run_sync(credentials, "conn_legacy_mainframe", poll_interval_seconds=0.2)


def test_a_pipeline_is_run(credentials: PlanasonixCredentials, sandbox: RunningSandbox) -> None:
    outcome = run_pipeline(credentials, "pl_daily_revenue", variables={"day": "2026-01-05"}, poll_interval_seconds=0.2)
    assert outcome is not None
    assert (outcome.kind, outcome.succeeded) == ("run", True)
    assert sandbox.runs_started("pl_daily_revenue") == 1


def test_tasks_hand_on_plain_data(credentials: PlanasonixCredentials, sandbox: RunningSandbox) -> None:
    @flow
    def in_steps() -> tuple[Any, Any, Any]:
        handle = start_sync(credentials, "conn_shop_orders")
        outcome = wait_for_run(credentials, handle, poll_interval_seconds=0.2)
        return handle, outcome, fetch_results(credentials, handle)

    handle, outcome, results = in_steps()
    assert json.loads(json.dumps(handle)) == handle
    assert CANARY_KEY not in json.dumps([handle, results])
    assert outcome.id == handle["id"] == results["id"]
    assert [table["name"] for table in results["tables"]] == [table.name for table in outcome.tables]
    assert sandbox.jobs_started() == 1


def test_async_tasks_do_the_same(credentials: PlanasonixCredentials, sandbox: RunningSandbox) -> None:
    @flow
    async def in_steps() -> tuple[Any, Any]:
        handle = await astart_sync(credentials, "conn_shop_orders")
        outcome = await await_for_run(credentials, handle, poll_interval_seconds=0.2)
        return outcome, await afetch_results(credentials, handle)

    outcome, results = asyncio.run(in_steps())
    assert outcome.id == results["id"]
    assert sandbox.jobs_started() == 1


def test_two_equal_calls_are_two_wishes_and_a_retried_task_is_one(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    @flow
    def twice() -> list[Any]:
        first = start_sync(credentials, "conn_shop_orders")
        wait_for_run(credentials, first, poll_interval_seconds=0.2)
        second = start_sync.with_options(retries=2)(credentials, "conn_shop_orders")
        wait_for_run(credentials, second, poll_interval_seconds=0.2)
        return [first, second]

    first, second = twice()
    assert first["id"] != second["id"]
    assert sandbox.jobs_started() == 2


def test_a_retried_flow_starts_a_new_job_only_where_the_first_failed(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    sandbox.script("conn_shop_inventory", sequence=[{"outcome": "failed"}, {"outcome": "succeeded"}])

    @flow(retries=1)
    def both() -> tuple[Any, Any]:
        good = wait_for_run(credentials, start_sync(credentials, "conn_shop_orders"), poll_interval_seconds=0.2)
        bad = wait_for_run(credentials, start_sync(credentials, "conn_shop_inventory"), poll_interval_seconds=0.2)
        return good, bad

    good, bad = both()
    assert good.succeeded
    assert bad.succeeded
    assert sandbox.jobs_started("conn_shop_orders") == 1
    assert sandbox.jobs_started("conn_shop_inventory") == 2


def test_what_was_started_can_be_cancelled(credentials: PlanasonixCredentials, sandbox: RunningSandbox) -> None:
    sandbox.set_speed(1)

    @flow
    def given_up() -> str:
        handle = start_backfill(credentials, "conn_iot_telemetry", start_at=WINDOW[0], end_at=WINDOW[1])
        assert handle is not None
        status = cancel_run(credentials, handle)
        with pytest.raises(RunCancelledError):
            wait_for_run(credentials, handle, poll_interval_seconds=0.2)
        return status

    assert given_up() == "cancelled"
    assert sandbox.backfills_started() == 1


def test_a_pipeline_run_is_started_by_a_task(credentials: PlanasonixCredentials) -> None:
    @flow
    def piped() -> Any:
        return wait_for_run(credentials, start_pipeline_run(credentials, "pl_daily_revenue"))

    assert piped().succeeded


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_backfill_is_loaded_in_stages(credentials: PlanasonixCredentials, sandbox: RunningSandbox, way: str) -> None:
    more: dict[str, Any] = {"stage": "1d", "max_active_stages": 2, "poll_interval_seconds": 0.2}
    if way == "sync":
        outcome = run_backfill(credentials, "conn_shop_orders", *WINDOW, **more)
    else:
        outcome = asyncio.run(arun_backfill(credentials, "conn_shop_orders", *WINDOW, **more))
    assert isinstance(outcome, StagedOutcome)
    assert [stage.state for stage in outcome.stages] == ["done"] * 4
    assert sandbox.backfills_started("conn_shop_orders") == 4


@pytest.mark.parametrize(("resume", "started"), [(True, 5), (False, 8)])
def test_a_retried_backfill_loads_only_the_stages_that_are_not_loaded_unless_it_is_told_otherwise(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox, resume: bool, started: int
) -> None:
    outcomes = ["succeeded", "succeeded", "failed", *["succeeded"] * 6]
    sandbox.script("conn_shop_orders", sequence=[{"outcome": one} for one in outcomes])
    again = run_backfill.with_options(retries=1)
    outcome = again(credentials, "conn_shop_orders", *WINDOW, stage="1d", resume=resume, poll_interval_seconds=0.2)
    assert isinstance(outcome, StagedOutcome)
    assert outcome.succeeded
    assert sandbox.backfills_started("conn_shop_orders") == started


def test_bad_input_is_refused_before_anything_is_sent(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    for call, field in (
        (lambda: run_backfill(credentials, "conn_shop_orders", *WINDOW, stage="1 day"), "stage"),
        (lambda: run_backfill(credentials, "conn_shop_orders", *WINDOW, stage="1d", max_active_stages=0), "max_active"),
        (lambda: run_sync_deferred(credentials), "connection_id"),
        (lambda: run_sync_deferred(credentials, "conn_shop_orders", timeout=3), "timeout"),
        (lambda: run_deferred(credentials, []), "at least one request"),
        (lambda: run_deferred(credentials, [SyncRequest("c")], return_when="last"), "return_when"),  # pyright: ignore
    ):
        with pytest.raises(ConfigurationError, match=field):
            call()
    assert sandbox.calls() == 0


@pytest.mark.parametrize("given", [CANARY_KEY, {"api_key": CANARY_KEY}])
@pytest.mark.parametrize("changed", [False, True])
def test_a_key_in_the_place_of_the_block_is_refused_and_not_stored(
    given: Any, changed: bool, sandbox: RunningSandbox
) -> None:
    called = run_sync.with_options(description="changed") if changed else run_sync
    with pytest.raises(ConfigurationError, match="must be a block"):
        called(given, "conn_shop_orders")
    with get_client(sync_client=True) as client:
        (stored,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert stored.parameters["credentials"] == "**********"
    assert sandbox.calls() == 0


@pytest.mark.parametrize("changed", [False, True])
def test_a_misspelt_option_is_told_with_the_right_one_and_nothing_is_started(
    changed: bool, credentials: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    called: Any = run_sync.with_options(description="changed") if changed else run_sync
    with pytest.raises(ConfigurationError) as caught:
        called(credentials, "conn_shop_orders", timeout_second=5)
    assert caught.value.field == "timeout_second"
    assert "planasonix-run-sync has no option 'timeout_second'" in str(caught.value)
    assert "Did you mean timeout_seconds?" in str(caught.value)
    assert len(str(caught.value)) < 200
    assert sandbox.calls() == 0


def test_a_deferred_call_waits_where_nothing_can_be_suspended_and_says_so_once(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    block = PlanasonixSync(credentials=credentials, connection_id="conn_shop_orders", poll_interval_seconds=0.2)

    @flow
    def local() -> Any:
        return run_sync_deferred(block)

    @flow
    async def alocal() -> Any:
        return await arun_sync_deferred(block)

    @flow
    def of_another_flow() -> Any:
        return local()

    sandbox.set_speed(20)
    for call, reason in (
        (lambda: run_sync_deferred(block), "no flow run"),
        (local, "no deployment"),
        (lambda: asyncio.run(alocal()), "no deployment"),
        (of_another_flow, "subflow"),
    ):
        caplog.clear()
        with caplog.at_level("INFO", "prefect_planasonix"):
            assert call().succeeded
        told = [one.getMessage() for one in caplog.records if "instead of suspending" in one.getMessage()]
        assert len(told) == 1
        assert reason in told[0]
    assert sandbox.jobs_started() == 4
