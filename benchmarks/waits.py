"""Many waits in one process: what they cost the API, how late they notice, and what they do to their event loop.

Over HTTP beside "one GET per job", the loop that most integrations have; in virtual time where jobs take a quarter of
an hour. `python -m benchmarks.plot` draws `waits.json`, which the first of these writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import scale, scale_rate
from benchmarks.figure import Figure
from benchmarks.waits_server import served
from planasonix import AsyncPlanasonix
from planasonix.errors import PlanasonixError
from planasonix.watch import Interval, watch_shared

ROWS = Path(__file__).resolve().parent / "waits.json"
SIZES = (100, 300, 1_000, 3_000, 10_000)
INTERVAL_SECONDS = 5.0
_HEARTBEAT_SECONDS = 0.01

Wait = Callable[[AsyncPlanasonix, str, datetime], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Row:
    """One size in one way of waiting."""

    way: str
    waits: int
    calls_per_wait: float
    late_p50_seconds: float
    late_p99_seconds: float
    longest_block_milliseconds: float
    processor_seconds: float


async def _watcher(client: AsyncPlanasonix, job_id: str, created_at: datetime) -> None:
    interval = Interval(fixed_seconds=INTERVAL_SECONDS)
    await watch_shared(client, "job", job_id, created_at=created_at, interval=interval)


async def _one_get_per_job(client: AsyncPlanasonix, job_id: str, created_at: datetime) -> None:
    while True:
        # Under ten thousand of these calls fail for want of a free connection; a loop that ended then had no figure.
        with contextlib.suppress(PlanasonixError):
            job = await client.jobs.get(job_id)
            if job.is_terminal:
                return
        await asyncio.sleep(INTERVAL_SECONDS)


_WAYS: dict[str, Wait] = {"watcher": _watcher, "one GET per job": _one_get_per_job}


def over_http() -> Iterator[Figure]:
    """Jobs that end one after another, up to 150 a second, each size in both ways."""
    rows: list[Row] = []
    for waits in SIZES:
        pair = {way: _measured(way, wait, waits) for way, wait in _WAYS.items()}
        rows += pair.values()
        ours, theirs = pair["watcher"], pair["one GET per job"]
        beside = f"{waits:,} waits over HTTP at {INTERVAL_SECONDS:g} s (in brackets: one GET per job)"
        asks = waits in (1_000, 10_000)
        p99 = f"≤ {INTERVAL_SECONDS + 1:g} s" if asks else ""
        yield Figure(
            f"{beside}: status calls a finished wait",
            f"{ours.calls_per_wait:.2f} ({theirs.calls_per_wait:.2f})",
            gate="≤ 2.5" if waits == 1_000 else "",
        )
        yield Figure(f"{beside}: seen late, median", f"{ours.late_p50_seconds:.1f} s ({theirs.late_p50_seconds:.1f} s)")
        yield Figure(
            f"{beside}: seen late, p99",
            f"{ours.late_p99_seconds:.1f} s ({theirs.late_p99_seconds:.1f} s)",
            gate=p99 if waits == 1_000 else "",
            goal=p99 if waits == 10_000 else "",
        )
        yield Figure(
            f"{beside}: longest block of the loop",
            f"{ours.longest_block_milliseconds:.0f} ms ({theirs.longest_block_milliseconds:.0f} ms)",
            goal="≤ 50 ms" if asks else "",
        )
        yield Figure(f"{beside}: processor", f"{ours.processor_seconds:.1f} s ({theirs.processor_seconds:.1f} s)")
    ROWS.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def in_virtual_time() -> Iterator[Figure]:
    """Jobs of 5 to 15 minutes, the client's calls replaced by 20 ms each."""
    minutes = timedelta(minutes=5), timedelta(minutes=15)
    fixed = Interval(fixed_seconds=INTERVAL_SECONDS)
    many = "10,000 jobs of 5-15 min, virtual time"
    waits = scale.simulate(scale.even(1_000, *minutes), interval=fixed)
    yield Figure("1,000 jobs of 5-15 min, virtual time, 5 s: calls a wait", f"{waits.calls_per_wait:.2f}", gate="≤ 2.5")
    waits = scale.simulate(scale.even(10_000, *minutes), interval=fixed)
    yield Figure(f"{many}, 5 s: calls a wait", f"{waits.calls_per_wait:.2f}", goal="≤ 2.5")
    yield Figure(f"{many}, 5 s: seen late, p99", f"{waits.late_at(0.99):.1f} s", goal="≤ 6 s")
    waits = scale.simulate(scale.even(10_000, *minutes))
    yield Figure(f"{many}, adaptive: calls a wait", f"{waits.calls_per_wait:.2f}", goal="≤ 1.5")
    yield Figure(f"{many}, adaptive: seen late, p99", f"{waits.late_at(0.99):.1f} s")
    yield Figure(f"{many}: longest turn of the loop", f"{waits.longest_turn_seconds * 1000:.0f} ms", goal="≤ 50 ms")
    waits = scale.simulate(scale.even(10_000, *minutes), collect_garbage=False)
    turn = f"{waits.longest_turn_seconds * 1000:.0f} ms"
    yield Figure(f"{many}: the same without the interpreter's garbage collection", turn)
    waits = scale.simulate(scale.even(10_000, *minutes), measure_memory=True)
    yield Figure(f"{many}: memory a wait, the caller's task included", f"{waits.kib_per_wait:.1f} KiB", goal="≤ 10 KiB")
    few = scale.simulate(scale.even(50, *minutes), interval=fixed, foreign=20_000)
    yield Figure("50 watched among 20,000 foreign jobs: calls a tick", f"{few.most_calls_a_tick(1.0)}", gate="≤ 50")


