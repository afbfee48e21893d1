"""The first watcher of a triggerer: what it needs is imported in a thread, and the loop that all share beats on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.sandbox import Sandbox

ORDERS = "conn_shop_orders"

# In a process of its own, because what this one has imported is imported no more.
PROGRAM = """
import asyncio, importlib.util, json, os, sys, threading, time
import airflow.jobs.triggerer_job_runner  # what a triggerer's process has anyway
import greenback
from airflow.triggers.shared_stream import SharedStreamManager
from structlog import get_logger
before = set(sys.modules)
from airflow_provider_planasonix.triggers.event import PlanasonixEventTrigger

with_the_trigger = sorted(set(sys.modules) - before)
on_the_loop, gaps, rows, fired = [], [], {}, []

class Spy:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            on_the_loop.append(name)

class Stores:
    async def aget(self, key):
        return rows.get(key)

    async def aset(self, key, value):
        rows[key] = value

async def beat():
    # Of this thread's own work: other processes of the machine do not count.
    last = time.thread_time()
    while True:
        await asyncio.sleep(0.01)
        last, before = time.thread_time(), last
        gaps.append(last - before)

def deliver():
    from planasonix.webhooks import Arrival, Event, Inbox

    body = '{"id": "evt_1", "type": "job.succeeded", "job_id": "%s"}' % JOB
    with Inbox.open(os.environ["AIRFLOW__PLANASONIX__INBOX_URL"]) as inbox:
        inbox.add([Arrival.of(Event.parse(body.encode()))])

async def main():
    await greenback.ensure_portal()  # as the triggerer does
    sys.meta_path.insert(0, Spy())
    importlib.util.find_spec("nowhere")
    beats = asyncio.create_task(beat())
    trigger = PlanasonixEventTrigger(ORDERS)
    trigger.asset_state_store = Stores()
    manager, key = SharedStreamManager(log=get_logger()), trigger.shared_stream_key()

    async def watch():
        async for event in trigger.filter_shared_stream(manager.subscribe(trigger_id=1, trigger=trigger, key=key)):
            fired.append(event.payload["job_id"])

    watching = asyncio.create_task(watch())
    while not rows:
        await asyncio.sleep(0.02)
    await asyncio.to_thread(deliver)
    while not fired:
        await asyncio.sleep(0.02)
    watching.cancel()
    beats.cancel()
    told = {"fired": fired, "on_the_loop": on_the_loop, "with_the_trigger": with_the_trigger, "gap": max(gaps)}
    print(json.dumps(told), flush=True)

asyncio.run(main())
# A triggerer's listener and sweeper live as long as its process.
os._exit(0)
"""
# What takes long, or opens files.
HEAVY = ("httpx", "httpcore", "anyio", "sqlalchemy", "sqlite3", "psycopg", "pydantic", "planasonix", "email", "ssl")


def those_of(names: list[str], roots: tuple[str, ...]) -> list[str]:
    return sorted({name for name in names if any(name == one or name.startswith(f"{one}.") for one in roots)})


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    with Sandbox().serve() as sandbox:
        sandbox.script(ORDERS, "succeeded", queue_seconds=0, duration_seconds=0)
        with Planasonix(sandbox.api_key, sandbox.url) as client:
            job = client.jobs.wait(client.connections.sync(ORDERS).id).id
        connection = {"conn_type": "planasonix", "host": sandbox.url, "password": sandbox.api_key}
        monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(connection))
        monkeypatch.setenv("AIRFLOW__PLANASONIX__INBOX_URL", f"sqlite:///{tmp_path}/inbox.db")
        head = f"ORDERS, JOB = {ORDERS!r}, {job!r}\n"
        done = subprocess.run([sys.executable, "-c", head + PROGRAM], capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr[-3000:]
        [line] = [line for line in done.stdout.splitlines() if line.startswith("{")]
        answer = json.loads(line)
        assert answer["fired"] == [job]
        return answer


def test_it_holds_the_loop_up_for_no_import(told: dict[str, Any]) -> None:
    assert "nowhere" in told["on_the_loop"]  # the spy sees what is imported there
    assert those_of(told["on_the_loop"], HEAVY) == []
    # Airflow imports the trigger itself on the loop.
    assert those_of(told["with_the_trigger"], ("httpx", "sqlalchemy", "planasonix.webhooks", "planasonix.client")) == []
    # Airflow complains of whoever holds it up for a fifth of a second.
    assert told["gap"] <= 0.2
