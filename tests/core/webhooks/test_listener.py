"""What is stored in an inbox is felt: by callbacks, by the waits of an event loop, in forks, and after an outage."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planasonix import AsyncPlanasonix
from planasonix.errors import RunFailedError
from planasonix.sandbox import Sandbox
from planasonix.watch import Interval, wait_shared, watch_shared
from planasonix.webhooks import Arrival, Event, Inbox, InboxListener, listening_place

NEVER = Interval(fixed_seconds=600.0)
_numbers = iter(range(10**9))

WRITER = """
import json, sys
from planasonix.webhooks import Arrival, Event, Inbox
inbox = Inbox.open(sys.argv[1])
for line in sys.stdin:
    inbox.add([Arrival.of(Event.parse(line.encode()))])
    print("stored", flush=True)
"""


def body(job_id: str, word: str = "succeeded", number: int | None = None) -> bytes:
    event_id = f"evt_{next(_numbers) if number is None else number}"
    return json.dumps({"id": event_id, "type": f"job.{word}", "job_id": job_id}).encode()


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    give_up = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.005)
    return found


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "planasonix-inbox-listener"]


@pytest.fixture
def inbox(inbox_url: str) -> Iterator[Inbox]:
    with Inbox.open(inbox_url) as opened:
        yield opened
    until(lambda: not threads(), 5)


@pytest.fixture
def local(sqlite_url: str) -> Iterator[Inbox]:
    with Inbox.open(sqlite_url) as opened:
        yield opened
    until(lambda: not threads(), 5)


class Tenant:
    """A sandbox that stands still, and an async client of it in this process."""

    def __init__(self) -> None:
        key = f"plnx_test_{next(_numbers)}"
        self.sandbox = Sandbox(api_keys=key, speed=0, busy="parallel")
        self.client = AsyncPlanasonix(key, transport=self.sandbox.transport())

    async def start(self) -> Any:
        self.sandbox.script("conn_shop_orders", "stuck")
        return await self.client.connections.sync("conn_shop_orders")

    def wait(self, job: Any, *, seconds: float = 20.0) -> Any:
        """Ten minutes between two looks, so that only an event ends it in time."""
        client: Any = self.client
        return asyncio.wait_for(watch_shared(client, "job", job.id, created_at=job.created_at, interval=NEVER), seconds)


def stored(inbox: Inbox, *bodies: bytes) -> None:
    inbox.add([Arrival.of(Event.parse(each)) for each in bodies])


def test_callbacks_hear_each_event_once_and_in_order(inbox: Inbox) -> None:
    heard: list[int] = []
    with InboxListener.for_url(inbox.url).subscribe(lambda stored: heard.append(stored.seq)) as subscription:
        assert subscription.wait_begun(20)
        for number in range(20):
            stored(inbox, body(f"job_{number}"))
        until(lambda: len(heard) == 20)
    assert heard == sorted(set(heard))


def test_another_process_is_felt_within_a_look(inbox: Inbox) -> None:
    heard: list[float] = []
    with (
        subprocess.Popen([sys.executable, "-c", WRITER, inbox.url], stdin=-1, stdout=-1, text=True) as writer,
        InboxListener.for_url(inbox.url).subscribe(lambda stored: heard.append(time.monotonic())) as subscription,
    ):
        assert subscription.wait_begun(20)
        assert writer.stdin
        assert writer.stdout
        for number in range(3):
            writer.stdin.write(body(f"job_{number}").decode() + "\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "stored\n"
            at = time.monotonic()
            until(lambda number=number: len(heard) > number)
            assert heard[number] - at < 2.5, "a look a second, and what a loaded machine adds"
        writer.stdin.close()


def test_all_of_a_process_share_one_thread(local: Inbox) -> None:
    listener = InboxListener.for_url(local.url)
    assert InboxListener.for_url(local.url) is listener
    subscriptions = [listener.subscribe(lambda stored: None) for _ in range(50)]
    assert len(threads()) == 1
    for one in subscriptions:
        one.cancel()
        one.cancel()
    until(lambda: not threads(), 5)
    assert "inbox.db" not in repr(listener)


def test_a_subscriber_that_fails_keeps_nothing_from_the_others(local: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []
    listener = InboxListener.for_url(local.url)
    closed = asyncio.new_event_loop()
    closed.close()
    with (
        listener.subscribe(lambda stored: 1 / 0),
        listener.subscribe(lambda stored: None, loop=closed),
        listener.subscribe(lambda stored: heard.append(stored.seq)) as subscription,
    ):
        assert subscription.wait_begun(20)
        stored(local, body("job_1"))
        stored(local, body("job_2"))
        until(lambda: heard == [1, 2])
        assert len(listener._subscribers) == 2, "a loop that is gone is forgotten"
    assert "ZeroDivisionError" in caplog.text


def test_waits_end_by_an_event_and_tell_the_truth_whatever_deliveries_say(inbox: Inbox) -> None:
    """Duplicated five times, in any order, late, and some of them lies: each wait ends once, as the API says."""

    async def scenario() -> None:
        tenant, rng = Tenant(), random.Random(7)
        with InboxListener.for_url(inbox.url).wake_waiters():
            jobs = [await tenant.start() for _ in range(12)]
            waits = [asyncio.ensure_future(tenant.wait(job)) for job in jobs]
            await asyncio.sleep(0.1)
            lies = [body(job.id, word) for job in jobs for word in ("succeeded", "failed", "cancelled")]
            await asyncio.to_thread(stored, inbox, *lies)
            await asyncio.sleep(1.5)
            assert not any(wait.done() for wait in waits), "all of them still run"
            words = ["succeeded", "failed", "cancelled"]
            deliveries = []
            for number, job in enumerate(jobs):
                tenant.sandbox.finish(job.id, words[number % 3])
                deliveries += [body(job.id, words[number % 3], 10_000 + number)] * 5
                deliveries += [body(job.id, words[(number + 1) % 3], 20_000 + number)] * 2  # and lies again
            rng.shuffle(deliveries)
            for delivery in deliveries:
                await asyncio.to_thread(stored, inbox, delivery)
            # The lies came first, so that the true ends are duplicates of them: those waits end by the later look.
            ends = [await wait for wait in waits]
            assert [(end.id, str(end.status)) for end in ends] == [
                (job.id, words[number % 3]) for number, job in enumerate(jobs)
            ]
            await tenant.client.aclose()

    asyncio.run(scenario())


def test_a_lie_ends_no_wait_badly(local: Inbox) -> None:
    async def scenario() -> None:
        tenant = Tenant()
        with InboxListener.for_url(local.url).wake_waiters():
            job = await tenant.start()
            client: Any = tenant.client
            wait = asyncio.ensure_future(wait_shared(client, "job", job.id))
            await asyncio.sleep(0.1)
            tenant.sandbox.finish(job.id, "failed")
            await asyncio.to_thread(stored, local, body(job.id, "succeeded"))
            with pytest.raises(RunFailedError):
                await asyncio.wait_for(wait, 20)
            await tenant.client.aclose()

    asyncio.run(scenario())


def test_an_event_that_came_before_the_wait_began_is_not_lost(local: Inbox) -> None:
    """A short job ends while its starter is still busy: its first look would be ten minutes away."""

    async def scenario() -> None:
        tenant = Tenant()
        early, known = await tenant.start(), await tenant.start()
        for job in (early, known):
            tenant.sandbox.finish(job.id)
        stored(local, body(early.id))  # before this process listened
        with InboxListener.for_url(local.url).wake_waiters():
            await tenant.wait(early)
            stored(local, body(known.id))
            await asyncio.sleep(0.3)
            await tenant.wait(known, seconds=10.0)
        await tenant.client.aclose()

    asyncio.run(scenario())


def test_many_event_loops_are_woken(local: Inbox) -> None:
    """A triggerer has one loop, a Dagster process one a thread."""
    ended: list[str] = []

    def one_loop() -> None:
        async def wait() -> None:
            tenant = Tenant()
            listener = InboxListener.for_url(local.url)
            with listener.wake_waiters(), listener.wake_waiters():
                job = await tenant.start()
                waiting = asyncio.ensure_future(tenant.wait(job))
                await asyncio.sleep(0.1)
                tenant.sandbox.finish(job.id)
                await asyncio.to_thread(stored, local, body(job.id))
                ended.append((await waiting).id)
            await tenant.client.aclose()

        asyncio.run(wait())

    workers = [threading.Thread(target=one_loop) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert len(ended) == 5


def test_an_inbox_that_goes_away_costs_only_the_push(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line when it goes and one when it is back; then events are felt again, those of the meantime too."""
    caplog.set_level(logging.WARNING, "planasonix.webhooks.listener")
    monkeypatch.setattr(listening_place, "LONGEST_PAUSE_SECONDS", 0.2)
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    url = f"sqlite:///{home}/inbox.db"
    heard: list[int] = []
    inbox = Inbox.open(url)
    with InboxListener.for_url(url).subscribe(lambda stored: heard.append(stored.seq)) as subscription:
        assert subscription.wait_begun(20)
        stored(inbox, body("job_1"))
        until(lambda: heard == [1])
        inbox.close()
        home.rename(away)
        until(lambda: caplog.messages)
        time.sleep(0.7)
        elsewhere = Inbox.open(f"sqlite:///{away}/inbox.db")
        stored(elsewhere, body("job_2"))
        elsewhere.close()
        away.rename(home)
        until(lambda: heard == [1, 2])
        until(lambda: len(caplog.messages) >= 2)
    until(lambda: not threads(), 5)
    assert [line.split(" ")[0:3] for line in caplog.messages] == [["no", "push,", "only"], ["the", "inbox", "is"]]


def _in_child(url: str, answers: Any) -> None:
    heard = threading.Event()
    with InboxListener.for_url(url).subscribe(lambda stored: heard.set()) as subscription, Inbox.open(url) as inbox:
        subscription.wait_begun(10)
        stored(inbox, body("job_of_child"))
        answers.put((heard.wait(10), len(threads())))


def test_a_fork_has_a_listener_of_its_own(local: Inbox) -> None:
    heard: list[str] = []
    listener = InboxListener.for_url(local.url)
    with listener.subscribe(lambda stored: heard.append(str(stored.event.object_id))) as subscription:
        assert subscription.wait_begun(20)
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        child = context.Process(target=_in_child, args=(local.url, answers))
        child.start()
        assert answers.get(timeout=30) == (True, 1)
        child.join(10)
        assert child.exitcode == 0
        until(lambda: heard == ["job_of_child"])
    assert os.getpid() == InboxListener.for_url(local.url)._pid
