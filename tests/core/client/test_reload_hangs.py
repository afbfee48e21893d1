"""A function that should bring the next key, and hangs, breaks off or brings junk instead."""

from __future__ import annotations

import asyncio
import functools
import logging
import subprocess
import sys
import threading
import time

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.client.api_key import ASK_SECONDS
from planasonix.engine.simulate import SimulatedClock
from planasonix.errors import AuthenticationError
from tests.core.client.test_reload_key import NEW, OLD, Api

SOON_SECONDS = 5.0
"""Far less than asking may take, far more than these calls do on a busy machine."""


class HangingStore:
    """Answers once `answers` is set."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0
        self.threads: list[threading.Thread] = []

    def __call__(self) -> str:
        self.asked += 1
        self.threads.append(threading.current_thread())
        self.answers.wait(60)
        return NEW


@pytest.fixture
def store():
    hanging = HangingStore()
    yield hanging
    hanging.answers.set()
    for thread in hanging.threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def api() -> Api:
    return Api(NEW)


def warnings_of(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def pool_threads() -> int:
    return sum(thread.name.startswith("asyncio_") for thread in threading.enumerate())


def test_on_the_event_loop_one_thread_hangs_and_none_of_the_loops(api, store, caplog):
    before = pool_threads()

    async def use() -> str:
        async with AsyncPlanasonix(OLD, transport=api, reload_api_key=store, deadline_seconds=0.1) as client:
            for _ in range(8):
                with pytest.raises(AuthenticationError):
                    await client.jobs.get("job_1")
            assert store.asked == 1
            assert pool_threads() == before
            store.answers.set()
            await asyncio.to_thread(store.threads[0].join, 10)
            return (await client.jobs.get("job_1")).id

    assert asyncio.run(use()) == "job_1"
    assert [message.rpartition(": ")[2] for message in warnings_of(caplog)] == ["TimeoutError"]
    assert store.threads[0].daemon


def test_a_blocking_call_ends_with_its_deadline(api, store, caplog):
    client = Planasonix(OLD, transport=api, reload_api_key=store, deadline_seconds=0.2)
    took: list[float] = []

    def use() -> None:
        began = time.monotonic()
        with pytest.raises(AuthenticationError):
            client.jobs.get("job_1")
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(took) == 4
    assert max(took) < SOON_SECONDS
    assert store.asked == 1
    assert len(warnings_of(caplog)) == 1
    store.answers.set()
    store.threads[0].join(10)
    assert client.jobs.get("job_1").id == "job_1"


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_what_hangs_for_long_is_not_asked_again_and_holds_no_call_up(api, store, kind):
    clock = SimulatedClock()

    async def use() -> None:
        async with AsyncPlanasonix(OLD, transport=api, reload_api_key=store, clock=clock) as client:
            with pytest.raises(AuthenticationError):
                await client.with_options(deadline_seconds=0.1).jobs.get("job_1")
            clock.advance(ASK_SECONDS)
            with pytest.raises(AuthenticationError):
                await client.jobs.get("job_1")

    def use_blocking() -> None:
        client = Planasonix(OLD, transport=api, reload_api_key=store, clock=clock)
        with pytest.raises(AuthenticationError):
            client.with_options(deadline_seconds=0.1).jobs.get("job_1")
        clock.advance(ASK_SECONDS)
        with pytest.raises(AuthenticationError):
            client.jobs.get("job_1")

    began = time.monotonic()
    asyncio.run(use()) if kind == "async" else use_blocking()
    assert time.monotonic() - began < SOON_SECONDS
    assert store.asked == 1


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_the_process_ends_while_it_hangs(kind, pytestconfig):
    script = f"""
import asyncio, threading
from planasonix import AsyncPlanasonix, Planasonix
from tests.core.client.test_reload_key import NEW, OLD, Api

settings = dict(transport=Api(NEW), reload_api_key=threading.Event().wait, deadline_seconds=0.1)

async def use():
    async with AsyncPlanasonix(OLD, **settings) as client:
        await client.jobs.get("job_1")

try:
    asyncio.run(use()) if {kind == "async"} else Planasonix(OLD, **settings).jobs.get("job_1")
except Exception as error:
    print(type(error).__name__, any(t.name == "planasonix-reload-api-key" for t in threading.enumerate()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ended.stdout.split() == ["AuthenticationError", "True"]


JUNK = [
    None,
    NEW.encode(),
    " \n",
    7,
    f"{NEW}\r\nx-more: 1",
    asyncio.CancelledError(NEW),
    SystemExit(NEW),
    OSError(NEW),
    TimeoutError(NEW),
]


@pytest.mark.parametrize("form", ["blocking", "plain function", "coroutine function", "function of an awaitable"])
@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
def test_junk_is_no_new_key(api, junk, form, caplog):
    caplog.set_level(logging.DEBUG)

    def plain() -> object:
        if isinstance(junk, BaseException):
            raise junk
        return junk

    async def coroutine() -> object:
        await asyncio.sleep(0)
        return plain()

    forms = {"coroutine function": coroutine, "function of an awaitable": lambda: coroutine()}

    async def use_async() -> None:
        async with AsyncPlanasonix(OLD, transport=api, reload_api_key=forms.get(form, plain)) as client:
            await client.jobs.get("job_1")

    def use() -> None:
        if form == "blocking":
            Planasonix(OLD, transport=api, reload_api_key=plain).jobs.get("job_1")
        else:
            asyncio.run(use_async())

    with pytest.raises(AuthenticationError) as caught:
        use()
    assert api.keys == [OLD]
    assert caught.value.__cause__ is None
    assert len(warnings_of(caplog)) == 1
    assert NEW not in caplog.text


def test_an_awaitable_of_a_plain_function_brings_a_key(api):
    async def read(key: str) -> str:
        await asyncio.sleep(0)
        return key

    async def use() -> str:
        reload = functools.partial(lambda key: read(key), NEW)
        async with AsyncPlanasonix(OLD, transport=api, reload_api_key=reload) as client:
            return (await client.jobs.get("job_1")).id

    assert asyncio.run(use()) == "job_1"


def test_who_is_cancelled_while_asking_keeps_the_key_from_nobody(api):
    async def use() -> None:
        asking, answers = asyncio.Event(), asyncio.Event()

        async def read() -> str:
            asking.set()
            await answers.wait()
            return NEW

        async with AsyncPlanasonix(OLD, transport=api, reload_api_key=read) as client:
            calls = [asyncio.create_task(client.jobs.get("job_1")) for _ in range(3)]
            await asking.wait()
            calls[0].cancel()
            answers.set()
            ended = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError)
        assert [job.id for job in ended[1:]] == ["job_1", "job_1"]

    asyncio.run(use())


def test_a_coroutine_that_does_not_let_itself_be_cancelled_is_left_behind(api, caplog):
    async def use() -> float:
        ends = asyncio.Event()

        async def stubborn() -> str:
            while not ends.is_set():
                try:
                    await ends.wait()
                except asyncio.CancelledError:
                    continue
            return NEW

        began = time.monotonic()
        async with AsyncPlanasonix(OLD, transport=api, reload_api_key=stubborn, deadline_seconds=0.1) as client:
            with pytest.raises(AuthenticationError):
                await client.jobs.get("job_1")
        took = time.monotonic() - began
        ends.set()
        return took

    assert asyncio.run(use()) < SOON_SECONDS
    assert len(warnings_of(caplog)) == 1
