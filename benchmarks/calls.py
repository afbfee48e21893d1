"""A typed client call beside the same request with bare httpx."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator

import httpx

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.sandbox import Sandbox

CALLS = 300
PAIRS = 5


def sync_calls() -> Iterator[tuple[str, str]]:
    with (
        Sandbox().serve() as server,
        httpx.Client(headers=_headers(server.api_key)) as bare,
        Planasonix(server.api_key, server.url) as client,
    ):
        job = client.connections.sync("conn_erp_sap")
        url = f"{server.url}/api/v1/jobs/{job.id}"
        theirs, ours = _paired(
            lambda: _timed(lambda: bare.get(url).json()), lambda: _timed(lambda: client.jobs.get(job.id))
        )
    yield from _rows("sync", theirs, ours)


def async_calls() -> Iterator[tuple[str, str]]:
    async def measure() -> tuple[list[float], list[float]]:
        theirs: list[float] = []
        ours: list[float] = []
        async with (
            httpx.AsyncClient(headers=_headers(server.api_key)) as bare,
            AsyncPlanasonix(server.api_key, server.url) as client,
        ):
            job = await client.connections.sync("conn_erp_sap")
            url = f"{server.url}/api/v1/jobs/{job.id}"
            for _ in range(PAIRS):
                theirs.append(await _atimed(lambda: bare.get(url)))
                ours.append(await _atimed(lambda: client.jobs.get(job.id)))
        return theirs, ours

    with Sandbox().serve() as server:
        theirs, ours = asyncio.run(measure())
    yield from _rows("async", theirs, ours)


def _rows(mode: str, theirs: list[float], ours: list[float]) -> Iterator[tuple[str, str]]:
    ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
    on_top = statistics.median(o - t for t, o in zip(theirs, ours, strict=True)) / CALLS * 1e6
    yield f"{mode} call, times the calls per second of bare httpx (gate ≥ 0.7)", f"{ratio:.2f}"
    yield f"{mode} call, on top of bare httpx (goal ≤ 60 µs)", f"{on_top:.0f} µs"


def _paired(bare: Callable[[], float], client: Callable[[], float]) -> tuple[list[float], list[float]]:
    """In turn, so that a machine whose speed drifts is fair to both."""
    pairs = [(bare(), client()) for _ in range(PAIRS)]
    return [one for one, _ in pairs], [other for _, other in pairs]


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - began


async def _atimed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        await call()
    return time.perf_counter() - began


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
