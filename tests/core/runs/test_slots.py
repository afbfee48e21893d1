"""The ledger's file when it is damaged, locked or full, and the lock on a slot."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.errors import ConfigurationError, ConflictError
from planasonix.runs import Provenance, Record, SqliteBook, SqliteLedger, SqliteSource, SyncRequest, run_to_end, slots
from planasonix.runs.slot_locks import hold, is_held
from planasonix.runs.staged.wish import Header, StageEntry
from planasonix.sandbox import Sandbox

PROCESSES = multiprocessing.get_context("fork")
RECORD = Record.fresh("token", SyncRequest("conn_1"), Provenance("x", "x").metadata("token", 0))


def put(path: Path, slot: str, text: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT OR REPLACE INTO ledger (slot, record) VALUES (?, ?)", (slot, text))
        db.commit()


GOOD = RECORD.to_dict()


@pytest.mark.parametrize(
    "text",
    [
        "{cut",
        "[]",
        "5",
        json.dumps({"version": 1, "intent": "x"}),
        json.dumps({**GOOD, "intent": 5}),
        json.dumps({**GOOD, "sent_at": "yesterday"}),
        json.dumps({**GOOD, "earlier_ids": 5}),
        json.dumps({**GOOD, "run_id": ["job_1"]}),
        json.dumps({**GOOD, "body": "{cut"}),
        json.dumps({**GOOD, "body": "[]"}),
    ],
)
def test_a_damaged_entry_names_file_slot_and_cure(tmp_path: Path, text: str) -> None:
    path = tmp_path / "my.db"
    ledger = SqliteLedger(path, "nightly")
    put(path, "nightly", text)
    with pytest.raises(ConfigurationError, match=r"'nightly' of the ledger .*my\.db is damaged") as caught:
        ledger.read()
    assert "delete that row" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["{cut", "[]"])
def test_so_does_a_damaged_entry_of_a_book(tmp_path: Path, text: str) -> None:
    book = SqliteBook(tmp_path / "my.db", "history")
    put(tmp_path / "my.db", "history/wish", text)
    with pytest.raises(ConfigurationError, match=r"'history/wish' of the ledger .*my\.db is damaged"):
        book.read("wish")


HEADER = Header("intent", epoch="intent", plan="plan", began_at=1.0).to_dict()


@pytest.mark.parametrize(
    ("read", "good", "junk"),
    [
        (Header.from_dict, HEADER, {"done": 5}),
        (Header.from_dict, HEADER, {"done": [5]}),
        (Header.from_dict, HEADER, {"active": 5}),
        (StageEntry.from_dict, GOOD, {"outcome": "x"}),
    ],
)
def test_junk_of_a_staged_backfill_is_refused(read: Any, good: dict[str, Any], junk: dict[str, Any]) -> None:
    assert read(good)
    with pytest.raises(ConfigurationError, match="damaged"):
        read({**good, **junk})


def test_a_file_that_stays_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = SqliteLedger(tmp_path / "my.db", "slot")
    monkeypatch.setattr(slots, "_BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(tmp_path / "my.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigurationError, match=r"my\.db cannot be used: database is locked"):
            ledger.write(RECORD)
    ledger.write(RECORD)
    assert ledger.read() == RECORD


def test_a_table_that_went_away_is_told(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "my.db", "slot")
    with closing(sqlite3.connect(tmp_path / "my.db")) as db:
        db.execute("DROP TABLE ledger")
    for use in (ledger.read, lambda: ledger.write(RECORD), lambda: ledger.claimed(["job_1"])):
        with pytest.raises(ConfigurationError, match=r"my\.db cannot be used: no such table"):
            use()


def hold_for_ever(path: Path, slot: str, held: Any) -> None:
    with hold(str(path), slot):
        held.set()
        PROCESSES.Event().wait(60)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path, held = tmp_path / "l.db", PROCESSES.Event()
    child = PROCESSES.Process(target=hold_for_ever, args=(path, "a/b", held))
    child.start()
    try:
        assert held.wait(30)
        assert is_held(str(path), "a/b")
        with pytest.raises(ConflictError, match=r"'a/b' of the ledger .*l\.db"), hold(str(path), "a/b"):
            pass
        with hold(str(path), "a"):
            assert is_held(str(path), "a")
    finally:
        child.kill()
        child.join(30)
    assert not is_held(str(path), "a/b")
    with hold(str(path), "a/b"):
        assert is_held(str(path), "a/b")
    assert not is_held(str(path), "a/b")
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_the_file_is_the_same_ledger(tmp_path: Path) -> None:
    SqliteLedger(tmp_path / "l.db", "slot")
    (tmp_path / "link.db").symlink_to(tmp_path / "l.db")
    with SqliteLedger(tmp_path / "l.db", "slot").held():
        assert is_held(str(tmp_path / "link.db"), "slot")


def test_run_to_end_holds_its_slot(tmp_path: Path) -> None:
    ledger, seen = SqliteLedger(tmp_path / "l.db", "nightly"), []
    request = SyncRequest("conn_shop_orders")

    def on_start(handle: Any) -> None:
        [entry] = SqliteSource(tmp_path / "l.db", owner_ended=["nightly"]).entries()
        with pytest.raises(ConflictError, match=r"Another process works on 'nightly'"):
            run_to_end(client, request, intent="x", ledger=SqliteLedger(tmp_path / "l.db", "nightly"))
        seen.append(entry.owner)  # type: ignore[union-attr]

    with Planasonix("plnx_live_sandbox", transport=Sandbox(speed=1000).transport()) as client:
        run_to_end(client, request, intent="x", ledger=ledger, on_start=on_start)
    assert seen == ["alive"]
    [entry] = SqliteSource(tmp_path / "l.db", owner_ended=["nightly"]).entries()
    assert entry.owner == "ended"  # type: ignore[union-attr]


def test_a_name_stands_for_its_own_stages_only(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    for slot in ("orders", "orders/20260101", "orders/eu/20260101", "orders2/20260101"):
        SqliteLedger(path, slot).write(RECORD)

    def ended(name: str) -> list[str]:
        entries = SqliteSource(path, owner_ended=[name]).entries()
        return [entry.slot for entry in entries if entry.owner == "ended"]  # type: ignore[union-attr]

    assert ended("orders") == ["orders", "orders/20260101"]
    assert ended("orders/eu") == ["orders/eu/20260101"]
