"""What only Airflow can do to a waiting task; the ways out that all orchestrators share are in tests/scenarios."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.scenario]


def test_a_connection_out_of_reach_after_a_restart_ends_no_wait(world: Any) -> None:
    world.script(outcome="stuck")
    fields = {"conn_type": "planasonix", "host": world.sandbox.url, "password": world.sandbox.api_key}
    world.airflow.add_connection("elsewhere", **fields)
    run = world.sync(deferrable=True, extra="planasonix_conn_id='elsewhere', retries=0")
    world.waiting(run, deferrable=True)
    world.airflow.triggerer.kill()
    world.airflow.rest.delete("/connections/elsewhere")
    world.airflow.triggerer.start()
    world.airflow.wait_until(
        lambda: "cannot be read, asking again" in world.airflow.task_log(run, "sync"), "the trigger to miss it", 60
    )
    world.airflow.add_connection("elsewhere", **fields)
    world.waiting(run, deferrable=True)
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]


def test_a_task_marked_success_calls_no_failure_callback(world: Any) -> None:
    world.script(outcome="stuck")
    run = world.sync(
        deferrable=False,
        extra="on_failure_callback=lambda context: open(__file__ + '.failed', 'w').close()",
    )
    world.waiting(run, deferrable=False)
    world.airflow.mark(run, "sync", "success")
    world.cancelled(1)
    assert world.airflow.wait_run(run) == "success"
    time.sleep(6)
    assert not list((world.airflow.home / "dags").glob("*.failed"))


def test_opting_out_holds_for_clear_too(world: Any) -> None:
    world.script(sequence=[{"outcome": "stuck"}, {"outcome": "succeeded"}])
    run = world.sync(deferrable=True, extra="cancel_on_kill=False")
    world.waiting(run, deferrable=True)
    world.airflow.clear(run, "sync")
    world.airflow.wait_until(
        lambda: world.calls("connections.sync") >= 2, "the new attempt to find the connection busy", 90
    )
    assert world.statuses() == ["running"]
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded", "succeeded"]
