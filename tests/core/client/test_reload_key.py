"""A key that is rotated while a client is in use: asked for again, used at once, and shown nowhere."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.client.api_key import ASK_AT_MOST_EVERY_SECONDS
from planasonix.engine import Reply
from planasonix.engine.simulate import SimulatedClock
from planasonix.errors import AuthenticationError, ConfigurationError, PermissionDeniedError, ServerError

OLD, NEW = "plnx_live_CANARY_old_0123456789", "plnx_live_CANARY_new_0123456789"
JOB = b'{"data": {"id": "job_1", "status": "running"}}'


class Api:
    """Accepts the keys in `accepted`; remembers which key and idempotency key came."""

    def __init__(self, *accepted: str) -> None:
        self.accepted = set(accepted)
        self.seen: list[tuple[str, str | None]] = []
        self.refusal = 401
        self.script: list[int] = []

    def send(self, request, timeout_seconds):
        key = request.headers["authorization"].removeprefix("Bearer ")
        self.seen.append((key, request.headers.get("idempotency-key")))
        if self.script and (status := self.script.pop(0)) != 200:
            return Reply(status, {}, b"")
        if key not in self.accepted:
            return Reply(self.refusal, {}, b'{"error": {"code": "no", "message": "the key %s"}}' % key.encode())
        return Reply(200, {}, JOB)

    async def asend(self, request, timeout_seconds):
        await asyncio.sleep(0)
        return self.send(request, timeout_seconds)

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.seen]


class Store:
    """Where the key is kept."""

    def __init__(self, value: object = OLD) -> None:
        self.value = value
        self.asked = 0

    def __call__(self):
        self.asked += 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.fixture
def api() -> Api:
    return Api(NEW)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_asked_for_again_and_the_call_goes_on(make_client, api, status, caplog):
    caplog.set_level(logging.DEBUG)
    api.refusal, store = status, Store(NEW)
    client = make_client(OLD, transport=api, reload_api_key=store)
    assert client.jobs.get("job_1").id == "job_1"
    assert client.jobs.get("job_1").id == "job_1"
    assert api.keys == [OLD, NEW, NEW]
    assert store.asked == 1
    shown = caplog.text + repr(client.config) + repr(vars(client.config)) + repr(vars(client.config.api_key))
    assert OLD not in shown
    assert NEW not in shown
    assert "another one is in force" in caplog.text


def test_copies_of_the_client_follow(make_client, api):
    client = make_client(OLD, transport=api, reload_api_key=Store(NEW))
    copy = client.with_options(max_tries=1)
    client.jobs.get("job_1")
    copy.jobs.get("job_1")
    assert api.keys == [OLD, NEW, NEW]


def test_the_budgets_are_those_of_the_key_in_force(api):
    client = Planasonix(OLD, transport=api, reload_api_key=Store(NEW))
    other = Planasonix(NEW, transport=api)
    assert client._shared.pacer is not other._shared.pacer
    client.jobs.get("job_1")
    assert client._shared.pacer is other._shared.pacer
    assert client._shared.budget is other._shared.budget
    assert client.config.share_key == other.config.share_key


def test_a_start_is_repeated_under_its_idempotency_key(make_client, api):
    make_client(OLD, transport=api, reload_api_key=Store(NEW)).connections.sync("conn_1", idempotency_key="wish-1")
    assert api.seen == [(OLD, "wish-1"), (NEW, "wish-1")]


def test_a_start_in_doubt_is_not_sent_with_another_key(make_client, api):
    api.script, store = [503], Store(NEW)
    client = make_client(OLD, transport=api, reload_api_key=store, clock=SimulatedClock())
    with pytest.raises(AuthenticationError) as caught:
        client.connections.sync("conn_1")
    assert caught.value.outcome == "unknown"
    assert api.keys == [OLD, OLD]
    assert store.asked == 0


@pytest.mark.parametrize("answer", [OLD, "", None, "two words", OSError(f"cannot read {NEW}")])
def test_a_store_without_a_better_key_changes_nothing(make_client, api, answer, caplog):
    clock, store = SimulatedClock(), Store(answer)
    client = make_client(OLD, transport=api, reload_api_key=store, clock=clock)
    for _ in range(5):
        with pytest.raises(AuthenticationError) as caught:
            client.jobs.get("job_1")
        assert OLD not in str(caught.value)
    assert store.asked == 1
    clock.advance(ASK_AT_MOST_EVERY_SECONDS)
    store.value = NEW
    assert client.jobs.get("job_1").id == "job_1"
    assert NEW not in caplog.text


def test_a_new_key_that_is_refused_too_ends_the_call(make_client, api):
    api.accepted.clear()
    client = make_client(OLD, transport=api, reload_api_key=Store(NEW))
    with pytest.raises(AuthenticationError) as caught:
        client.jobs.get("job_1")
    assert api.keys == [OLD, NEW]
    assert [attempt.status for attempt in caught.value.attempts] == [401, 401]
    shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert OLD not in shown
    assert NEW not in shown


def test_what_fails_after_the_reload_is_what_is_raised(make_client, api):
    api.refusal, api.script = 403, [403, 500]
    client = make_client(OLD, transport=api, reload_api_key=Store(NEW), max_tries=1)
    with pytest.raises(ServerError):
        client.jobs.get("job_1")


def test_without_a_way_to_reload_the_refusal_is_raised(make_client, api):
    api.refusal = 403
    with pytest.raises(PermissionDeniedError):
        make_client(OLD, transport=api).jobs.get("job_1")
    assert api.keys == [OLD]


def test_a_key_of_the_environment_is_read_again_from_there(make_client, api, monkeypatch):
    monkeypatch.setenv("PLANASONIX_API_KEY", OLD)
    client = make_client(transport=api)
    monkeypatch.setenv("PLANASONIX_API_KEY", NEW)
    assert client.jobs.get("job_1").id == "job_1"
    assert os.environ["PLANASONIX_API_KEY"] == NEW


def test_the_async_client_takes_a_coroutine_function(api):
    async def read() -> str:
        await asyncio.sleep(0)
        return NEW

    async def use() -> str:
        async with AsyncPlanasonix(OLD, transport=api, reload_api_key=read) as client:
            return (await client.jobs.get("job_1")).id

    assert asyncio.run(use()) == "job_1"


def test_the_blocking_client_refuses_one(api, caplog):
    async def read() -> str:
        return NEW

    with pytest.raises(AuthenticationError):
        Planasonix(OLD, transport=api, reload_api_key=read).jobs.get("job_1")
    assert "must not be a coroutine function" in caplog.text


def test_something_else_than_a_function_is_refused(make_client):
    with pytest.raises(ConfigurationError, match="reload_api_key"):
        make_client(OLD, reload_api_key=NEW)


def test_a_thousand_refused_calls_ask_once(api):
    store = Store(NEW)

    async def use() -> None:
        async with AsyncPlanasonix(OLD, transport=api, reload_api_key=store) as client:
            await asyncio.gather(*(client.jobs.get("job_1") for _ in range(1000)))

    asyncio.run(use())
    assert store.asked == 1


def test_threads_that_are_refused_together_ask_once(api):
    begun = threading.Barrier(8)
    store = Store(NEW)
    client = Planasonix(OLD, transport=api, reload_api_key=store)
    ended: list[str] = []

    def use() -> None:
        begun.wait(10)
        ended.append(client.jobs.get("job_1").id)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert ended == ["job_1"] * 8
    assert store.asked == 1


def test_a_store_that_hangs_ends_with_the_deadline_of_the_call(api):
    async def hang() -> str:
        await asyncio.sleep(3600)
        return NEW

    async def use() -> float:
        began = time.monotonic()
        async with AsyncPlanasonix(OLD, transport=api, reload_api_key=hang, deadline_seconds=0.2) as client:
            with pytest.raises(AuthenticationError):
                await client.jobs.get("job_1")
        return time.monotonic() - began

    assert asyncio.run(use()) < 5
