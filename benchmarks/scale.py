"""Many waits in virtual time, against an API that exists in memory only: what they cost it, and how late they notice.

The watcher is the real one; the client is replaced, so that ten thousand jobs of a quarter of an hour take seconds.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
import tracemalloc
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from benchmarks.virtual_time import VirtualTimeLoop, run
from planasonix.watch import Interval, watch_shared

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 100


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    status: str
    phase: str
    created_at: datetime | None


@dataclass
class Waits:
    """What one run of many waits came to. Times in seconds of virtual time; a turn of the loop in processor time."""

    late: list[float] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    calls_at: list[float] = field(default_factory=list)
    longest_turn_seconds: float = 0.0
    kib_per_wait: float = 0.0
    tasks_left: int = 0
    took_seconds: float = 0.0

    @property
    def calls_per_wait(self) -> float:
        return self.calls.total() / len(self.late)

    def late_at(self, share: float) -> float:
        return sorted(self.late)[min(len(self.late) - 1, int(len(self.late) * share))]

    def most_calls_within(self, seconds: float) -> int:
        """The largest number of calls in any span of that length."""
        return max(bisect_left(self.calls_at, at + seconds) - i for i, at in enumerate(self.calls_at))

    def most_calls_a_tick(self, rest_seconds: float) -> int:
        """The largest number of calls between two rests of at least that length."""
        most = calls = 0
        for before, at in pairwise([float("-inf"), *self.calls_at]):
            calls = 1 if at - before >= rest_seconds else calls + 1
            most = max(most, calls)
        return most


class Jobs:
    """Reads jobs that start at 0 and end at the seconds given; foreign ones never end."""

    def __init__(self, ends: list[float], foreign: int, latency_seconds: float, waits: Waits) -> None:
        self._loop = asyncio.get_running_loop()
        self._latency = latency_seconds
        self._waits = waits
        self.ends = {f"job_{n}": at for n, at in enumerate(ends)}
        ids = [*self.ends, *(f"foreign_{n}" for n in range(foreign))]
        random.Random(2).shuffle(ids)
        self._running = [Row(i, "running", "active", EPOCH) for i in ids]
        self._ended = {i: Row(i, "succeeded", "succeeded", EPOCH) for i in self.ends}
        self._row_of = {row.id: row for row in self._running}
        seq_of = {run_id: seq for seq, run_id in enumerate(ids)}
        self._active = list(range(len(ids)))
        self._coming = sorted(((at, seq_of[i]) for i, at in self.ends.items()), reverse=True)

    async def get(self, run_id: str) -> Row:
        await self._called("get")
        over = self._loop.time() >= self.ends[run_id]
        return self._ended[run_id] if over else self._row_of[run_id]

    async def list_page(
        self, *, status: str, limit: int, cursor: str | None = None, since: datetime | None = None
    ) -> Any:
        await self._called("list")
        while self._coming and self._coming[-1][0] <= self._loop.time():
            del self._active[bisect_left(self._active, self._coming.pop()[1])]
        if status != "running":
            return SimpleNamespace(rows=[], cursor=None)
        top = len(self._active) if cursor is None else bisect_left(self._active, int(cursor))
        bottom = max(0, top - min(limit, PAGE))
        rows = [self._running[seq] for seq in self._active[bottom:top]]
        return SimpleNamespace(rows=rows, cursor=str(self._active[bottom]) if bottom else None)

    async def _called(self, what: str) -> None:
        self._waits.calls[what] += 1
        self._waits.calls_at.append(self._loop.time())
        await asyncio.sleep(self._latency)


class Client:
    """As much of a client as the watcher sees."""

    def __init__(self, jobs: Jobs) -> None:
        self.config = SimpleNamespace(watch_key=id(jobs))
        self.jobs = self.backfills = self.runs = jobs

    def detached(self, **_: Any) -> Client:
        return self

    async def aclose(self) -> None:
        pass


def simulate(
    ends: list[float],
    *,
    interval: Interval | None = None,
    foreign: int = 0,
    latency_seconds: float = 0.02,
    starts_within_seconds: float = 0.0,
    measure_memory: bool = False,
    collect_garbage: bool = True,
    wait: Callable[..., Any] = watch_shared,
) -> Waits:
    """Wait for jobs that end at `ends`, all in one loop, and measure. `wait` has the signature of `watch_shared`.

    `collect_garbage=False` leaves the interpreter's collections out of the loop's turns.
    """
    waits = Waits()
    loop = VirtualTimeLoop()

    async def wait_for_all() -> None:
        jobs = Jobs(ends, foreign, latency_seconds, waits)
        client: Any = Client(jobs)

        async def one(run_id: str, at: float) -> None:
            await wait(client, "job", run_id, created_at=EPOCH, interval=interval)
            waits.late.append(loop.time() - at)

        # The API's own objects are no cost of waiting, in a full garbage collection either.
        gc.collect()
        gc.freeze()
        await asyncio.sleep(0)
        loop.longest_turn_seconds = 0.0
        before = _traced(measure_memory)
        tasks: list[asyncio.Task[None]] = []
        for number, (run_id, at) in enumerate(jobs.ends.items(), 1):
            tasks.append(asyncio.create_task(one(run_id, at)))
            # A triggerer takes its triggers up in batches, too.
            if number % 100 == 0:
                await asyncio.sleep(starts_within_seconds * 100 / len(ends))
        if measure_memory:
            await asyncio.sleep(max(0.0, min(ends) - 1 - loop.time()))
            waits.kib_per_wait = (_traced(True) - before) / len(ends) / 1024
            tracemalloc.stop()
        await asyncio.gather(*tasks)
        waits.tasks_left = len(asyncio.all_tasks()) - 1

    began = time.perf_counter()
    if not collect_garbage:
        gc.disable()
    try:
        run(wait_for_all(), loop)
    finally:
        gc.enable()
        gc.unfreeze()
    waits.took_seconds = time.perf_counter() - began
    waits.longest_turn_seconds = loop.longest_turn_seconds
    return waits


def _traced(measure: bool) -> float:
    if not measure:
        return 0.0
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    gc.collect()
    return float(tracemalloc.get_traced_memory()[0])


def even(count: int, first: timedelta, last: timedelta) -> list[float]:
    """So many ends, at random between the two times; the same in every run."""
    chance = random.Random(1)
    return [chance.uniform(first.total_seconds(), last.total_seconds()) for _ in range(count)]
