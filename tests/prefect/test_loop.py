"""The shared loop: results, errors, context, and what an interrupted caller leaves behind."""

import asyncio
import threading
import time
from contextvars import ContextVar

import pytest

from prefect_planasonix.loop import aon_shared_loop, interruption, on_shared_loop, shared_loop

word: ContextVar[str] = ContextVar("word", default="none")


async def add(one: int, other: int) -> int:
    await asyncio.sleep(0)
    return one + other


async def fail() -> None:
    raise ValueError("of the body")


def test_sync_and_async_callers_get_results_and_errors() -> None:
    assert on_shared_loop(add, 1, 2) == 3
    assert asyncio.run(aon_shared_loop(add, 1, other=2)) == 3
    with pytest.raises(ValueError, match="of the body"):
        on_shared_loop(fail)
    with pytest.raises(ValueError, match="of the body"):
        asyncio.run(aon_shared_loop(fail))


def test_threads_and_loops_share_one_loop_and_keep_their_context() -> None:
    async def seen() -> tuple[int, str]:
        return id(asyncio.get_running_loop()), word.get()

    found: list[tuple[int, str]] = []

    def call(value: str) -> None:
        word.set(value)
        found.append(on_shared_loop(seen))

    threads = [threading.Thread(target=call, args=(f"t{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {loop for loop, _ in found} == {id(shared_loop())}
    assert {text for _, text in found} == {"t0", "t1", "t2"}


def test_a_call_from_the_shared_loop_is_refused() -> None:
    async def nested() -> int:
        return on_shared_loop(add, 1, 2)

    with pytest.raises(RuntimeError, match="await its body"):
        on_shared_loop(nested)


def test_an_interrupted_async_caller_lets_the_body_settle_first() -> None:
    settled: list[str] = []

    async def body() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
            settled.append(f"{type(interruption().cause).__name__} {interruption().timed_out}")
            raise

    async def main() -> None:
        task = asyncio.create_task(aon_shared_loop(body))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert settled == ["CancelledError False"]

    asyncio.run(main())


def test_a_scope_that_ran_out_of_time_is_told_apart() -> None:
    import anyio

    told: list[bool] = []

    async def body() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.append(interruption().timed_out)
            raise

    async def main() -> None:
        with anyio.move_on_after(0.2):
            await aon_shared_loop(body)

    asyncio.run(main())
    assert told == [True]


def test_an_interrupted_sync_caller_raises_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    causes: list[str] = []

    async def body() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            causes.append(type(interruption().cause).__name__)
            raise

    import signal

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            on_shared_loop(body)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert causes == ["KeyboardInterrupt"]
    assert time.monotonic() - began < 20
