"""A deferred wait for a busy connection: when its trigger fires, and how long the task waits in all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from airflow_provider_planasonix.triggers.busy import PlanasonixBusyTrigger
from planasonix import Planasonix
from planasonix.errors import WaitTimeoutError
from planasonix.sandbox import Sandbox

ORDERS = "conn_shop_orders"


@pytest.mark.parametrize(("deferred_ago", "held_seconds"), [(0.0, 8.0), (60.0, 0.0)])
def test_no_task_is_resumed_before_airflow_has_seen_it_deferred(
    monkeypatch: pytest.MonkeyPatch, deferred_ago: float, held_seconds: float
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    # It has waited long enough, and would fire at once.
    trigger = PlanasonixBusyTrigger("job", None, time.time(), "conn", deferred_at=time.time() - deferred_ago)
    event = asyncio.run(anext(trigger.run()))
    assert event.payload["version"] == 1
    assert max(slept) == pytest.approx(held_seconds, abs=4)


def test_the_trigger_comes_back_as_it_was_and_one_of_the_version_before_does_too() -> None:
    path, arguments = PlanasonixBusyTrigger("job", "job_1", 9.0, "conn", 2.0, 3.0, 17.0).serialize()
    assert path.endswith("triggers.busy.PlanasonixBusyTrigger")
    assert PlanasonixBusyTrigger(**arguments).serialize() == (path, arguments)
    del arguments["deferred_at"]
    assert PlanasonixBusyTrigger(**arguments).deferred_at == 0.0


@pytest.mark.parametrize("name", ["run", "stages", "busy"])
def test_a_trigger_is_imported_quickly(name: str) -> None:
    """Airflow imports it on the event loop that all triggers share."""
    program = f"import sys, airflow_provider_planasonix.triggers.{name}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "planasonix.runs.story" in loaded
    assert not loaded & {
        "planasonix.client",
        "planasonix.models",
        "planasonix.watch.watcher",
        "planasonix.watch.shared",
    }


class Task:
    """One try of a deferrable sync of a busy connection: its store outlives its phases."""

    def __init__(self, **arguments: Any) -> None:
        self.sandbox = Sandbox(speed=0)
        self.client = Planasonix("plnx_live_sandbox", transport=self.sandbox.transport())
        self.others = self.client.connections.sync(ORDERS).id
        self.arguments = {"task_id": "sync", "connection_id": ORDERS, "deferrable": True, **arguments}
        self.store = SimpleNamespace(values={})
        self.store.get, self.store.set = self.store.values.get, self.store.values.__setitem__

    def execute(self, try_number: int = 1) -> Any:
        operator = PlanasonixSyncOperator(**self.arguments)
        client = Planasonix("plnx_live_sandbox", transport=self.sandbox.transport())
        operator.__dict__["hook"] = SimpleNamespace(get_client=lambda: client, job_url_template=None)
        ti = SimpleNamespace(
            dag_id="nightly", run_id="manual__1", task_id="sync", map_index=-1, max_tries=1, log_url=None
        )
        ti.try_number, ti.xcom_push = try_number, lambda key, value: None
        dag_run = SimpleNamespace(clear_number=0)
        return operator.execute({"ti": ti, "task": operator, "dag_run": dag_run, "task_state_store": self.store})

    def deferred(self, try_number: int = 1) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            self.execute(try_number)
        return caught.value


def test_the_busy_wait_ends_with_the_tasks_execution_timeout() -> None:
    task = Task(execution_timeout=timedelta(minutes=10))
    began = time.time()
    deferred = task.deferred()
    assert isinstance(deferred.trigger, PlanasonixBusyTrigger)
    assert deferred.trigger.until == pytest.approx(began + 600, abs=60)
    assert deferred.trigger.deferred_at == pytest.approx(began, abs=60)
    assert deferred.timeout == pytest.approx(timedelta(minutes=20), abs=timedelta(minutes=1))
    task.store.values["planasonix"]["began_at"] -= 600
    # The connection is free by now, and it is too late.
    task.sandbox.finish(task.others)
    with pytest.raises(WaitTimeoutError, match="execution_timeout is over"):
        task.execute()
    assert task.sandbox.jobs_started() == 1  # the other one
    # The next try has all of its time again.
    assert task.deferred(try_number=2).trigger.handle["deadline_at"] > time.time() + 300


def test_without_one_it_ends_with_timeout_seconds() -> None:
    deferred = Task(timeout_seconds=600).deferred()
    assert deferred.trigger.until == pytest.approx(time.time() + 600, abs=60)
