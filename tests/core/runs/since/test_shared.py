"""Many wait for runs that nobody here started: who shares what, and what ends a wait. Over HTTP to the sandbox."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.engine import RequestStarted
from planasonix.errors import AuthenticationError, WaitTimeoutError
from planasonix.runs import RunSince, Sighting, await_run_since
from planasonix.runs.since import board, shared
from planasonix.sandbox import RunningSandbox, Sandbox, views
from planasonix.watch import Interval, patience

FAST = Interval(fixed_seconds=0.2)
CONNECTION = "conn_shop_orders"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with Sandbox().serve() as running:
        running.script("*", "stuck")
        yield running


@pytest.fixture
def other(sandbox: RunningSandbox) -> Iterator[Planasonix]:
    """Whoever starts the jobs that are waited for."""
    with Planasonix(sandbox.api_key, sandbox.url) as client:
        yield client


def client_of(sandbox: RunningSandbox) -> AsyncPlanasonix:
    return AsyncPlanasonix(sandbox.api_key, sandbox.url)


def since(connection_id: str = CONNECTION, **fields: Any) -> RunSince:
    given: dict[str, Any] = {"since": datetime.now(UTC) - timedelta(seconds=2), "job_type": "connection_sync"}
    return RunSince("job", connection_id, **given | fields)


def lists(sandbox: RunningSandbox) -> list[dict[str, str]]:
    """The filters of each list page that was asked for."""
    return [dict(entry.query) for entry in sandbox.journal if entry.operation == "jobs.list"]


async def gather_waits(client: AsyncPlanasonix, wishes: list[RunSince], seconds: float) -> list[Sighting | Exception]:
    waits = (await_run_since(client, wish, timeout_seconds=seconds, interval=FAST) for wish in wishes)
    return await asyncio.gather(*waits, return_exceptions=True)  # pyright: ignore[reportReturnType]


def test_fifty_waits_for_one_connection_share_their_lists(sandbox: RunningSandbox, other: Planasonix) -> None:
    job_id: list[str] = []

    async def main() -> list[Any]:
        async with client_of(sandbox) as client:
            waits = asyncio.create_task(gather_waits(client, [since()] * 50, 30.0))
            await asyncio.sleep(1.2)
            job_id.append((await asyncio.to_thread(other.connections.sync, CONNECTION)).id)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(sandbox.finish, job_id[0])
            return await waits

    seen = asyncio.run(main())
    assert [(one.verdict, one.run.id) for one in seen] == [("found", job_id[0])] * 50
    # At 0.2 s each for less than three seconds, not fifty times as many; and one GET confirms for all.
    assert len(lists(sandbox)) <= 20
    assert sandbox.calls("jobs.get") == 1


def test_waits_for_many_connections_share_one_list(sandbox: RunningSandbox, other: Planasonix) -> None:
    connections = [row.id for row in other.connections.list()][:20]
    assert len(connections) == 20

    async def main() -> list[Any]:
        async with client_of(sandbox) as client:
            return await gather_waits(client, [since(one) for one in connections], 2.0)

    seen = asyncio.run(main())
    assert all(isinstance(one, WaitTimeoutError) for one in seen)
    rounds = [one for one in lists(sandbox) if "connection_id" not in one and "since" in one]
    # The last look of each is its own, at its deadline.
    looks = [one["connection_id"] for one in lists(sandbox) if "connection_id" in one and "since" in one]
    assert sorted(looks) == sorted(connections)
    assert 3 <= len(rounds) <= 12


def test_a_common_list_that_is_too_long_gives_way_to_lists_of_their_own(
    sandbox: RunningSandbox, other: Planasonix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "_PAGE", 1)
    sandbox.script("*", "succeeded", duration_seconds=0.0, queue_seconds=0.0)
    connections = [row.id for row in other.connections.list()][:6]
    for connection_id in [*connections[:5], *connections[:5]]:
        sandbox.advance(60)
        other.connections.sync(connection_id)
    sandbox.advance(60)
    wishes = [since(one, since=datetime.now(UTC) - timedelta(hours=1)) for one in connections]

    async def main() -> list[Any]:
        async with client_of(sandbox) as client:
            return await gather_waits(client, wishes, 2.0)

    seen = asyncio.run(main())
    assert [one.verdict for one in seen[:5]] == ["found"] * 5
    assert {one.get("connection_id") for one in lists(sandbox)} >= set(connections)
    assert isinstance(seen[5], WaitTimeoutError)


def test_a_common_list_that_is_refused_gives_way_too(sandbox: RunningSandbox, other: Planasonix) -> None:
    connections = [row.id for row in other.connections.list()][:5]
    # The first list that is not about one connection: it learns the clock, and fails.
    sandbox.fault("jobs.list", status=403, times=1)
    job = other.connections.sync(connections[4])
    sandbox.finish(job.id)

    async def main() -> list[Any]:
        async with client_of(sandbox) as client:
            return await gather_waits(client, [since(one) for one in connections], 1.5)

    seen = asyncio.run(main())
    assert (seen[4].verdict, seen[4].run.id) == ("found", job.id)
    assert {one.get("connection_id") for one in lists(sandbox)} >= set(connections)


def test_a_common_list_that_does_not_show_whose_the_jobs_are_gives_way_too(
    sandbox: RunningSandbox, other: Planasonix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "JOB_ROW", tuple(key for key in views.JOB_ROW if key != "connection_id"))
    connections = [row.id for row in other.connections.list()][:5]
    job = other.connections.sync(connections[4])
    sandbox.finish(job.id)

    async def main() -> Sighting:
        async with client_of(sandbox) as client:
            waits = [asyncio.create_task(await_run_since(client, since(one), interval=FAST)) for one in connections]
            try:
                # Without a deadline: the look at one would be a list of its own in any case.
                return await asyncio.wait_for(waits[4], 15)
            finally:
                for one in waits:
                    one.cancel()
                await asyncio.gather(*waits, return_exceptions=True)

    seen = asyncio.run(main())
    assert (seen.verdict, seen.run and seen.run.id) == ("found", job.id)


def test_a_bad_poll_ends_no_wait(sandbox: RunningSandbox, other: Planasonix) -> None:
    sandbox.fault("jobs.list", status=500, times=3)
    job = other.connections.sync(CONNECTION)
    sandbox.finish(job.id)
    sandbox.fault("jobs.get", kind="cut", times=2)

    async def main() -> list[Any]:
        async with client_of(sandbox) as client:
            return await gather_waits(client, [since()], 30.0)

    [seen] = asyncio.run(main())
    assert (seen.verdict, seen.run.id) == ("found", job.id)


def test_a_key_that_stays_refused_ends_it_with_its_error(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "Patience", lambda: patience.Patience(missing_grace_seconds=0.5, auth_grace_seconds=0.5))

    async def main() -> list[Any]:
        async with AsyncPlanasonix("plnx_live_wrong", sandbox.url) as client:
            return await gather_waits(client, [since()], 20.0)

    [seen] = asyncio.run(main())
    assert isinstance(seen, AuthenticationError)


def test_the_deadline_says_what_was_seen_last(sandbox: RunningSandbox, other: Planasonix) -> None:
    job = other.connections.sync(CONNECTION)

    async def main() -> list[Any]:
        async with client_of(sandbox) as client:
            return await gather_waits(client, [since(), since("conn_hr_people")], 1.0)

    seen, unseen = asyncio.run(main())
    assert isinstance(seen, WaitTimeoutError)
    assert isinstance(unseen, WaitTimeoutError)
    assert f"the last one seen is {job.id}, " in str(seen)
    assert seen.pending[0]["id"] == job.id
    assert "none was seen" in str(unseen)
    assert sandbox.cancels() == 0


def test_a_run_that_ends_at_the_deadline_is_found(sandbox: RunningSandbox, other: Planasonix) -> None:
    job = other.connections.sync(CONNECTION)

    async def main() -> Sighting:
        async with client_of(sandbox) as client:
            wait = asyncio.create_task(
                await_run_since(client, since(), timeout_seconds=2.0, interval=Interval(fixed_seconds=60.0))
            )
            await asyncio.sleep(1.2)
            await asyncio.to_thread(sandbox.finish, job.id)
            return await wait

    assert asyncio.run(main()).verdict == "found"


def test_changes_are_told_and_a_listener_that_fails_ends_nothing(sandbox: RunningSandbox, other: Planasonix) -> None:
    job = other.connections.sync(CONNECTION)
    told: list[str] = []

    def listen(run: Any) -> None:
        told.append(str(run.status))
        raise RuntimeError("a defect of the listener")

    async def main() -> Sighting:
        async with client_of(sandbox) as client:
            wait = asyncio.create_task(await_run_since(client, since(), interval=FAST, on_change=listen))
            await asyncio.sleep(1.5)
            await asyncio.to_thread(sandbox.finish, job.id)
            return await asyncio.wait_for(wait, 20)

    assert asyncio.run(main()).verdict == "found"
    assert told[-1] == "succeeded"
    assert len(told) <= 3


def test_a_listener_runs_in_the_context_of_its_own_caller(sandbox: RunningSandbox, other: Planasonix) -> None:
    ids = [CONNECTION, "conn_crm_accounts"]
    for connection_id in ids:
        other.connections.sync(connection_id)
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller")
    heard: set[tuple[str, str]] = set()

    async def wait(client: AsyncPlanasonix, connection_id: str) -> None:
        caller.set(connection_id)
        await await_run_since(
            client,
            since(connection_id, wanted_status="ended"),
            interval=FAST,
            on_change=lambda run: heard.add((run.connection_id, caller.get("nobody"))),  # type: ignore[attr-defined]
        )

    async def main() -> None:
        async with client_of(sandbox) as client:
            waits = [asyncio.create_task(wait(client, connection_id)) for connection_id in ids]
            await asyncio.sleep(1.0)
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    asyncio.run(main())
    assert heard == {(connection_id, connection_id) for connection_id in ids}


async def looked_once(client: AsyncPlanasonix, wishes: list[RunSince]) -> int:
    """What the first look of waits that look only once cost."""
    slow = Interval(fixed_seconds=600.0)
    waits = [asyncio.create_task(await_run_since(client, wish, interval=slow)) for wish in wishes]
    await asyncio.sleep(1.5)
    cost = shared.board_for(client, wishes[0].kind)._cost
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    return cost


@pytest.mark.parametrize("case", ["backfills", "common", "given-up"])
def test_every_call_of_a_look_counts(sandbox: RunningSandbox, other: Planasonix, case: str) -> None:
    sandbox.script("*", "succeeded", duration_seconds=0.0, queue_seconds=0.0)
    if case == "backfills":
        sandbox.switch(page_limit_max=2, page_limit_over="clamp", busy="parallel")
        for _ in range(7):
            other.connections.backfill(CONNECTION, start_at="2026-01-01T00:00Z", end_at="2026-01-02T00:00Z")
            sandbox.advance(60)
        wishes = [RunSince("backfill", CONNECTION, datetime.now(UTC) + timedelta(hours=1))]
    else:
        connections = [row.id for row in other.connections.list()][:6]
        wishes = [since(one, since=datetime.now(UTC) + timedelta(hours=1)) for one in connections]
        if case == "given-up":
            sandbox.fault("jobs.list", status=403, times=1)
    before = len(sandbox.journal)
    heard: list[Any] = []

    async def main() -> int:
        async with AsyncPlanasonix(sandbox.api_key, sandbox.url, on_event=heard.append) as client:
            return await looked_once(client, wishes)

    cost = asyncio.run(main())
    assert cost == len(sandbox.journal) - before
    # The clock, and four pages or one; or a refusal, and then at least a list each.
    assert cost == {"backfills": 5, "common": 2, "given-up": max(7, cost)}[case]
    # The caller's own listener hears of them as well.
    assert sum(isinstance(event, RequestStarted) for event in heard) == cost


def test_waits_that_are_cancelled_leave_nothing_behind(
    sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with client_of(sandbox) as client:
            waits = [asyncio.create_task(await_run_since(client, since(), interval=FAST)) for _ in range(3)]
            await asyncio.sleep(1.0)
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            assert shared.board_for(client, "job")._task is None
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert [task.get_name() for task in left if "planasonix" in task.get_name()] == []

    asyncio.run(main())
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []
