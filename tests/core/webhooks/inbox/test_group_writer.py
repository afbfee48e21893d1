from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from planasonix.webhooks.inbox import Added, Arrival, GroupWriter, Inbox, InboxUnavailable
from tests.core.webhooks.inbox.making import FORK, arrived, job_event


class _Counting(Inbox):
    """An inbox that counts its commits and can be held up."""

    batches: list[int]
    gate: threading.Event

    def add(self, arrivals: Sequence[Arrival]) -> list[Added]:
        self.gate.wait(60)
        added = super().add(arrivals)
        self.batches.append(len(arrivals))
        return added


def _counting(url: str) -> _Counting:
    inbox = _Counting.open(url)
    inbox.batches, inbox.gate = [], threading.Event()
    inbox.gate.set()
    return inbox


async def _submit(writer: GroupWriter, *arrivals: Arrival) -> list[Any]:
    return await asyncio.gather(*(writer.submit(each) for each in arrivals), return_exceptions=True)


def test_what_arrives_during_a_commit_goes_into_the_next_one_together(inbox_url: str) -> None:
    with _counting(inbox_url) as inbox:
        writer = GroupWriter(inbox, max_batch=100)
        added = asyncio.run(_submit(writer, *(arrived(number) for number in range(250))))
        writer.close()
        assert sorted(each.seq for each in added) == list(range(1, 251))
        assert inbox.last_seq() == 250
        assert len(inbox.batches) < 10
        assert max(inbox.batches) <= 100


def test_it_answers_after_the_commit(sqlite_url: str) -> None:
    with _counting(sqlite_url) as inbox:
        writer = GroupWriter(inbox)

        async def main() -> None:
            inbox.gate.clear()
            task = asyncio.create_task(writer.submit(arrived(1)))
            await asyncio.sleep(0.2)
            assert not task.done()
            inbox.gate.set()
            assert await task == Added(1, duplicate=False)
            assert await writer.submit(arrived(1)) == Added(1, duplicate=True)

        asyncio.run(main())
        writer.close()


def test_several_event_loops_share_one_writer(sqlite_url: str) -> None:
    with Inbox.open(sqlite_url) as inbox:
        writer = GroupWriter(inbox)
        heard: list[Any] = []
        loops = [
            threading.Thread(target=lambda name=name: heard.extend(asyncio.run(_submit(writer, arrived(name)))))
            for name in range(4)
        ]
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join(60)
        writer.close()
        assert sorted(each.seq for each in heard) == [1, 2, 3, 4]


def test_a_row_that_the_store_refuses_fails_alone_and_is_kept_as_a_dead_letter(inbox_url: str) -> None:
    class _NoJson:
        pass

    poison = Arrival.of(replace(job_event("poison"), payload={"it": _NoJson()}))
    with _counting(inbox_url) as inbox:
        writer = GroupWriter(inbox)
        inbox.gate.clear()
        threading.Timer(0.2, inbox.gate.set).start()
        arrivals = [arrived(number) for number in range(9)]
        arrivals.insert(5, poison)
        added = asyncio.run(_submit(writer, *arrivals))
        writer.close()
        assert added.pop(5) == Added(None, duplicate=False)
        assert sorted(each.seq for each in added) == list(range(1, 10))
        (dead,) = inbox.dead_letters()
        assert dead.stored is None
        assert "not JSON serializable" in dead.error


def test_a_store_that_is_down_or_slow_turns_arrivals_away(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planasonix.webhooks.inbox.store.sqlite._BUSY_SECONDS", 0.1)
    with Inbox.open(sqlite_url) as inbox:
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writer = GroupWriter(inbox)
        for error in asyncio.run(_submit(writer, arrived(1), arrived(2))):
            assert isinstance(error, InboxUnavailable)
            assert "locked" in str(error)
        other.execute("ROLLBACK")
        other.close()
        assert asyncio.run(_submit(writer, arrived(1))) == [Added(1, duplicate=False)]
        writer.close()


def test_waiting_is_bounded_in_time_and_number(sqlite_url: str) -> None:
    with _counting(sqlite_url) as inbox:
        writer = GroupWriter(inbox, max_waiting=3, max_batch=1, timeout_seconds=0.3)
        inbox.gate.clear()
        started = time.monotonic()
        errors = asyncio.run(_submit(writer, *(arrived(number) for number in range(8))))
        assert time.monotonic() - started < 30
        assert all(isinstance(error, InboxUnavailable) for error in errors)
        texts = [str(error) for error in errors]
        assert any("longer than 0.3 s" in text for text in texts)
        assert any("3 events already wait" in text for text in texts)
        inbox.gate.set()
        # Who gave up waiting comes again: their arrivals are not written behind their backs while the store is slow.
        assert asyncio.run(_submit(writer, arrived("later")))[0].duplicate is False
        writer.close()
        assert inbox.last_seq() == 2


def test_close_writes_what_waits(sqlite_url: str) -> None:
    with _counting(sqlite_url) as inbox:
        writer = GroupWriter(inbox, max_batch=2)

        async def main() -> list[Any]:
            inbox.gate.clear()
            tasks = [asyncio.create_task(writer.submit(arrived(number))) for number in range(7)]
            await asyncio.sleep(0.05)
            closing = asyncio.create_task(asyncio.to_thread(writer.close))
            await asyncio.sleep(0.05)
            inbox.gate.set()
            await closing
            return await asyncio.gather(*tasks)

        assert len(asyncio.run(main())) == inbox.last_seq() == 7
        (error,) = asyncio.run(_submit(writer, arrived("late")))
        assert isinstance(error, InboxUnavailable)
        assert "closed" in str(error)


def _submit_in_child(writer: GroupWriter) -> None:
    (added,) = asyncio.run(_submit(writer, arrived("child")))
    assert added == Added(2, duplicate=False)


def test_a_fork_writes_with_a_thread_of_its_own(inbox_url: str) -> None:
    with Inbox.open(inbox_url) as inbox:
        writer = GroupWriter(inbox)
        asyncio.run(_submit(writer, arrived("parent")))
        child = FORK.Process(target=_submit_in_child, args=(writer,))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert asyncio.run(_submit(writer, arrived("parent, later"))) == [Added(3, duplicate=False)]
        writer.close()
