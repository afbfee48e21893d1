"""A thousand waits in one process: what they cost the API, and how late they notice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from planasonix import AsyncPlanasonix
from planasonix.sandbox import Sandbox
from planasonix.watch import Interval, watch_shared

WAITS = 1_000
INTERVAL_SECONDS = 5.0
CONNECTION = "conn_shop_orders"


def thousand_waits() -> Iterator[tuple[str, str]]:
    sandbox = Sandbox(busy="parallel")
    # They end one after another over half a minute, as jobs of a night do; seeded, so that runs compare.
    chance = random.Random(1)
    ends = [{"outcome": "succeeded", "duration_seconds": chance.uniform(10.0, 40.0)} for _ in range(WAITS)]
    sandbox.script(CONNECTION, sequence=ends)
    with sandbox.serve() as server:
        calls, late = asyncio.run(_wait_for_all(server.api_key, server.url, sandbox))
    late.sort()
    yield (
        f"{WAITS:,} waits at {INTERVAL_SECONDS:g} s: status calls a finished wait (gate ≤ 2.5)",
        f"{calls / WAITS:.2f}",
    )
    yield "the same: seen after it happened, median", f"{late[len(late) // 2]:.1f} s"
    yield "the same: p99 (gate ≤ interval + 1 s)", f"{late[int(len(late) * 0.99)]:.1f} s"


async def _wait_for_all(key: str, url: str, sandbox: Sandbox) -> tuple[int, list[float]]:
    late: list[float] = []
    async with AsyncPlanasonix(key, url) as client:
        jobs = [await client.connections.sync(CONNECTION) for _ in range(WAITS)]
        before = sandbox.calls()

        async def wait(job_id: str, created_at: datetime | None) -> None:
            interval = Interval(fixed_seconds=INTERVAL_SECONDS)
            await watch_shared(client, "job", job_id, created_at=created_at, interval=interval)
            noticed = time.time()
            finished = datetime.fromisoformat(sandbox.job(job_id)["finished_at"]).astimezone(UTC)
            late.append(noticed - finished.timestamp())

        await asyncio.gather(*(wait(job.id, job.created_at) for job in jobs))
        return sandbox.calls() - before, late
