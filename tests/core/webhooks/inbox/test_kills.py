"""kill -9 at random moments: what was acknowledged is there once, and what was done was done once."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import psycopg
import pytest

from planasonix.webhooks.inbox import Inbox, StoredEvent, consume
from tests.core.webhooks.inbox.making import FORK, arrived

EVENTS = 60
_CHANCE = random.Random(7)


# --- writers ------------------------------------------------------------------------------------------------------


def _write(url: str, begin: int, acknowledged: Connection) -> None:
    """Stores batches of three, each with one event of the batch before, and tells of each that is committed."""
    with Inbox.open(url) as inbox:
        number = begin
        while True:
            batch = [number - 1, number, number + 1, number + 2]
            inbox.add([arrived(each) for each in batch])
            acknowledged.send(batch)
            number += 3


def _kill_writers(url: str, points: int) -> None:
    acknowledged: set[int] = set()
    for point in range(points):
        receiving, sending = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_write, args=(url, point * 1_000_000 + 1, sending))
        process.start()
        sending.close()
        acknowledged.update(receiving.recv())  # it is under way
        time.sleep(_CHANCE.uniform(0.0, 0.1))
        _kill(process)
        while True:
            try:
                acknowledged.update(receiving.recv())
            except (EOFError, OSError):
                break
    with Inbox.open(url) as inbox:
        stored = Counter(event.event.event_id for event in _all(inbox))
        assert {f"evt_{number}" for number in acknowledged} <= set(stored)
        assert set(stored.values()) == {1}
        assert all(added.duplicate for added in inbox.add([arrived(number) for number in acknowledged]))


def test_a_killed_writer_loses_and_doubles_nothing(inbox_url: str) -> None:
    _kill_writers(inbox_url, points=4)


@pytest.mark.scenario
@pytest.mark.timeout(600)
def test_a_writer_killed_20_times_loses_and_doubles_nothing(inbox_url: str) -> None:
    _kill_writers(inbox_url, points=20)


# --- consumers ----------------------------------------------------------------------------------------------------


@contextmanager
def _witness(url: str) -> Iterator[Any]:
    """A table of effects beside the inbox, where a key stands once. Gives `run(sql, *values)`."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
        mark = "?"
    else:
        connection, mark = psycopg.connect(url, autocommit=True), "%s"
    try:
        yield lambda sql, *values: connection.execute(sql.replace("?", mark), values)
    finally:
        connection.close()


def _consume(url: str, holder: str, stuck_at: int | None) -> None:
    """Does its events, and hangs after the effect of the `stuck_at`-th, before the cursor: there it is killed."""
    done = 0
    with Inbox.open(url) as inbox, _witness(url) as run:

        def effect(stored: StoredEvent) -> None:
            nonlocal done
            run("INSERT INTO effects VALUES (?, ?) ON CONFLICT DO NOTHING", stored.effect_key("c"), stored.seq)
            run("INSERT INTO calls VALUES (?)", stored.seq)
            done += 1
            if done == stuck_at:
                time.sleep(600)

        stop = threading.Event()
        consume(inbox, "c", effect, holder=holder, stop=stop, start="beginning", lease_seconds=0.6, idle_seconds=0.05)


def _kill_consumers(url: str, points: int) -> None:
    with Inbox.open(url) as inbox, _witness(url) as run:
        run("CREATE TABLE effects (key text PRIMARY KEY, seq integer NOT NULL)")
        run("CREATE TABLE calls (seq integer NOT NULL)")
        inbox.add([arrived(number) for number in range(EVENTS)])
        calls = 0
        for point in range(points):
            stuck_at = _CHANCE.randint(1, 3)
            process = FORK.Process(target=_consume, args=(url, f"h{point}", stuck_at))
            process.start()
            calls += stuck_at
            _until(partial(_has_called, run, calls))
            _kill(process)
        last = FORK.Process(target=_consume, args=(url, "last", None))
        last.start()
        try:
            _until(lambda: inbox.cursor("c") == EVENTS)
        finally:
            _kill(last)
        assert sorted(row[0] for row in run("SELECT seq FROM effects")) == list(range(1, EVENTS + 1))
        assert run("SELECT count(*) FROM calls").fetchone()[0] == EVENTS + points
        assert inbox.dead_letters() == []


def _has_called(run: Any, times: int) -> bool:
    return run("SELECT count(*) FROM calls").fetchone()[0] == times


def test_every_effect_once_though_the_consumer_is_killed(inbox_url: str) -> None:
    _kill_consumers(inbox_url, points=3)


@pytest.mark.scenario
@pytest.mark.timeout(600)
def test_every_effect_once_though_the_consumer_is_killed_20_times(inbox_url: str) -> None:
    _kill_consumers(inbox_url, points=20)


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def _until(condition: Any, timeout_seconds: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def _all(inbox: Inbox) -> list[StoredEvent]:
    events: list[StoredEvent] = []
    while rows := inbox.read(events[-1].seq if events else 0):
        events += rows
    return events
