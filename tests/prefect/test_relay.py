"""The relay's effect on a Prefect server: one event an end, one resume, whoever told it before and however often."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Running
from pydantic import SecretStr

from planasonix.runs import outcome_of
from planasonix.sandbox import Sandbox
from planasonix.webhooks import Arrival, Event, Inbox, consume
from planasonix.webhooks.inbox import Patience, TryLater
from prefect_planasonix import relay_effect
from prefect_planasonix.credentials import PlanasonixCredentials
from prefect_planasonix.events import ended_event
from prefect_planasonix.ledger import ArtifactStore
from prefect_planasonix.push import woken_by_inbox
from prefect_planasonix.relay import relay
from prefect_planasonix.relay_effect import NotEndedYetError, RelayEffect
from tests.prefect.conftest import CANARY_KEY
from tests.prefect.reconcile_world import ALL, World, a_world


@pytest.fixture
def world(prefect_server: str) -> Iterator[World]:
    # Of its own: the same ids of jobs come again after a reset, and the server keeps events for good.
    with Sandbox(api_keys=(CANARY_KEY,), seed=secrets.randbits(31)).serve() as sandbox, a_world(sandbox) as made:
        yield made


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox.open(f"sqlite:///{tmp_path / 'inbox.db'}") as opened:
        yield opened


def delivery(job_id: str, number: int = 1, word: str = "succeeded") -> Arrival:
    body = f'{{"id":"evt_{job_id}_{number}","type":"job.{word}","job_id":"{job_id}"}}'
    return Arrival.of(Event.parse(body.encode()))


def relayed(inbox: Inbox, effect: Any, count: int = 1) -> list[str]:
    """Run a consumer until so many events are behind it; what it logged."""
    stop, lines = threading.Event(), list[str]()
    consumer = threading.Thread(
        target=consume,
        args=(inbox, "relay", effect),
        kwargs={
            "holder": "test",
            "stop": stop,
            "start": "beginning",
            "idle_seconds": 0.05,
            "patience": Patience(first_seconds=0.1),
            "log": lambda level, text: lines.append(text),
        },
    )
    consumer.start()
    until = time.monotonic() + 60
    while inbox.cursor("relay") < count and time.monotonic() < until:
        time.sleep(0.05)
    stop.set()
    consumer.join(60)
    assert inbox.cursor("relay") == count, lines
    return lines


def told_of(world: World, job_id: str) -> list[dict[str, Any]]:
    """The events of a job that the server has; it stores them a moment after it took them."""
    until = time.monotonic() + 20
    wanted = {"filter": {"resource": {"id": [f"planasonix.job.{job_id}"]}}, "limit": 50}
    while time.monotonic() < until:
        found = world.prefect.request("POST", "/events/filter", json=wanted).json()["events"]
        if found:
            return cast("list[dict[str, Any]]", found)
        time.sleep(0.1)
    return []


def state_of(world: World, flow_run_id: str) -> str:
    return str(world.prefect.read_flow_run(UUID(flow_run_id)).state.name)


def test_three_deliveries_of_one_end_are_one_event_and_one_resume(world: World, inbox: Inbox) -> None:
    sleeper = world.asleep()
    entry = world.job(sleeper, deferral=ALL)
    job_id = str(entry.record.run_id)
    world.sandbox.finish(job_id)
    effect = RelayEffect(world.client, world.prefect)
    for number in (1, 2, 3):
        inbox.add([delivery(job_id, number)])
    relayed(inbox, effect, inbox.last_seq())
    assert state_of(world, sleeper) == "Resuming"
    [told] = told_of(world, job_id)
    for number in (7, 8):  # and of a relay that was killed before its cursor moved
        RelayEffect(world.client, world.prefect)(inbox.read(0)[0])
        inbox.add([delivery(job_id, number)])
    time.sleep(1.0)
    assert [each["id"] for each in told_of(world, job_id)] == [told["id"]]
    assert told["event"] == "planasonix.job.succeeded"
    roles = {each["prefect.resource.role"]: each["prefect.resource.id"] for each in told["related"]}
    assert roles["flow-run"] == f"prefect.flow-run.{sleeper}"
    assert roles["deployment"] == f"prefect.deployment.{world.deployment_id}"
    assert roles["connection"] == f"planasonix.connection.{entry.record.target_id}"
    assert entry.handle is not None
    live = ended_event(outcome_of(world.client, entry.handle), flow_run_id=UUID(sleeper))
    assert (told["id"], told["payload"]) == (str(live.id), dict(live.payload)), "as the flow run itself tells it"


def test_a_job_of_nobody_is_told_without_a_flow_run(world: World, inbox: Inbox) -> None:
    job = world.client.connections.sync(next(world.connections))
    world.sandbox.finish(job.id, "failed")
    inbox.add([delivery(job.id, word="failed")])
    relayed(inbox, RelayEffect(world.client, world.prefect))
    [told] = told_of(world, job.id)
    assert told["event"] == "planasonix.job.failed"
    assert [each["prefect.resource.role"] for each in told["related"]] == ["connection"]


def test_an_end_that_comes_after_the_retry_has_begun_is_still_its_flow_runs(world: World, inbox: Inbox) -> None:
    flow_run_id = world.run(Running())
    entry = world.job(flow_run_id)
    first = str(entry.record.run_id)
    world.sandbox.finish(first, "failed")
    again = replace(entry.record, run_id=f"{first}-2", generation=1, earlier_ids=(first,))
    ArtifactStore(world.prefect, entry.owner).write(replace(entry, record=again))
    inbox.add([delivery(first, word="failed")])
    relayed(inbox, RelayEffect(world.client, world.prefect))
    [told] = told_of(world, first)
    assert entry.handle is not None
    live = ended_event(outcome_of(world.client, entry.handle), flow_run_id=UUID(flow_run_id))
    assert (told["id"], told["payload"]) == (str(live.id), dict(live.payload)), "as the flow run itself has told it"


def test_an_untrue_end_tells_nothing_and_wakes_nobody(
    world: World, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = world.asleep()
    job_id = str(world.job(sleeper, deferral=ALL).record.run_id)
    inbox.add([delivery(job_id)])
    [stored] = inbox.read(0)
    effect = RelayEffect(world.client, world.prefect)
    with pytest.raises(NotEndedYetError, match="shows it as"):
        effect(stored)
    assert state_of(world, sleeper) == "Suspended"
    inbox.add([delivery("job_of_another_tenant")])
    [other] = inbox.read(stored.seq)
    with pytest.raises(NotEndedYetError, match="cannot be found"):
        effect(other)
    # An API may tell of a run before it finds it, and not for long.
    monkeypatch.setattr(relay_effect, "NOT_THERE_YET", timedelta(0))
    effect(other)
    world.sandbox.finish(job_id)
    effect(stored)
    assert state_of(world, sleeper) == "Resuming"


def test_a_run_that_sleeps_for_two_jobs_is_woken_by_the_second_end(world: World, inbox: Inbox) -> None:
    sleeper = world.asleep()
    jobs = [str(world.job(sleeper, deferral=ALL).record.run_id) for _ in range(2)]
    effect = RelayEffect(world.client, world.prefect)
    for number, (job_id, state) in enumerate(zip(jobs, ("Suspended", "Resuming"), strict=True)):
        world.sandbox.finish(job_id)
        inbox.add([delivery(job_id)])
        effect(inbox.read(number)[0])
        assert state_of(world, sleeper) == state


class _Away:
    """Prefect's API, away for so many calls."""

    def __init__(self, client: SyncPrefectClient, calls: int) -> None:
        self._client, self.left = client, calls

    def __getattr__(self, name: str) -> Any:
        if self.left > 0:
            self.left -= 1
            raise httpx.ConnectError("nobody is there")
        return getattr(self._client, name)


