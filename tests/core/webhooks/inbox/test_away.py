"""The store goes away and comes back: calls fail with one typed error meanwhile, and need no new inbox afterwards."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import psycopg
import pytest

from planasonix.webhooks.inbox import Inbox, InboxUnavailable, consume
from tests.core.webhooks.inbox.making import FORK, arrived
from tests.core.webhooks.postgres import PostgresServer


def test_postgresql_away_and_back(postgres: PostgresServer) -> None:
    with Inbox.open(postgres.new_database()) as inbox:
        inbox.add([arrived(1)])
        postgres.stop()
        try:
            for _ in range(2):
                with pytest.raises(InboxUnavailable, match=r"PostgreSQL 127\.0\.0\.1"):
                    inbox.add([arrived(2)])
                with pytest.raises(InboxUnavailable):
                    inbox.read(0)
        finally:
            postgres.start()
        assert [added.duplicate for added in inbox.add([arrived(1), arrived(2)])] == [True, False]
        # Away and back between two calls: the second one notices by itself that its connection is dead.
        postgres.stop()
        postgres.start()
        assert not inbox.add([arrived(3)])[0].duplicate


def test_a_consumer_waits_for_its_store(postgres: PostgresServer) -> None:
    lines: list[tuple[str, str]] = []
    done: list[str] = []
    stop = threading.Event()
    with Inbox.open(postgres.new_database()) as inbox:
        thread = threading.Thread(
            target=consume,
            args=(inbox, "c", lambda stored: done.append(stored.event.event_id)),
            kwargs={
                "holder": "h",
                "stop": stop,
                "start": "beginning",
                "lease_seconds": 1.0,
                "idle_seconds": 0.05,
                "log": lambda level, text: lines.append((level, text)),
            },
        )
        thread.start()
        try:
            inbox.add([arrived(1)])
            _until(lambda: done == ["evt_1"])
            postgres.stop()
            try:
                _until(lambda: any(level == "warning" for level, _ in lines))
            finally:
                postgres.start()
            inbox.add([arrived(2)])
            _until(lambda: "evt_2" in done)
        finally:
            stop.set()
            thread.join(30)
    # Told once when it went and once when it was back, however often it was tried.
    assert [level for level, _ in lines] == ["warning", "info"]


def test_an_address_that_leads_to_another_server_after_a_failover(postgres: PostgresServer) -> None:
    """The old primary came back as a standby and took the connections; then the address was moved."""
    url = postgres.new_database()
    name = url.rpartition("/")[2]
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
    others += "pid <> pg_backend_pid()"
    with Inbox.open(url) as inbox, psycopg.connect(url, autocommit=True) as admin:
        inbox.add([arrived(1)])
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
        admin.execute(others)
        with pytest.raises(InboxUnavailable, match="read-only"):
            inbox.add([arrived(2)])
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'.encode())
        assert [added.seq for added in inbox.add([arrived(2)])] == [2]


def test_a_folder_that_is_none_any_more_is_an_inbox_away(tmp_path: Path) -> None:
    """As where it cannot be entered: not only a missing file makes the system refuse to tell of it."""
    folder, elsewhere = tmp_path / "volume", tmp_path / "elsewhere"
    folder.mkdir()
    with Inbox.open(f"sqlite:///{folder}/inbox.db") as inbox:
        inbox.add([arrived(1)])
        folder.rename(elsewhere)
        folder.touch()
        with pytest.raises(InboxUnavailable):
            inbox.last_seq()
        folder.unlink()
        elsewhere.rename(folder)
        assert inbox.last_seq() == 1


def test_the_folder_of_a_sqlite_inbox_away_and_back(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "volume", tmp_path / "elsewhere"
    folder.mkdir()
    with Inbox.open(f"sqlite:///{folder}/inbox.db") as inbox:
        inbox.add([arrived(1)])
        folder.rename(elsewhere)
        with pytest.raises(InboxUnavailable):
            inbox.add([arrived(2)])
        elsewhere.rename(folder)
        assert [added.duplicate for added in inbox.add([arrived(1), arrived(2)])] == [True, False]


def test_a_deleted_sqlite_file_is_noticed_and_made_anew(tmp_path: Path) -> None:
    with Inbox.open(f"sqlite:///{tmp_path}/inbox.db") as inbox:
        inbox.add([arrived(1)])
        identity = inbox.identity
        for path in tmp_path.iterdir():
            path.unlink()
        # An open connection would go on writing into the deleted file, and nobody would ever read that.
        with pytest.raises(InboxUnavailable):
            inbox.add([arrived(1)])
        assert inbox.add([arrived(1)])[0].duplicate is False
        assert inbox.identity != identity
    with Inbox.open(f"sqlite:///{tmp_path}/inbox.db") as inbox:
        assert len(inbox.read(0)) == 1


def test_a_locked_sqlite_file_is_waited_for_a_bounded_time(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planasonix.webhooks.inbox.store.sqlite._BUSY_SECONDS", 0.2)
    with Inbox.open(sqlite_url) as inbox:
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InboxUnavailable, match="locked"):
            inbox.add([arrived(1)])
        assert inbox.read(0) == []  # readers never wait for a writer
        other.execute("ROLLBACK")
        other.close()
        assert not inbox.add([arrived(1)])[0].duplicate


def _add_in_child(inbox: Inbox) -> None:
    _add_many(inbox, "child")


def _add_many(inbox: Inbox, name: str) -> None:
    for number in range(40):
        assert [added.duplicate for added in inbox.add([arrived(f"{name} {number}")])] == [False]


def test_a_fork_gets_connections_of_its_own(inbox_url: str) -> None:
    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived("parent")])
        child = FORK.Process(target=_add_in_child, args=(inbox,))
        child.start()
        _add_many(inbox, "parent")  # at the same time: on one connection the two would tear each other's answers
        child.join(60)
        assert child.exitcode == 0
        assert inbox.last_seq() == len(inbox.read(0)) == 81


def _until(condition: object, timeout_seconds: float = 60.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
