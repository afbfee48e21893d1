"""What a client's many calls cost the API when it is limited, overloaded or down (G6), counted at the sandbox."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.engine import Retrying
from planasonix.errors import PlanasonixError

POLLS = 1_000
CONNECTION = "conn_shop_orders"


def poll_all(kind: str, storm: Any, *, clients: int) -> None:
    """A thousand status calls, spread over so many clients of one key."""

    def poll(client: Planasonix) -> None:
        with pytest.raises(PlanasonixError):
            client.jobs.get("job_1")

    async def apoll(client: AsyncPlanasonix) -> None:
        with pytest.raises(PlanasonixError):
            await client.jobs.get("job_1")

    async def apoll_all() -> None:
        made = [AsyncPlanasonix(**storm.settings()) for _ in range(clients)]
        await asyncio.gather(*(apoll(made[number % clients]) for number in range(POLLS)))

    if kind == "async":
        asyncio.run(apoll_all())
        return
    made = [Planasonix(**storm.settings()) for _ in range(clients)]
    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(poll, made[number % clients]) for number in range(POLLS)]:
            done.result()


@pytest.mark.parametrize("fault", ["error", "reset"])
@pytest.mark.parametrize("clients", [1, 100])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_dead_api_is_not_hammered(make_storm: Any, kind: str, clients: int, fault: str) -> None:
    storm = make_storm("strict")
    storm.sandbox.fault("*", fault, times=None)
    poll_all(kind, storm, clients=clients)
    assert POLLS <= storm.sandbox.calls() <= 1.3 * POLLS


def test_a_pause_silences_a_pool_of_threads(make_storm: Any) -> None:
    """Of each other thread, one call at most may have been let go before the pause was known."""
    threads, each = 16, 40
    storm = make_storm("strict", speed=1.0)
    storm.sandbox.fault("jobs.list", "rate_limit", retry_after=1, skip_first=100)
    known: list[float] = []

    def note(event: Any) -> None:
        if isinstance(event, Retrying):
            known.append(storm.clock.monotonic())

    together = threading.Barrier(threads)

    def list_often(client: Planasonix) -> None:
        together.wait()
        for _ in range(each):
            client.jobs.list_page(limit=1)

    with Planasonix(**storm.settings(on_event=note)) as client, ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(list_often, client) for _ in range(threads)]:
            done.result()
    [told] = [call.at for call in storm.door.calls if call.retry_after is not None]
    assert len(storm.door.calls) == threads * each + 1
    assert sum(known[0] < call.at < told + 1.0 for call in storm.door.calls) < threads


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_starts_then_cancels_then_polls(make_storm: Any, kind: str) -> None:
    """With 20 of 100 calls left, starts and cancels go out at once, and polls wait for the next window."""
    storm = make_storm("strict", speed=15.0, busy="parallel", rate_limit=100, rate_headers=True)
    with Planasonix(**storm.settings()) as client:
        jobs = [client.connections.sync(CONNECTION).id for _ in range(80)]
        begun = storm.clock.time()
        before = len(storm.sandbox.journal)
        if kind == "async":
            asyncio.run(acall_all(storm, jobs))
        else:
            with ThreadPoolExecutor(24) as pool:
                calls = [pool.submit(client.jobs.get, job_id) for job_id in jobs[:8]]
                calls += [pool.submit(client.jobs.cancel, job_id) for job_id in jobs[:8]]
                calls += [pool.submit(client.connections.sync, CONNECTION) for _ in range(8)]
                for done in calls:
                    done.result()
    entries = storm.sandbox.journal[before:]
    assert not [entry for entry in storm.sandbox.journal if entry.status == 429]
    at = {
        operation: [call.at - begun for call in storm.door.calls[before:] if call.operation == operation]
        for operation in ("connections.sync", "jobs.cancel", "jobs.get")
    }
    assert {operation: len(times) for operation, times in at.items()} == dict.fromkeys(at, 8)
    assert [entry.operation for entry in entries[16:]] == ["jobs.get"] * 8
    assert max(at["connections.sync"] + at["jobs.cancel"]) < min(at["jobs.get"])


async def acall_all(storm: Any, jobs: list[str]) -> None:
    async with AsyncPlanasonix(**storm.settings()) as client:
        await asyncio.gather(
            *(client.jobs.get(job_id) for job_id in jobs[:8]),
            *(client.jobs.cancel(job_id) for job_id in jobs[:8]),
            *(client.connections.sync(CONNECTION) for _ in range(8)),
        )