def test_prefect_is_waited_for_and_the_cursor_stays(world: World, inbox: Inbox) -> None:
    sleeper = world.asleep()
    job_id = str(world.job(sleeper, deferral=ALL).record.run_id)
    world.sandbox.finish(job_id)
    inbox.add([delivery(job_id)])
    away = _Away(world.prefect, 3)
    effect = RelayEffect(world.client, cast("Any", away))
    with pytest.raises(TryLater):
        effect(inbox.read(0)[0])
    lines = relayed(inbox, effect)
    assert away.left == 0
    assert sum("waits" in line for line in lines) == 1
    assert inbox.dead_letters() == []
    assert state_of(world, sleeper) == "Resuming"


def test_a_wait_of_this_process_is_woken_by_the_inbox(world: World, inbox: Inbox) -> None:
    from planasonix import AsyncPlanasonix
    from planasonix.runs import RunHandle, await_run
    from planasonix.watch import Interval

    job = world.client.connections.sync(next(world.connections))
    now = time.time()
    handle = RunHandle("job", job.id, str(job.connection_id), True, now, now + 3600, "")
    field = PlanasonixCredentials(api_key=SecretStr(CANARY_KEY), inbox_url=SecretStr(str(inbox.url)))
    assert "inbox.db" not in repr(field)
    assert "inbox_url" not in field.settings()

    async def waited() -> float:
        async with AsyncPlanasonix(CANARY_KEY, base_url=world.sandbox.url) as client:
            wait = asyncio.ensure_future(woken_by_inbox(field, await_run, client, handle, interval=Interval(600.0)))
            await asyncio.sleep(2.0)
            world.sandbox.finish(job.id)
            await asyncio.to_thread(inbox.add, [delivery(job.id)])
            began = time.monotonic()
            await asyncio.wait_for(wait, 60)
            return time.monotonic() - began

    assert asyncio.run(waited()) < 30


def test_the_saved_block_is_waited_for_while_prefect_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stop, asked = threading.Event(), list[str | None]()

    def away(credentials: str | None) -> Any:
        asked.append(credentials)
        if len(asked) == 3:
            stop.set()
        raise httpx.ConnectError("refused")

    monkeypatch.setattr("prefect_planasonix.reconcile.client_for", away)
    monkeypatch.setattr("prefect_planasonix.relay._AWAY_SECONDS", 0.01)
    relay(f"sqlite:///{tmp_path / 'inbox.db'}", credentials="main", stop=stop)
    assert asked == ["main"] * 3


def test_what_the_first_sweep_of_a_new_inbox_finds_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And not by chance: were the sweep quicker than the cursor, what it found would lie before "now"."""
    url, stop, told = f"sqlite:///{tmp_path / 'inbox.db'}", threading.Event(), list[str | None]()

    class Quick:
        """Finds an end before its start returns."""

        def __init__(self, inbox_url: str, *_: object, **__: object) -> None:
            self._url = inbox_url

        def start(self) -> None:
            with Inbox.open(self._url) as inbox:
                inbox.add([delivery("job_1")])

        def stop(self) -> None: ...

    def effect(self: RelayEffect, stored: Any) -> None:
        told.append(stored.event.object_id)
        stop.set()

    monkeypatch.setattr("planasonix.webhooks.sweep.Sweeper", Quick)
    monkeypatch.setattr(RelayEffect, "__call__", effect)
    monkeypatch.setenv("PLANASONIX_API_KEY", CANARY_KEY)
    in_vain = threading.Timer(20, stop.set)
    in_vain.start()
    relay(url, sweep=True, stop=stop)
    in_vain.cancel()
    assert told == ["job_1"]
