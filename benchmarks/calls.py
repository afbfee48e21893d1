"""A poll and a start through the typed client, and the same two requests with bare httpx.

Bare httpx sends the same bytes and decodes the JSON; it has no retry, no pacing, no model. The server is a process of
its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager

import httpx

from benchmarks.blocks import Block
from benchmarks.server import JOB
from planasonix import AsyncPlanasonix, Planasonix

KEY = "plnx_bench_0123456789"
HEADERS = {"Authorization": f"Bearer {KEY}"}
JOB_ID: str = JOB["id"]
CONNECTION_ID: str = JOB["connection_id"]
METADATA: dict[str, str] = JOB["metadata"]
# A key that is made anew for each start costs all of them the same.
IDEMPOTENCY_KEY = "bench-0123456789abcdef"


@contextmanager
def sync_calls(url: str) -> Iterator[dict[str, Block]]:
    """`httpx get`, `planasonix get`, `httpx start`, `planasonix start`."""
    with ExitStack() as stack:
        bare = stack.enter_context(httpx.Client(headers=HEADERS))
        client = stack.enter_context(Planasonix(KEY, url))
        job_url, start_url = _addresses(url)
        yield {
            "httpx get": repeated(lambda: bare.get(job_url).json()),
            "planasonix get": repeated(lambda: client.jobs.get(JOB_ID)),
            "httpx start": repeated(lambda: bare.post(start_url, json=_body(), headers=_key_header()).json()),
            "planasonix start": repeated(
                lambda: client.connections.sync(CONNECTION_ID, metadata=METADATA, idempotency_key=IDEMPOTENCY_KEY)
            ),
        }


@asynccontextmanager
async def async_calls(url: str, run: Callable[[Awaitable[None]], None]) -> AsyncIterator[dict[str, Block]]:
    """The same four, each block run by `run` on one event loop."""
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(httpx.AsyncClient(headers=HEADERS))
        client = await stack.enter_async_context(AsyncPlanasonix(KEY, url))
        job_url, start_url = _addresses(url)

        async def bare_get() -> None:
            (await bare.get(job_url)).json()

        async def bare_start() -> None:
            (await bare.post(start_url, json=_body(), headers=_key_header())).json()

        yield {
            "httpx get": arepeated(bare_get, run),
            "planasonix get": arepeated(lambda: client.jobs.get(JOB_ID), run),
            "httpx start": arepeated(bare_start, run),
            "planasonix start": arepeated(
                lambda: client.connections.sync(CONNECTION_ID, metadata=METADATA, idempotency_key=IDEMPOTENCY_KEY), run
            ),
        }


@contextmanager
def on_a_loop(url: str, *groups: Callable[..., object]) -> Iterator[dict[str, Block]]:
    """The contenders of all async `groups`, on one event loop, as blocks like the sync ones."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        contenders: dict[str, Block] = {}
        try:
            for group in groups:
                contenders |= runner.run(stack.enter_async_context(group(url, runner.run)))
            yield contenders
        finally:
            runner.run(stack.aclose())


def repeated(call: Callable[[], object]) -> Block:
    def block(calls: int) -> None:
        for _ in range(calls):
            call()

    return block


def arepeated(call: Callable[[], Awaitable[object]], run: Callable[[Awaitable[None]], None]) -> Block:
    async def block(calls: int) -> None:
        for _ in range(calls):
            await call()

    return lambda calls: run(block(calls))


def _addresses(url: str) -> tuple[str, str]:
    return f"{url}/api/v1/jobs/{JOB_ID}", f"{url}/api/v1/connections/{CONNECTION_ID}/sync"


def _body() -> dict[str, object]:
    return {"metadata": METADATA}


def _key_header() -> dict[str, str]:
    return {"Idempotency-Key": IDEMPOTENCY_KEY}
