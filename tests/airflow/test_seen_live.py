"""What a person sees of a task: its logs, its failure, its retries, its metrics."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytestmark = pytest.mark.live

modes = pytest.mark.parametrize(
    "deferrable",
    [pytest.param(False, id="blocking", marks=pytest.mark.scenario), pytest.param(True, id="deferrable")],
)


def worker_log(world: Any, run: Any, task_id: str, try_number: int = 1) -> str:
    """What the task's own process wrote: the triggerer's part, which stands in files of its own, is left out."""
    folder = f"dag_id={run.dag_id}/run_id={run.run_id}/task_id={task_id}"
    text = (world.airflow.home / "logs" / folder / f"attempt={try_number}.log").read_text()
    return "\n".join(json.dumps(json.loads(line), ensure_ascii=False) for line in text.splitlines())


@modes
def test_the_worker_tells_the_story_of_the_wait_and_a_readable_failure(world: Any, deferrable: bool) -> None:
    world.script(outcome="stuck", queue_seconds=1)
    run = world.sync(deferrable=deferrable, extra="retries=0")
    world.waiting(run, deferrable=deferrable)
    job = world.wait_for_job()
    link = f"{world.sandbox.url}/#/jobs/{job['id']}"
    world.finish(job, "failed")
    assert world.airflow.wait_run(run) == "failed"
    log = worker_log(world, run, "sync")
    assert f"started Planasonix job {job['id']} of connection conn_shop_orders: {link}" in log
    assert re.search(rf"job {job['id']} is (queued|running) \((created|started) 20\d\d-", log)
    assert re.search(rf"job {job['id']} is failed after \d+ s", log)
    assert ("Seen while it was waited for elsewhere" in log) is deferrable
    # One message: what, why, where, and what to do.
    [told] = set(re.findall(rf"Planasonix job {job['id']} of connection conn_shop_orders failed after[^\"]*", log))
    assert "Error: " in told
    assert f"Link: {link}" in told
    assert "then try again: a new job starts." in told


@pytest.mark.scenario
def test_each_trigger_logs_to_its_own_task(world: Any) -> None:
    ids = ["conn_shop_orders", "conn_crm_accounts"]
    for name in ids:
        world.script(name, outcome="stuck")
    run = world.start(
        f"PlanasonixSyncOperator.partial(task_id='sync', deferrable=True, {world.FAST}).expand(connection_id={ids})"
    )
    jobs = [world.wait_for_job(connection_id=name) for name in ids]
    for job in jobs:
        world.wait_for_a_look(job)
    for job in jobs:
        world.finish(job)
    assert world.airflow.wait_run(run) == "success"
    for index, job in enumerate(jobs):
        log = world.airflow.task_log(run, "sync", map_index=index)
        assert job["id"] in log
        assert jobs[1 - index]["id"] not in log


POLICY = "retry_policy=PlanasonixRetryPolicy(), retries=3"


def test_a_missing_right_fails_at_once_and_a_failed_job_is_tried_again(world: Any) -> None:
    world.script("conn_crm_accounts", sequence=[{"outcome": "failed"}, {"outcome": "succeeded"}])
    fault = {"operation": "connections.sync", "kind": "error", "status": 403, "connection_id": "conn_shop_orders"}
    world.sandbox.control("POST", "faults", fault)
    run = world.start(
        "from airflow_provider_planasonix.retry_policy import PlanasonixRetryPolicy\n"
        f"PlanasonixSyncOperator(task_id='denied', connection_id='conn_shop_orders', {POLICY}, deferrable=True)\n"
        f"PlanasonixSyncOperator(task_id='healing', connection_id='conn_crm_accounts', {POLICY}, {world.FAST})"
    )
    assert world.airflow.wait_run(run) == "failed"
    denied, healing = (world.airflow.database.task(run, name) for name in ("denied", "healing"))
    assert (denied.state, denied.try_number) == ("failed", 1)
    assert "PermissionDeniedError: the key may not do this" in worker_log(world, run, "denied")
    assert (healing.state, healing.try_number) == ("success", 2)
    assert world.statuses("conn_crm_accounts") == ["failed", "succeeded"]


def test_worker_and_triggerer_send_metrics(world: Any, statsd: Any) -> None:
    before = statsd.count("planasonix.api_calls,operation=jobs_get")
    run = world.sync(deferrable=True)
    assert world.airflow.wait_run(run) == "success"
    world.airflow.wait_until(
        lambda: statsd.count("planasonix.finish,kind=job,status=succeeded"), "the end to be counted", 10
    )
    assert statsd.count("planasonix.start,kind=job")
    assert statsd.count("planasonix.duration,kind=job,status=succeeded")
    # Looks at a deferred task's job are the triggerer's; the worker reads it once, when it reports.
    assert statsd.count("planasonix.api_calls,operation=jobs_get") - before > 1
