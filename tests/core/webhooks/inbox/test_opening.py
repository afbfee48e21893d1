from __future__ import annotations

import pickle
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import pytest
from sqlalchemy import create_engine, inspect, text

from planasonix.errors import ConfigurationError
from planasonix.webhooks.inbox import Inbox, InboxUnavailable, migrations
from planasonix.webhooks.inbox.address import address_of
from planasonix.webhooks.inbox.store import base
from scripts.local.ports import free_port
from tests.core.webhooks.inbox.making import FORK, arrived
from tests.core.webhooks.postgres import PostgresServer

PROCESSES = 10


def _open_with_others(url: str, number: int, together: Barrier, told: Queue[tuple[str, int]]) -> None:
    together.wait(60)
    with Inbox.open(url) as inbox:
        added = inbox.add([arrived("shared"), arrived(number)])
        told.put((inbox.identity, sum(not each.duplicate for each in added)))


def test_ten_processes_open_a_fresh_inbox_at_once(inbox_url: str) -> None:
    together, told = FORK.Barrier(PROCESSES), FORK.Queue()
    arguments = [(inbox_url, number, together, told) for number in range(PROCESSES)]
    processes = [FORK.Process(target=_open_with_others, args=each) for each in arguments]
    for process in processes:
        process.start()
    heard = [told.get(timeout=100) for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len({identity for identity, _ in heard}) == 1
    with Inbox.open(inbox_url) as inbox:
        assert inbox.last_seq() == sum(new for _, new in heard) == PROCESSES + 1


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("", "no database URL"),
        ("inbox.db", "no database URL"),
        ("mysql://user:hunter2hunter2@host/db", "mysql"),
        ("sqlite://", "names no file"),
        ("sqlite://srv/planasonix/inbox.db", "three or four slashes"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////no/such/folder/inbox.db", "/no/such/folder"),
        ("postgresql://user:hunter2hunter2@host:port/db", "no database URL"),
        ("postgresql://host/db?schema=a&schema=b", "more than one schema"),
    ],
)
def test_a_wrong_url_is_told_by_name_and_without_its_password(url: str, names: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Inbox.open(url)
    assert caught.value.field == "inbox"
    assert names in str(caught.value)
    assert caught.value.hint
    assert "hunter2" not in str(caught.value) + repr(caught.value) + str(pickle.dumps(caught.value))


@pytest.mark.parametrize(("package", "extra"), [("psycopg", "postgres"), ("sqlalchemy", "webhooks")])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str, extra: str) -> None:
    monkeypatch.setattr(
        "planasonix.webhooks.inbox.address.find_spec", lambda name: None if name == package else object()
    )
    with pytest.raises(ConfigurationError, match=rf"planasonix\[.*{extra}.*\]"):
        Inbox.open("postgresql://host/db")


@pytest.mark.parametrize(
    "driver", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"]
)
def test_the_url_of_another_driver_means_the_same_inbox(postgres: PostgresServer, driver: str) -> None:
    url = postgres.new_database()
    with Inbox.open(url) as one, Inbox.open(url.replace("postgresql", driver, 1)) as other:
        one.add([arrived(1)])
        assert len(other.read(0)) == 1


def test_an_inbox_in_a_schema_of_its_own(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    engine = create_engine(address_of(url).url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA push"))
    with Inbox.open(f"{url}?schema=push") as inbox:
        inbox.add([arrived(1)])
        tables = inspect(engine)
        assert all(name.startswith("planasonix_inbox_") for name in tables.get_table_names("push"))
        assert tables.get_table_names("public") == []
    engine.dispose()


def test_no_password_in_what_an_unreachable_store_says() -> None:
    url = f"postgresql://planasonix:hunter2hunter2@127.0.0.1:{free_port()}/db?connect_timeout=2"
    with pytest.raises(InboxUnavailable) as caught:
        Inbox.open(url)
    assert caught.value.retryable
    assert caught.value.__cause__ is None
    assert "127.0.0.1" in str(caught.value)
    inbox = Inbox.open(url, lazy=True)
    with pytest.raises(InboxUnavailable):
        inbox.add([arrived(1)])
    assert "hunter2" not in str(caught.value) + repr(inbox) + inbox.label + repr(address_of(url))


def test_a_newer_inbox_is_refused_and_an_older_one_brought_up_to_date(
    inbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(1)])
        identity = inbox.identity

    def add_column(connection: object, tables: object) -> None:
        made.append(1)
        connection.execute(text("ALTER TABLE planasonix_inbox_notes ADD COLUMN written INTEGER"))  # type: ignore[attr-defined]

    made: list[int] = []
    steps = (*migrations.STEPS, add_column)
    with monkeypatch.context() as newer:
        newer.setattr(base, "STEPS", steps)
        for _ in range(2):
            with Inbox.open(inbox_url) as inbox:
                assert inbox.identity == identity
                assert len(inbox.read(0)) == 1
    assert made == [1]
    with pytest.raises(ConfigurationError, match="has version 2, and this release of planasonix knows 1"):
        Inbox.open(inbox_url)


def test_a_file_system_without_a_write_ahead_log_is_refused(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoWal:
        def execute(self, statement: str) -> NoWal:
            return self

        def fetchone(self) -> tuple[str]:
            return ("delete",)

    from planasonix.webhooks.inbox.store.sqlite import switch_to_wal

    with pytest.raises(ConfigurationError, match="local disk"):
        switch_to_wal(NoWal(), sqlite_url)  # type: ignore[arg-type]
