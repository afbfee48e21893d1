"""The sensors in a real Airflow, for jobs that it started and for those that it did not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planasonix import Planasonix

pytestmark = pytest.mark.live

ORDERS = "conn_shop_orders"
IMPORTS = """
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from airflow_provider_planasonix.sensors.backfill import PlanasonixBackfillSensor
from airflow_provider_planasonix.sensors.job import PlanasonixJobSensor
"""
RETRIES = "schedule=None, default_args={'retries': 1, 'retry_delay': timedelta(seconds=1)}"
# Ids of tests are parts of DAG ids.
modes = pytest.mark.parametrize(
    "mode",
    [
        "deferrable=True, poke_interval=1",
        "deferrable=False, poke_interval=1",
        # Airflow fails a try that is queued again before its executor has told of the last look's end.
        "deferrable=False, mode='reschedule', poke_interval=6",
    ],
    ids=["deferrable", "poke", "reschedule"],
)
SINCE = "connection_id='conn_shop_orders', since='{{ data_interval_start }}'"


@pytest.fixture
def somebody(world: Any) -> Iterator[Planasonix]:
    """Who starts jobs without Airflow."""
    with Planasonix(world.sandbox.api_key, world.sandbox.url) as client:
        yield client


@pytest.fixture
def start(world: Any, dag: Callable[..., str]) -> Callable[..., Any]:
    def start_run(body: str, *, since: datetime | None = None) -> Any:
        dag_id = dag(body, imports=IMPORTS, arguments=RETRIES)
        begin = since or datetime.now(UTC) - timedelta(seconds=5)
        interval = (begin, begin + timedelta(hours=1))
        return world.airflow.trigger(dag_id, logical_date=begin, data_interval=interval)

    return start_run


def outcome(world: Any, run: Any, task_id: str = "wait") -> dict[str, Any]:
    return world.airflow.database.xcoms(run, task_id)["return_value"]


def test_a_job_that_another_task_started_is_waited_for_in_the_triggerer(world: Any, start: Any) -> None:
    world.script(outcome="stuck")
    run = start(
        f"sync = PlanasonixSyncOperator(task_id='sync', connection_id='{ORDERS}', wait_for_completion=False)\n"
        "PlanasonixJobSensor(task_id='wait', job_id=sync.output, deferrable=True, poke_interval=0.5)"
    )
    job = world.wait_for_job()
    world.airflow.wait_task(run, "wait", "deferred")
    world.wait_for_a_look(job)
    link = world.airflow.database.xcoms(run, "wait")["planasonix_job_link"]
    assert link.endswith(f"/#/jobs/{job['id']}")
    [kwargs] = [row["kwargs"] for row in world.airflow.database.triggers()]
    assert job["id"] in kwargs
    assert world.sandbox.api_key not in kwargs
    world.finish(job)
    assert world.airflow.wait_run(run) == "success"
    told = outcome(world, run)
    assert (told["id"], told["status"], told["owned"]) == (job["id"], "succeeded", False)
    assert "public.orders" in {table["name"] for table in told["tables"]}
    assert told["rows_loaded"] > 0


def test_a_sync_that_nobody_here_started_is_found_in_the_triggerer(world: Any, start: Any, somebody: Any) -> None:
    world.script(outcome="stuck")
    run = start(f"PlanasonixJobSensor(task_id='wait', {SINCE}, deferrable=True, poke_interval=0.5)")
    world.airflow.wait_task(run, "wait", "deferred")
    before = world.calls("jobs.list")
    world.airflow.wait_until(lambda: world.calls("jobs.list") > before + 1, "the trigger to look", 90)
    # A failed one first: while a newer one goes on, it does not matter.
    failed = somebody.connections.sync(ORDERS)
    world.finish({"id": failed.id}, "failed")
    job = somebody.connections.sync(ORDERS)
    world.finish({"id": job.id})
    assert world.airflow.wait_run(run) == "success"
    assert (outcome(world, run)["id"], outcome(world, run)["status"]) == (job.id, "succeeded")
    assert world.airflow.database.xcoms(run, "wait")["planasonix_job_link"].endswith(f"/#/jobs/{job.id}")
    assert world.statuses() == ["failed", "succeeded"]
    assert world.sandbox.control("GET", "counts")["cancels"] == 0


def test_reschedule_mode_finds_it_too(world: Any, start: Any, somebody: Any) -> None:
    world.script(outcome="stuck")
    run = start(f"PlanasonixJobSensor(task_id='wait', {SINCE}, deferrable=False, mode='reschedule', poke_interval=6)")
    world.airflow.wait_task(run, "wait", "up_for_reschedule")
    job = somebody.connections.sync(ORDERS)
    world.finish({"id": job.id})
    assert world.airflow.wait_run(run) == "success"
    assert outcome(world, run)["id"] == job.id


@pytest.mark.scenario
def test_poke_mode_waits_on_the_worker(world: Any, start: Any, somebody: Any) -> None:
    world.script(outcome="stuck")
    job = somebody.connections.sync(ORDERS)
    run = start(f"PlanasonixJobSensor(task_id='wait', job_id='{job.id}', deferrable=False, poke_interval=0.5)")
    world.wait_for_a_look({"id": job.id})
    world.finish({"id": job.id})
    assert world.airflow.wait_run(run) == "success"
    assert outcome(world, run)["id"] == job.id


@pytest.mark.scenario
@modes
@pytest.mark.parametrize(
    ("ended", "sensor", "state"),
    [
        ("failed", "retries=0", "failed"),
        ("cancelled", "", "failed"),
        ("failed", "soft_fail=True", "skipped"),
        ("cancelled", "soft_fail=True", "skipped"),
        ("failed", "wanted_status='ended'", "success"),
    ],
    ids=["failed", "cancelled", "failed-soft", "cancelled-soft", "any-end"],
)
def test_a_bad_end(world: Any, start: Any, somebody: Any, mode: str, ended: str, sensor: str, state: str) -> None:
    world.script(outcome="stuck")
    job = somebody.connections.sync(ORDERS)
    run = start(f"PlanasonixJobSensor(task_id='wait', job_id='{job.id}', {mode}, {sensor})")
    world.wait_for_a_look({"id": job.id})
    world.finish({"id": job.id}, ended)
    row = world.airflow.wait_task(run, "wait", "success", "failed", "skipped")
    assert (row.state, row.try_number) == (state, 1)
    log = world.airflow.task_log(run, "wait")
    assert f"Planasonix job {job.id} of connection {ORDERS} {ended}" in log


@pytest.mark.scenario
@modes
@pytest.mark.parametrize("soft_fail", [False, True], ids=["fails", "skips"])
def test_the_timeout_of_a_sensor(world: Any, start: Any, mode: str, soft_fail: bool) -> None:
    run = start(f"PlanasonixJobSensor(task_id='wait', {SINCE}, {mode}, timeout=4, soft_fail={soft_fail})")
    # A retry is configured, and a sensor whose time is up takes none: Airflow's own rule.
    row = world.airflow.wait_task(run, "wait", "skipped" if soft_fail else "failed")
    assert row.try_number == 1
    assert world.sandbox.control("GET", "counts")["cancels"] == 0


@pytest.mark.scenario
def test_a_triggerer_killed_mid_wait_finds_it_all_the_same(world: Any, start: Any, somebody: Any) -> None:
    world.script(outcome="stuck")
    run = start(f"PlanasonixJobSensor(task_id='wait', {SINCE}, deferrable=True, poke_interval=0.5)")
    world.airflow.wait_task(run, "wait", "deferred")
    world.airflow.triggerer.kill()
    job = somebody.connections.sync(ORDERS)
    world.finish({"id": job.id})
    world.airflow.triggerer.start()
    assert world.airflow.wait_run(run) == "success"
    assert outcome(world, run)["id"] == job.id
    assert world.airflow.database.task(run, "wait").try_number == 1


@pytest.mark.scenario
@pytest.mark.parametrize("how", ["clear", "failed", "success"])
def test_ending_a_sensor_cancels_nothing(world: Any, start: Any, somebody: Any, how: str) -> None:
    world.script(outcome="stuck")
    job = somebody.connections.sync(ORDERS)
    run = start(
        f"PlanasonixJobSensor(task_id='wait', job_id='{job.id}', deferrable=True, poke_interval=0.5)\n"
        f"PlanasonixJobSensor(task_id='wait_since', {SINCE}, deferrable=True, poke_interval=0.5)"
    )
    for task_id in ("wait", "wait_since"):
        world.airflow.wait_task(run, task_id, "deferred")
    world.wait_for_a_look({"id": job.id})
    for task_id in ("wait", "wait_since"):
        if how == "clear":
            world.airflow.clear(run, task_id)
        else:
            world.airflow.mark(run, task_id, how)
    if how == "clear":
        world.finish({"id": job.id})
    assert world.airflow.wait_run(run) == ("failed" if how == "failed" else "success")
    assert world.sandbox.control("GET", "counts")["cancels"] == 0
    assert world.statuses() == ["succeeded" if how == "clear" else "running"]


@pytest.mark.scenario
def test_a_sensor_that_starts_in_the_triggerer(world: Any, start: Any, somebody: Any) -> None:
    world.script(outcome="stuck")
    # From before the interval that the template names, by more than clocks and whole seconds leave open.
    early = somebody.connections.sync(ORDERS)
    world.finish({"id": early.id})
    world.sandbox.control("POST", "clock/advance", {"seconds": 60})
    run = start(
        f"PlanasonixJobSensor(task_id='wait', {SINCE}, deferrable=True, start_from_trigger=True, poke_interval=0.5)",
        since=datetime.now(UTC) + timedelta(seconds=10),
    )
    world.airflow.wait_task(run, "wait", "deferred")
    # The triggerer's own file has "trigger" in its name; any other is a worker's.
    logs = world.airflow.home.glob(f"logs/dag_id={run.dag_id}/*/task_id=wait/attempt=*.log*")
    assert [path.name for path in logs if ".trigger." not in path.name] == []
    job = somebody.connections.sync(ORDERS)
    world.finish({"id": job.id})
    assert world.airflow.wait_run(run) == "success"
    assert outcome(world, run)["id"] == job.id


@pytest.mark.scenario
def test_a_backfill_that_another_task_started(world: Any, start: Any) -> None:
    run = start(
        f"load = PlanasonixBackfillOperator(task_id='load', connection_id='{ORDERS}', tables=['public.orders'],\n"
        "    start_at='2026-01-01T00:00Z', end_at='2026-01-02T00:00Z', wait_for_completion=False)\n"
        "PlanasonixBackfillSensor(task_id='wait', backfill_id=load.output, deferrable=True, poke_interval=0.5)"
    )
    assert world.airflow.wait_run(run) == "success"
    told = outcome(world, run)
    assert (told["kind"], told["window_start"], told["status"]) == ("backfill", "2026-01-01T00:00:00Z", "succeeded")
