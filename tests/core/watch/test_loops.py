"""Event loops that end, are closed, run side by side, or are forked away under a wait."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
from typing import Any, cast

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.client._http import AsyncHttpxTransport
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox
from planasonix.watch import Interval, watch_shared, watcher_for
from planasonix.watch import shared as shared_module
from tests.core.watch.hostile_api import HostileApi

FAST = Interval(fixed_seconds=0.02)


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What Python could only print, because nobody was there to raise it to."""
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: caught.append((what.exc_value, what.object)))
    return caught


def start_waits(api: HostileApi, count: int = 8) -> list[asyncio.Task[Any]]:
    for number in range(count):
        api.start("job", f"x_{number}")
    client = cast("Any", api.client())
    return [
        asyncio.create_task(watch_shared(client, "job", f"x_{number}", interval=FAST), name=f"user-{number}")
        for number in range(count)
    ]


def test_a_loop_that_ends_under_waits_leaves_nothing(unraisable: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    apis: list[HostileApi] = []

    async def main() -> None:
        api = HostileApi(asyncio.get_running_loop())
        apis.append(api)
        start_waits(api)
        await asyncio.sleep(0.3)

    for _ in range(2):
        asyncio.run(main())
    gc.collect()
    assert [api.open_clients for api in apis] == [0, 0]
    assert unraisable == []
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_loop_that_is_closed_under_waits_leaves_no_noise_and_the_next_one_works(
    unraisable: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    closed = asyncio.new_event_loop()

    async def begin() -> None:
        start_waits(HostileApi(asyncio.get_running_loop()))
        await asyncio.sleep(0.3)

    closed.run_until_complete(begin())
    closed.close()

    async def next_one() -> str:
        api = HostileApi(asyncio.get_running_loop())
        wait, *others = start_waits(api)
        api.become("job", "x_0", "succeeded")
        run = await wait
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return run.status

    assert asyncio.run(next_one()) == "succeeded"
    assert closed not in shared_module._watchers
    del closed
    gc.collect()
    assert unraisable == []
    # Python tells of the pending tasks of whoever closed the loop; of none that they did not make.
    told = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    assert [text for text in told if "user-" not in text] == []


def test_loops_in_threads_have_watchers_of_their_own_and_one_pacer() -> None:
    sandbox = Sandbox(speed=50.0)
    transport = sandbox.transport()
    with Planasonix(DEFAULT_API_KEY, transport=transport) as starter:
        job = starter.connections.sync("conn_shop_orders")
    begun = threading.Barrier(4)
    seen: list[tuple[int, int, str]] = []

    def thread() -> None:
        async def main() -> None:
            async with AsyncPlanasonix(DEFAULT_API_KEY, transport=transport) as client:
                watcher = watcher_for(cast("Any", client))
                begun.wait(10)
                run = await watch_shared(cast("Any", client), "job", job.id, interval=FAST)
                begun.wait(10)
                seen.append((id(watcher), id(client._shared.pacer), str(run.status)))

        asyncio.run(main())

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    watchers, pacers, ends = zip(*seen, strict=True)
    assert len(set(watchers)) == 4
    assert len(set(pacers)) == 1
    assert set(ends) == {"succeeded"}


def test_credentials_in_one_loop_do_not_meet() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = HostileApi(loop), HostileApi(loop)
        for api in (one, other):
            api.start("job", "x_1")
        waits = [
            asyncio.create_task(watch_shared(cast("Any", api.client(name)), "job", "x_1", interval=FAST))
            for api, name in ((one, "a"), (other, "b"))
        ]
        one.become("job", "x_1", "failed")
        assert (await waits[0]).status == "failed"
        assert one.open_clients == 0
        await asyncio.sleep(0.2)
        assert not waits[1].done()
        other.become("job", "x_1", "succeeded")
        assert (await waits[1]).status == "succeeded"
        assert other.open_clients == 0

    asyncio.run(main())


def test_the_connections_of_an_ended_wait_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    original = AsyncHttpxTransport.__init__

    def note(self: Any, config: Any) -> None:
        opened.append(self)
        original(self, config)

    monkeypatch.setattr(AsyncHttpxTransport, "__init__", note)
    with Sandbox(speed=50.0).serve() as served:

        async def main() -> str:
            async with AsyncPlanasonix(DEFAULT_API_KEY, served.url) as client:
                job = await client.connections.sync("conn_shop_orders")
                return str((await client.jobs.wait(job.id, timeout=30)).status)

        assert asyncio.run(main()) == "succeeded"
    assert [transport._closed for transport in opened] == [True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_waits_with_a_watcher_of_its_own() -> None:
    """As prefork workers do, while a thread of the parent waits. In a process of its own: a fork of the tests' would
    take their threads along.
    """
    program = textwrap.dedent(
        """
        import asyncio, os, sys, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from planasonix import AsyncPlanasonix
        from planasonix.sandbox import DEFAULT_API_KEY, Sandbox
        from planasonix.watch import Interval, watch_shared, watcher_for

        url, job_id, fast = sys.argv[1], sys.argv[2], Interval(fixed_seconds=0.02)
        client = AsyncPlanasonix(DEFAULT_API_KEY, url)
        waiting, seen = threading.Event(), []

        async def wait():
            seen.append(watcher_for(client))
            run = watch_shared(client, "job", job_id, interval=fast, on_change=lambda run: waiting.set())
            return str((await run).status)

        ends = []
        thread = threading.Thread(target=lambda: ends.append(asyncio.run(wait())))
        thread.start()
        assert waiting.wait(20)
        child = os.fork()
        if child == 0:
            end = asyncio.run(wait())
            os._exit(0 if end == "succeeded" and seen[-1] is not seen[0] else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        thread.join(30)
        assert (code, ends) == (0, ["succeeded"]), (code, ends)
        """
    )
    with Sandbox(speed=10.0).serve() as served:
        with Planasonix(DEFAULT_API_KEY, served.url) as starter:
            job = starter.connections.sync("conn_shop_orders")
        command = [sys.executable, "-c", program, served.url, job.id]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
