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
def test_a_failing_connection_fails_its_task_with_the_readable_message(world: Any, deferrable: bool) -> None:
    run = world.sync(deferrable=deferrable, connection_id="conn_legacy_mainframe", extra="retries=0")
    assert world.airflow.wait_run(run) == "failed"
    log = world.airflow.task_log(run, "sync")
    [job] = world.jobs("conn_legacy_mainframe")
    assert f"Planasonix job {job['id']} of connection conn_legacy_mainframe failed" in log
    assert "source_authentication_failed" in log


@modes
def test_a_retry_after_a_failed_job_starts_a_new_one(world: Any, deferrable: bool) -> None:
    world.script(sequence=[{"outcome": "failed"}, {"outcome": "succeeded"}])
    run = world.sync(deferrable=deferrable)
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["failed", "succeeded"]
    assert [job["metadata"]["planasonix_generation"] for job in world.jobs()] == [0, 1]


@pytest.mark.parametrize("what", ["task", "both"])
def test_a_retry_after_a_killed_worker_waits_for_the_same_job(world: Any, what: str) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=False)
    world.waiting(run, deferrable=False)
    world.airflow.kill_task(run, "sync", what=what)
    world.waiting(run, deferrable=False, try_number=2)
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]
    assert world.airflow.database.xcoms(run, "sync")["return_value"]["reattached"]


def test_a_worker_killed_between_post_and_answer_starts_no_second_job(world: Any) -> None:
    world.script(outcome="stuck")
    world.sandbox.control(
        "POST",
        "faults",
        {"operation": "connections.sync", "kind": "timeout", "where": "after", "seconds": 60, "times": 1},
    )
    run = world.sync(deferrable=False)
    job = world.wait_for_job()
    world.airflow.kill_task(run, "sync", what="task")
    world.waiting(run, deferrable=False, try_number=2)
    world.finish(job)
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]


def test_a_lost_answer_starts_no_second_job(world: Any) -> None:
    world.sandbox.control("POST", "faults", {"operation": "connections.sync", "kind": "drop", "times": 1})
    run = world.sync(deferrable=True)
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]


def test_a_triggerer_killed_mid_wait_loses_nothing_and_starts_nothing_twice(world: Any) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=True)
    world.waiting(run, deferrable=True)
    world.airflow.triggerer.kill()
    world.airflow.triggerer.start()
    world.waiting(run, deferrable=True)
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]
    assert world.airflow.database.task(run, "sync").try_number == 1


def test_the_link_is_there_while_the_job_runs(world: Any) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=True)
    world.waiting(run, deferrable=True)
    job = world.wait_for_job()
    assert world.airflow.database.xcoms(run, "sync")["planasonix_job_link"].endswith(f"/#/jobs/{job['id']}")
    world.finish(job)
    assert world.airflow.wait_run(run) == "success"


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
        "start_at='2026-01-02', end_at='2026-01-03')"
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
