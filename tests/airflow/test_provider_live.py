"""The operators in a real Airflow, over HTTP to the sandbox; its journal is the judge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.live

modes = pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])


@modes
def test_a_sync_succeeds_and_tells_the_result(world: Any, deferrable: bool) -> None:
    run = world.sync(deferrable=deferrable)
    assert world.airflow.wait_run(run) == "success"
    outcome = world.airflow.database.xcoms(run, "sync")["return_value"]
    [job] = world.jobs()
    assert (outcome["id"], outcome["status"], outcome["owned"]) == (job["id"], "succeeded", True)
    assert {"public.orders", "public.customers"} <= {table["name"] for table in outcome["tables"]}
    assert outcome["rows_loaded"] > 0
    metadata = job["metadata"]
    assert metadata["triggered_by"] == f"airflow_dag_{run.dag_id}"
    assert (metadata["dag_run_id"], metadata["task_id"]) == (run.run_id, "sync")
    assert metadata["link"].endswith(f"/dags/{run.dag_id}/runs/{quote(run.run_id)}/tasks/sync")


@modes
def test_a_backfill_loads_the_data_interval(world: Any, deferrable: bool) -> None:
    run = world.start(
        f"PlanasonixBackfillOperator(task_id='load', connection_id='{world.ORDERS}', tables=['public.orders'], "
        f"deferrable={deferrable}, {world.FAST})",
        logical_date=datetime(2026, 1, 5, tzinfo=UTC),
        data_interval=(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)),
    )
    assert world.airflow.wait_run(run) == "success"
    outcome = world.airflow.database.xcoms(run, "load")["return_value"]
    assert (outcome["window_start"], outcome["window_end"]) == ("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z")
    assert [table["name"] for table in outcome["tables"]] == ["public.orders"]
    assert world.sandbox.control("GET", "counts")["backfills_started"] == 1


def test_bad_input_starts_nothing_and_names_the_field(world: Any) -> None:
    run = world.start(
        f"PlanasonixBackfillOperator(task_id='load', connection_id='{world.ORDERS}', retries=0, "
        # What stands in the DAG file is refused when that is read.
        "start_at='{{ \"2026-01-02\" }}', end_at='{{ \"2026-01-03\" }}')"
    )
    assert world.airflow.wait_run(run) == "failed"
    assert "start_at has no time zone" in world.airflow.task_log(run, "load")
    assert world.sandbox.control("GET", "counts")["calls"] == 0


def test_a_waiting_trigger_holds_no_secret(world: Any) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=True)
    world.waiting(run, deferrable=True)
    [kwargs] = [row["kwargs"] for row in world.airflow.database.triggers()]
    assert world.wait_for_job()["id"] in kwargs
    assert world.sandbox.api_key not in kwargs
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(run) == "success"
