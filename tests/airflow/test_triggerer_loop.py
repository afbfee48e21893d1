"""The event loop that all triggers share: nobody imports on it, and a hundred waits cost one list a tick."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.runs import RunHandle
from planasonix.sandbox import Sandbox

ORDERS, TRIGGERS = "conn_shop_orders", 100

# In a process of its own, because what this one has imported is imported no more. Modules count that take long.
PROGRAM = """
import asyncio, importlib.util, json, sys, threading
import airflow.triggers.base
import greenback
before = set(sys.modules)
from airflow_provider_planasonix.triggers.busy import PlanasonixBusyTrigger
from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger
from airflow_provider_planasonix.triggers.since import PlanasonixSinceTrigger
from airflow_provider_planasonix.triggers.stages import PlanasonixStagesTrigger

with_the_triggers = sorted(set(sys.modules) - before)
on_the_loop = []

class Spy:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            on_the_loop.append(name)

def make(job):
    if WHICH == "since":
        return PlanasonixSinceTrigger("job", ORDERS, "2026-01-01T00:00:00+00:00", poll_interval_seconds=1.0)
    if WHICH == "busy":
        return PlanasonixBusyTrigger("job", job, HANDLES[job]["deadline_at"], "planasonix_default", 1.0)
    return PlanasonixRunTrigger(HANDLES[job], TASK, "planasonix_default", 1.0)

async def wait(job):
    await greenback.ensure_portal()  # as the triggerer does
    async for event in make(job).run():
        return event.payload.get("end") or event.payload["story"][-1]

async def main():
    sys.meta_path.insert(0, Spy())
    importlib.util.find_spec('nowhere')
    ends = await asyncio.gather(*map(wait, HANDLES))
    told = {"ends": sorted(set(ends)), "on_the_loop": on_the_loop, "with_the_triggers": with_the_triggers}
    print(json.dumps(told))

asyncio.run(main())
"""
HEAVY = ("httpx", "httpcore", "anyio", "planasonix.client", "planasonix.models", "planasonix.runs", "planasonix.watch")


# What takes long, and what only a wait needs.
DEAR = ("httpx", "pydantic", "planasonix.client._async", "planasonix.models.base", "planasonix.watch.watcher")


def those_of(names: list[str], roots: tuple[str, ...]) -> list[str]:
    return [name for name in names if any(name == one or name.startswith(f"{one}.") for one in roots)]


@pytest.fixture(params=["run"])
def which(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def told(which: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    with Sandbox(busy="parallel").serve() as sandbox:
        sandbox.script(ORDERS, "succeeded", queue_seconds=0, duration_seconds=6 if which == "run" else 2)
        with Planasonix(sandbox.api_key, sandbox.url) as client:
            jobs = [client.connections.sync(ORDERS).id for _ in range(TRIGGERS if which == "run" else 2)]
        now = time.time()
        handles = {job: RunHandle("job", job, ORDERS, True, now, now + 600, "intent").to_dict() for job in jobs}
        task = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
        head = f"WHICH, ORDERS, HANDLES, TASK = {which!r}, {ORDERS!r}, {handles!r}, {task!r}\n"
        connection = {"conn_type": "planasonix", "host": sandbox.url, "password": sandbox.api_key}
        monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(connection))
        done = subprocess.run([sys.executable, "-c", head + PROGRAM], capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr[-3000:]
        answer = json.loads(done.stdout.splitlines()[-1])
        # Sweeps begun: the first pages of one status.
        first = [entry for entry in sandbox.journal if entry.operation == "jobs.list"]
        running = [e for e in first if ("status", "running") in e.query and "cursor" not in dict(e.query)]
        return answer | {"sweeps": len(running), "reads": sandbox.calls("jobs.get")}


def test_a_first_wait_imports_in_a_thread_and_shares_its_watcher(told: dict[str, Any]) -> None:
    assert told["ends"] == ["ended"]
    assert "nowhere" in told["on_the_loop"]  # the spy sees what is imported there
    assert those_of(told["on_the_loop"], HEAVY) == []
    # Airflow imports the triggers themselves on the loop.
    assert those_of(told["with_the_triggers"], DEAR) == []
    # Six seconds at one second each; by themselves a hundred triggers would have asked a hundred times as often.
    assert 1 <= told["sweeps"] <= 14
    # One read that confirms each end, and what the first sweep did not show yet.
    assert told["reads"] <= 2 * TRIGGERS


@pytest.mark.parametrize("which", ["since", "busy"], indirect=True)
def test_the_first_wait_of_the_other_triggers_imports_in_a_thread(told: dict[str, Any]) -> None:
    assert len(told["ends"]) >= 1
    assert not any("stopped waiting" in end for end in told["ends"])
    assert "nowhere" in told["on_the_loop"]  # the spy sees what is imported there
    assert those_of(told["on_the_loop"], HEAVY) == []
