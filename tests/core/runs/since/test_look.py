"""One look with the real clients at the sandbox: what lists say is confirmed, sync and async alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.errors import ServerError
from planasonix.runs import RunSince, Sighting, afind_run_since, find_run_since
from planasonix.runs.since import judge
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox

CONNECTION = "conn_shop_orders"


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox()
    made.script(CONNECTION, "stuck")
    return made


@pytest.fixture
def client(sandbox: Sandbox) -> Planasonix:
    return Planasonix(DEFAULT_API_KEY, transport=sandbox.transport(), max_tries=1)


Look = Callable[[RunSince], Sighting]


@pytest.fixture(params=["sync", "async"])
def find(request: pytest.FixtureRequest, sandbox: Sandbox, client: Planasonix) -> Look:
    async def awaited(wish: RunSince) -> Sighting:
        async with AsyncPlanasonix(DEFAULT_API_KEY, transport=sandbox.transport(), max_tries=1) as other:
            return await afind_run_since(other, wish)

    if request.param == "async":
        return lambda wish: asyncio.run(awaited(wish))
    return lambda wish: find_run_since(client, wish)


def since(**fields: Any) -> RunSince:
    given: dict[str, Any] = {"kind": "job", "target_id": CONNECTION, "job_type": "connection_sync"}
    return RunSince(**{"since": datetime.now(UTC) - timedelta(seconds=1)} | given | fields)


def test_a_job_that_somebody_started_is_found_once_it_succeeded(
    find: Look, sandbox: Sandbox, client: Planasonix
) -> None:
    wish = since()
    assert find(wish) == Sighting("waiting")
    job = client.connections.sync(CONNECTION)
    assert (find(wish).verdict, find(wish).run.id) == ("waiting", job.id)  # pyright: ignore[reportOptionalMemberAccess]
    sandbox.finish(job.id)
    seen = find(wish)
    assert seen.run is not None
    assert (seen.verdict, seen.run.id, seen.run.status) == ("found", job.id, "succeeded")
    # What was found stays found, whatever comes later.
    client.connections.sync(CONNECTION)
    assert find(wish).run.id == job.id  # pyright: ignore[reportOptionalMemberAccess]


def test_a_job_from_before_does_not_count(find: Look, sandbox: Sandbox, client: Planasonix) -> None:
    job = client.connections.sync(CONNECTION)
    sandbox.finish(job.id)
    assert find(since(since=datetime.now(UTC) + timedelta(seconds=60))) == Sighting("waiting")


def test_a_list_that_lags_does_not_decide(find: Look, sandbox: Sandbox, client: Planasonix) -> None:
    wish = since(since=datetime.now(UTC) - timedelta(hours=1))
    job = client.connections.sync(CONNECTION)
    sandbox.advance(60)
    sandbox.switch(list_staleness_seconds=30)
    sandbox.finish(job.id)
    assert find(wish).verdict == "waiting"  # the list still shows it running
    sandbox.advance(60)
    assert find(wish).verdict == "found"


def test_a_listed_run_that_no_get_shows_counts_for_nothing(find: Look, sandbox: Sandbox, client: Planasonix) -> None:
    job = client.connections.sync(CONNECTION)
    sandbox.finish(job.id)
    sandbox.fault("jobs.get", status=404)
    assert find(since()).verdict == "waiting"


def test_a_get_that_fails_is_a_look_that_fails(find: Look, sandbox: Sandbox, client: Planasonix) -> None:
    job = client.connections.sync(CONNECTION)
    sandbox.finish(job.id)
    sandbox.fault("jobs.get", status=500)
    with pytest.raises(ServerError):
        find(since())


def test_all_ended_badly_is_told_after_a_while(
    find: Look, sandbox: Sandbox, client: Planasonix, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = client.connections.sync(CONNECTION)
    sandbox.finish(job.id, "failed")
    assert find(since()).verdict == "waiting"
    assert find(since(wanted_status="ended")).verdict == "found"
    monkeypatch.setattr(judge, "SETTLE_SECONDS", -3600.0)
    assert find(since()).verdict == "failed"
    assert find(since(fail_on_failure=False)).verdict == "waiting"


def test_a_word_that_nobody_published_is_a_bad_end_once_it_has_one(
    find: Look, sandbox: Sandbox, client: Planasonix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "SETTLE_SECONDS", -3600.0)
    sandbox.script(CONNECTION, "paused", ended=False)
    job = client.connections.sync(CONNECTION)
    sandbox.advance(60)
    seen = find(since())
    assert seen.run is not None
    assert (seen.verdict, seen.run.id, seen.run.status) == ("waiting", job.id, "paused")
    sandbox.script("conn_hr_people", "exploded")
    client.connections.sync("conn_hr_people")
    sandbox.advance(60)
    assert find(since(target_id="conn_hr_people")).verdict == "failed"


def test_backfills_are_found_too(find: Look, sandbox: Sandbox, client: Planasonix) -> None:
    sandbox.script(CONNECTION, "succeeded", duration_seconds=0.1, queue_seconds=0.0)
    wish = since(kind="backfill", job_type=None)
    window = {"start_at": datetime(2026, 1, 1, tzinfo=UTC), "end_at": datetime(2026, 1, 2, tzinfo=UTC)}
    backfill = client.connections.backfill(CONNECTION, **window)
    sandbox.advance(60)
    seen = find(wish)
    assert seen.run is not None
    assert (seen.verdict, seen.run.id) == ("found", backfill.id)
    assert find(since(kind="backfill", job_type=None, since=datetime.now(UTC) + timedelta(hours=1))).run is None
