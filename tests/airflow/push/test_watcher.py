"""A watcher's stream: each event once, from its first start on, also across restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.shared_stream import SharedStreamManager
from structlog import get_logger

from airflow_provider_planasonix.push import confirm, listening, producer, tail
from airflow_provider_planasonix.triggers.event import PlanasonixEventTrigger
from planasonix.errors import ConfigurationError, NotFoundError, PermissionDeniedError, TransportError
from planasonix.webhooks import Arrival, Event, Inbox


class Stores:
    """An asset's state store as a triggerer gives it: it outlives the trigger."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    async def aget(self, key: str) -> Any:
        return self.rows.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self.rows[key] = value


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    url = f"sqlite:///{tmp_path}/inbox.db"
    monkeypatch.setenv("AIRFLOW__PLANASONIX__INBOX_URL", url)
    monkeypatch.setenv("AIRFLOW__PLANASONIX__SWEEP_CONN_ID", "")
    listening.inbox_url_of_process.cache_clear()
    with Inbox.open(url) as opened:
        yield opened
        # A triggerer's listens as long as its process lives.
        for begun in listening._begun.values():
            if subscription := begun.result():
                subscription.cancel()
    listening._begun.clear()
    listening.inbox_url_of_process.cache_clear()


class Api:
    """What is true of runs: `job_<n>` belongs to conn_a and ended well, unless told otherwise."""

    def __init__(self) -> None:
        self.truth: dict[str, tuple[str, str] | None] = {}
        self.reads: list[str] = []
        self.is_away = False

    @property
    def jobs(self) -> Api:
        return self

    async def get(self, job_id: str) -> Any:
        self.reads.append(job_id)
        if self.is_away:
            raise TransportError("away")
        truth = self.truth.get(job_id, ("conn_a", "succeeded"))
        if truth is None:
            raise NotFoundError("no such job", status_code=404)
        if isinstance(truth, Exception):
            raise truth
        connection_id, status = truth
        return SimpleNamespace(id=job_id, connection_id=connection_id, phase=status, finished_at=None, metadata=None)


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()

    async def client(*_: object) -> Api:
        return api

    monkeypatch.setattr(confirm, "client_with_patience", client)
    monkeypatch.setattr(confirm, "NOT_YET_SECONDS", (0.1, 0.1))
    monkeypatch.setattr(producer, "SETTLE_SECONDS", 0.05)
    return api


def store(inbox: Inbox, number: int, status: str = "succeeded") -> None:
    """As the one known sample: it names no connection."""
    body = f'{{"id":"evt_{number}","type":"job.{status}","job_id":"job_{number}"}}'
    inbox.add([Arrival.of(Event.parse(body.encode()))])


class Triggerer:
    """What Airflow's triggerer does with a watcher; `confirm` is its supervisor's word that an event is stored."""

    def __init__(self, trigger: PlanasonixEventTrigger, stores: Stores) -> None:
        trigger.asset_state_store = stores  # type: ignore[assignment]
        self.trigger = trigger
        self.manager = SharedStreamManager(log=get_logger())
        self.key = trigger.shared_stream_key()

    async def events(self, *, confirm: bool = True) -> AsyncIterator[dict[str, Any]]:
        stream = self.manager.subscribe(trigger_id=1, trigger=self.trigger, key=self.key)
        async with aclosing(self.trigger.filter_shared_stream(stream)) as fired:  # type: ignore[type-var]
            async for event in fired:
                seq = self.manager.bind_pending_event(trigger_id=1, key=self.key)
                if confirm and seq is not None:
                    asyncio.get_running_loop().call_later(0.01, self.manager.confirm_persisted, [seq])
                yield event.payload

    async def stop(self) -> None:
        await self.manager.unsubscribe(1, self.key)
        await self.manager.stop_all()
        await self.trigger.cleanup()


async def ids(watcher: Triggerer, count: int, *, confirm: bool = True, then: float = 0.3) -> list[str]:
    """The jobs of so many events, and then how the triggerer ends."""
    seen: list[str] = []

    async def collect() -> None:
        async for payload in watcher.events(confirm=confirm):
            seen.append(payload["job_id"])

    task = asyncio.create_task(collect())
    await until(lambda: len(seen) >= count or task.done())
    await asyncio.sleep(then)
    task.cancel()
    await asyncio.wait([task])
    await watcher.stop()
    return seen


async def until_begun(stores: Stores) -> None:
    await until(lambda: bool(stores.rows))


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.02)


def test_it_begins_at_now_and_goes_on_where_it_was(inbox: Inbox) -> None:
    async def scenario() -> tuple[list[str], list[str], list[str]]:
        stores = Stores()
        store(inbox, 1)
        running = asyncio.create_task(ids(Triggerer(PlanasonixEventTrigger("conn_a"), stores), 2))
        await until_begun(stores)
        for number in (2, 3):
            await asyncio.to_thread(store, inbox, number)
        first = await running
        # While no triggerer runs.
        for number in (4, 5, 6):
            await asyncio.to_thread(store, inbox, number)
        unconfirmed = await ids(Triggerer(PlanasonixEventTrigger("conn_a"), stores), 3, confirm=False)
        return first, unconfirmed, await ids(Triggerer(PlanasonixEventTrigger("conn_a"), stores), 3)

    first, unconfirmed, again = asyncio.run(scenario())
    assert first == ["job_2", "job_3"]
    # What Airflow did not store comes again, and nothing before it.
    assert unconfirmed == again == ["job_4", "job_5", "job_6"]


