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
import asyncio, json, sys, threading
import airflow.triggers.base
import greenback
from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger

on_the_loop = []

class Spy:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            on_the_loop.append(name)

async def wait(job):
    await greenback.ensure_portal()  # as the triggerer does
    trigger = PlanasonixRunTrigger(HANDLES[job], TASK, "planasonix_default", 1.0)
    async for event in trigger.run():
        return event.payload["end"]

async def main():
    sys.meta_path.insert(0, Spy())
    ends = await asyncio.gather(*map(wait, HANDLES))
    print(json.dumps({"ends": sorted(set(ends)), "on_the_loop": on_the_loop}))

asyncio.run(main())
"""
HEAVY = ("httpx", "httpcore", "anyio", "planasonix.client", "planasonix.models", "planasonix.runs", "planasonix.watch")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    with Sandbox(busy="parallel").serve() as sandbox:
        sandbox.script(ORDERS, "succeeded", queue_seconds=0, duration_seconds=6)
        with Planasonix(sandbox.api_key, sandbox.url) as client:
            jobs = [client.connections.sync(ORDERS).id for _ in range(TRIGGERS)]
        now = time.time()
        handles = {job: RunHandle("job", job, ORDERS, True, now, now + 600, "intent").to_dict() for job in jobs}
        task = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
        head = f"HANDLES, TASK = {handles!r}, {task!r}\n"
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
    heavy = [name for name in told["on_the_loop"] if any(name == one or name.startswith(f"{one}.") for one in HEAVY)]
    assert told["ends"] == ["ended"]
    assert heavy == ["planasonix.runs.warm_up"]  # which imports nothing itself
    # Six seconds at one second each; by themselves a hundred triggers would have asked a hundred times as often.
    assert 1 <= told["sweeps"] <= 14
    # One read that confirms each end, and what the first sweep did not show yet.
    assert told["reads"] <= 2 * TRIGGERS
