"""The store goes away under a live receiver: 503 and when to come again meanwhile, nothing lost, no restart."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from planasonix.webhooks import Inbox
from planasonix.webhooks.inbox import InboxUnavailable
from tests.core.webhooks.inbox.making import FORK, arrived
from tests.core.webhooks.postgres import PostgresServer
from tests.core.webhooks.sending import Senders
from tests.core.webhooks.serving import SECRET, Receiver, until


def _outage(url: str, begins: Callable[[int], None], ends: Callable[[int], None]) -> None:
    """`begins` and `ends` are given the receiver's process id."""
    receiver = Receiver(0, "--inbox", url, PLANASONIX_WEBHOOK_SECRETS=SECRET)
    receiver.start()
    try:
        with Senders(receiver.url, 4) as senders:
            senders.wait_for(10)
            assert receiver.health() == 200
            begins(receiver.pid)
            try:
                senders.wait_for_answer(503, 8)
                before = len(senders.acknowledged)
                senders.wait_for_answer(503, 4)
                assert len(senders.acknowledged) == before, "nothing is acknowledged that cannot be stored"
                assert receiver.health() == 503
            finally:
                ends(receiver.pid)
            senders.wait_for(10)
            until(lambda: receiver.health() == 200)
        receiver.stop()
    finally:
        receiver.kill()
    assert set(senders.answers) == {200, 503}
    assert senders.without_advice == 0
    with Inbox.open(url) as inbox:
        rows = inbox.read(0, 10_000)
        assert Counter(row.event.event_id for row in rows) == Counter(senders.acknowledged)
        assert inbox.dead_letters() == []


def test_postgresql_is_stopped_and_started(postgres: PostgresServer) -> None:
    _outage(postgres.new_database(), lambda _: postgres.stop(), lambda _: postgres.start())


def test_no_more_can_be_written(sqlite_url: str) -> None:
    """As on a full disk: a bound on the size of files, which the live process is given and then freed of."""

    def bound(pid: int, size: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    _outage(sqlite_url, lambda pid: bound(pid, 4_096), lambda pid: bound(pid, resource.RLIM_INFINITY))


@pytest.mark.scenario
def test_the_file_is_locked(sqlite_url: str) -> None:
    """Longer than a delivery waits for its commit."""
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)

    def say(words: str) -> Callable[[int], None]:
        def act(_: int) -> None:
            other.execute(words)

        return act

    try:
        _outage(sqlite_url, say("BEGIN IMMEDIATE"), say("ROLLBACK"))
    finally:
        other.close()


def _add_where_allowed(url: str, user: int, asked: Connection) -> None:
    if os.geteuid() == 0:  # whom no mode of a file keeps from writing
        os.setuid(user)
    with Inbox.open(url, lazy=True) as inbox:
        while number := asked.recv():
            try:
                inbox.add([arrived(number)])
                asked.send("stored")
            except InboxUnavailable:
                asked.send("away")


def test_the_file_may_only_be_read() -> None:
    folder = Path(tempfile.mkdtemp(prefix="inbox-readonly-"))
    url = f"sqlite:///{folder}/inbox.db"
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    try:
        with Inbox.open(url) as inbox:
            inbox.add([arrived(1)])
        for path in (folder, *folder.iterdir()):
            os.chown(path, user, -1)

        def allow(mode_of_folder: int, mode: int) -> None:
            for path in folder.iterdir():
                path.chmod(mode)
            folder.chmod(mode_of_folder)

        allow(0o555, 0o444)
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=_add_where_allowed, args=(url, user, theirs))
        process.start()
        theirs.close()
        ours.send(2)
        assert ours.recv() == "away"
        allow(0o755, 0o644)
        ours.send(2)
        assert ours.recv() == "stored"
        ours.send(0)
        process.join(30)
        assert process.exitcode == 0
        with Inbox.open(url) as inbox:
            assert [row.event.event_id for row in inbox.read(0)] == ["evt_1", "evt_2"]
    finally:
        shutil.rmtree(folder)