def under_a_rate_limit() -> Iterator[Figure]:
    """The real client and its pacer, against the sandbox's rate headers, in virtual time."""
    result = scale_rate.simulate(10_000, 1_200)
    name = "10,000 jobs of 2-20 min under 1,200 calls a minute, virtual time"
    yield Figure(f"{name}: refused after warm-up", f"{result.refused_after_warm_up}", goal="≤ 0")
    yield Figure(f"{name}: the latest seen", f"{max(result.late):.1f} s", goal="≤ 30 s")
    yield Figure(f"{name}: seen late, p99", f"{sorted(result.late)[int(len(result.late) * 0.99)]:.1f} s")
    yield Figure(f"{name}: calls a wait", f"{result.calls / len(result.late):.2f}")


def _measured(way: str, wait: Wait, waits: int) -> Row:
    with served(waits) as sandbox:
        hello = sandbox.hello
        began = time.process_time()
        noticed, longest = asyncio.run(_wait_for_all(wait, hello))
        took = time.process_time() - began
        told = sandbox.ask()
    late = sorted(at - told["ended"][job_id] for job_id, at in noticed.items())
    return Row(
        way,
        waits,
        round(told["calls"] / waits, 3),
        round(late[len(late) // 2], 2),
        round(late[int(len(late) * 0.99)], 2),
        round(longest * 1000, 1),
        round(took, 2),
    )


async def _wait_for_all(wait: Wait, hello: dict[str, Any]) -> tuple[dict[str, float], float]:
    noticed: dict[str, float] = {}
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            longest = max(longest, time.perf_counter() - began - _HEARTBEAT_SECONDS)

    async with AsyncPlanasonix(hello["key"], hello["url"], deadline_seconds=None) as client:

        async def one(job: dict[str, Any]) -> None:
            await wait(client, job["id"], datetime.fromisoformat(job["created_at"]))
            noticed[job["id"]] = time.time()

        # The first call of a process imports and builds what all later ones share.
        await client.jobs.list_page(limit=1)
        heart = asyncio.create_task(beat())
        tasks: list[asyncio.Task[None]] = []
        for number, job in enumerate(hello["jobs"], 1):
            tasks.append(asyncio.create_task(one(job)))
            # As a triggerer takes its triggers up: in batches.
            if number % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        heart.cancel()
    return noticed, longest