def test_only_what_its_filter_takes_and_the_api_confirms(inbox: Inbox, api: Api) -> None:
    api.truth = {
        "job_1": ("conn_c", "failed"),
        "job_2": None,
        "job_3": ("conn_b", "active"),
        "job_4": ("conn_b", "succeeded"),
        "job_5": ("conn_b", "failed"),
    }

    async def scenario() -> list[str]:
        stores = Stores()
        trigger = PlanasonixEventTrigger(["conn_b", "conn_a"], statuses="failed")
        running = asyncio.create_task(ids(Triggerer(trigger, stores), 1))
        await until_begun(stores)
        await asyncio.to_thread(store, inbox, 0, "succeeded")
        for number in range(1, 6):
            await asyncio.to_thread(store, inbox, number, "failed")
        return await running

    assert asyncio.run(scenario()) == ["job_5"]
    # What the event itself rules out costs no call.
    assert "job_0" not in api.reads


def test_an_api_that_is_away_loses_no_event(inbox: Inbox, api: Api) -> None:
    async def scenario() -> list[str]:
        stores = Stores()
        running = asyncio.create_task(ids(Triggerer(PlanasonixEventTrigger("conn_a"), stores), 2))
        await until_begun(stores)
        api.is_away = True
        for number in (1, 2):
            await asyncio.to_thread(store, inbox, number)
        await until(lambda: len(api.reads) >= 2)
        api.is_away = False
        return await running

    assert asyncio.run(scenario()) == ["job_1", "job_2"]


def test_the_last_of_a_burst_waits_until_airflow_has_made_runs_of_the_others(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes while an earlier event is queued becomes part of the next run: the last one has to start one."""
    monkeypatch.setattr(producer, "SETTLE_SECONDS", 1.0)

    async def scenario() -> list[tuple[str, float]]:
        stores, seen = Stores(), list[tuple[str, float]]()
        watcher = Triggerer(PlanasonixEventTrigger("conn_a", statuses="succeeded"), stores)

        async def collect() -> None:
            async for payload in watcher.events():
                seen.append((payload["job_id"], time.monotonic()))

        task = asyncio.create_task(collect())
        await until_begun(stores)
        bodies = [f'{{"id":"evt_{n}","type":"job.succeeded","job_id":"job_{n}"}}'.encode() for n in range(4)]
        await asyncio.to_thread(inbox.add, [Arrival.of(Event.parse(body)) for body in bodies])
        await until(lambda: len(seen) == 3)
        # One that it does not take hastens nothing.
        await asyncio.to_thread(store, inbox, 8, "failed")
        await until(lambda: len(seen) == 4)
        task.cancel()
        await asyncio.wait([task])
        await watcher.stop()
        return seen

    seen = asyncio.run(scenario())
    assert [job_id for job_id, _ in seen] == ["job_0", "job_1", "job_2", "job_3"]
    assert seen[3][1] - seen[2][1] >= 0.99


def test_more_than_may_be_unconfirmed_pass_in_order(inbox: Inbox) -> None:
    async def scenario() -> list[str]:
        stores = Stores()
        running = asyncio.create_task(ids(Triggerer(PlanasonixEventTrigger(), stores), 450))
        await until_begun(stores)
        bodies = [f'{{"id":"evt_{n}","type":"job.succeeded","job_id":"job_{n}"}}'.encode() for n in range(450)]
        await asyncio.to_thread(inbox.add, [Arrival.of(Event.parse(body)) for body in bodies])
        return await running

    assert asyncio.run(scenario()) == [f"job_{n}" for n in range(450)]


def test_watchers_share_what_they_read(inbox: Inbox, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = tail.Tail._read

    def counted(self: tail.Tail, seq: int) -> Any:
        reads.append(seq)
        return read(self, seq)

    monkeypatch.setattr(tail.Tail, "_read", counted)

    async def scenario() -> list[list[str]]:
        all_stores = [Stores() for _ in range(10)]
        running = [
            asyncio.create_task(ids(Triggerer(PlanasonixEventTrigger("conn_a", name=f"w{n}"), stores), 1))
            for n, stores in enumerate(all_stores)
        ]
        for stores in all_stores:
            await until_begun(stores)
        await asyncio.sleep(0.3)
        reads.clear()
        await asyncio.to_thread(store, inbox, 7)
        return await asyncio.gather(*running)

    assert asyncio.run(scenario()) == [["job_7"]] * 10
    assert len(reads) <= 3
    assert api.reads == ["job_7"]


@pytest.mark.parametrize("wrong", [{"connection_id": ""}, {"types": []}, {"statuses": ["done"]}, {"types": "{{ x }}"}])
def test_a_filter_that_takes_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PlanasonixEventTrigger(**wrong)
    assert caught.value.field == next(iter(wrong))


def test_equal_filters_are_equal_triggers() -> None:
    one, other = PlanasonixEventTrigger(["b", "a"]), PlanasonixEventTrigger(("a", "b", "a"))
    assert one.serialize() == other.serialize()
    assert PlanasonixEventTrigger(**one.serialize()[1]).serialize() == one.serialize()


def test_what_the_api_does_not_show_holds_nobody_up_and_is_asked_about_again(inbox: Inbox, api: Api) -> None:
    """The first run stays refused, the second is found late: neither stops the stream, and a restart loses none."""
    api.truth = {"job_1": PermissionDeniedError("no", status_code=403), "job_2": None}  # type: ignore[dict-item]

    async def scenario() -> list[str]:
        stores = Stores()
        running = asyncio.create_task(ids(Triggerer(PlanasonixEventTrigger("conn_a"), stores), 2))
        await until_begun(stores)
        for number in (1, 2, 3):
            await asyncio.to_thread(store, inbox, number)
        await until(lambda: "job_3" in api.reads)
        api.truth["job_2"] = ("conn_a", "succeeded")
        return await running

    assert asyncio.run(scenario()) == ["job_3", "job_2"]
    # Once, and again after each pause.
    assert api.reads.count("job_1") <= 3
