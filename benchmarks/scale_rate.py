"""Many waits under a rate limit, in virtual time: the real client and its pacer, the sandbox and its rate headers."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from benchmarks.virtual_time import LoopClock, VirtualTimeLoop, run
from planasonix import AsyncPlanasonix
from planasonix.sandbox import Sandbox
from planasonix.sandbox.clock import VirtualClock
from planasonix.watch import Interval, watch_shared

CONNECTION = "conn_shop_orders"
START = datetime(2026, 1, 1, tzinfo=UTC)
WARM_UP_SECONDS = 60.0
"""One window: before its first answers a client cannot know that there is a limit."""


class _LoopTime(VirtualClock):
    """The sandbox's clock follows the event loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(0.0, start=START)
        self._loop = loop

    def time(self) -> float:
        return START.timestamp() + self._loop.time()


class _Door:
    """The sandbox's transport, with the time that a call takes on a network, and a count of calls and refusals."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._inner = sandbox.transport()
        self.latency_seconds = 0.0
        self.calls = 0
        self.refused_at: list[float] = []

    async def asend(self, request: Any, timeout_seconds: float) -> Any:
        await asyncio.sleep(self.latency_seconds)
        self.calls += 1
        reply = await self._inner.asend(request, timeout_seconds)
        if reply.status == 429:
            self.refused_at.append(asyncio.get_running_loop().time())
        return reply


@dataclass
class RateLimited:
    """Times in seconds of virtual time."""

    late: list[float] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)
    calls: int = 0

    @property
    def refused_after_warm_up(self) -> int:
        return sum(at >= WARM_UP_SECONDS for at in self.refused_at)


def simulate(
    jobs: int,
    calls_a_minute: int,
    *,
    shortest_seconds: float = 120.0,
    longest_seconds: float = 1200.0,
    interval: Interval | None = None,
    latency_seconds: float = 0.05,
) -> RateLimited:
    """Start that many jobs at once, wait for all of them through one client, and tell what it came to."""
    loop = VirtualTimeLoop()
    result = RateLimited()
    chance = random.Random(3)

    async def wait_for_all() -> None:
        sandbox = Sandbox(busy="parallel", clock=_LoopTime(loop), rate_headers=True)
        lasting = [chance.uniform(shortest_seconds, longest_seconds) for _ in range(jobs)]
        sandbox.script(CONNECTION, sequence=[{"outcome": "succeeded", "duration_seconds": s} for s in lasting])
        door = _Door(sandbox)
        settings: Any = {"transport": door, "clock": LoopClock(loop, START.timestamp())}
        async with AsyncPlanasonix(sandbox.api_key, "http://sandbox", **settings) as client:
            # Another process started them, so to say: at once, and at no cost in calls.
            started = [await client.connections.sync(CONNECTION) for _ in range(jobs)]
            door.calls, door.latency_seconds = 0, latency_seconds
            sandbox.switch(rate_limit=calls_a_minute)

            async def one(job_id: str, created_at: datetime | None) -> None:
                await watch_shared(client, "job", job_id, created_at=created_at, interval=interval)
                finished = datetime.fromisoformat(sandbox.job(job_id)["finished_at"]).timestamp()
                result.late.append(START.timestamp() + loop.time() - finished)

            await asyncio.gather(*(one(job.id, job.created_at) for job in started))
            result.calls, result.refused_at = door.calls, door.refused_at

    run(wait_for_all(), loop)
    return result
