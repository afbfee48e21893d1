"""Who is moved, restarted or frozen gives nothing up (G3), and who gives up early leaves nothing behind (G2)."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.scenario]


def test_an_evicted_worker_leaves_the_job_running(world: Any) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=False)
    world.waiting(run, deferrable=False)
    os.kill(world.airflow.task_process(run, "sync"), signal.SIGTERM)
    time.sleep(3)
    assert world.statuses() == ["running"]
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]


def test_a_trigger_moved_to_another_triggerer_cancels_nothing(world: Any) -> None:
    """A frozen triggerer comes back, finds its trigger with another one, and is told to kill its own."""
    world.script(outcome="stuck")
    run = world.sync(deferrable=True)
    world.waiting(run, deferrable=True)
    frozen = [process.pid for process in world.airflow.triggerer.processes]
    other = world.airflow.extra_triggerer()
    other.start()
    try:
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        [before] = world.airflow.database.triggers()
        world.airflow.wait_until(
            lambda: [row["triggerer_id"] for row in world.airflow.database.triggers()] != [before["triggerer_id"]],
            "the other triggerer to take over",
            40,
        )
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        time.sleep(8)
        assert world.statuses() == ["running"]
        world.finish(world.wait_for_job())
        assert world.airflow.wait_run(run) == "success"
    finally:
        other.kill()
    assert world.statuses() == ["succeeded"]


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


@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
def test_a_task_given_up_while_its_post_is_under_way_leaves_no_job(world: Any, deferrable: bool) -> None:
    world.script(outcome="stuck")
    world.sandbox.control(
        "POST", "faults", {"operation": "connections.sync", "kind": "latency", "seconds": 3, "times": 1}
    )
    run = world.sync(deferrable=deferrable)
    world.airflow.wait_task(run, "sync", "running")
    world.airflow.task_process(run, "sync")
    world.airflow.wait_until(
        lambda: world.airflow.database.task_state_store(run, "sync") or None, "the ledger to be written", 40
    )
    world.airflow.mark(run, "sync", "failed")
    assert world.airflow.wait_run(run) == "failed"
    time.sleep(6)
    assert set(world.statuses()) <= {"cancelled"}


@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
def test_an_execution_timeout_cancels_the_job(world: Any, deferrable: bool) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=deferrable, extra="execution_timeout=timedelta(seconds=5), retries=0")
    assert world.airflow.wait_run(run) == "failed"
    world.cancelled(1)


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
        lambda: world.calls("connections.sync") >= 2, "the new attempt to find the connection busy", 40
    )
    assert world.statuses() == ["running"]
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded", "succeeded"]
