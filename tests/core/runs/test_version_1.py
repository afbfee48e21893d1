"""What the first version stored, word by word: a worker that is upgraded goes on with it."""

from __future__ import annotations

from typing import Any

from planasonix import Planasonix
from planasonix.runs import (
    BackfillRequest,
    MemoryBook,
    Provenance,
    Record,
    RunHandle,
    StagedBackfill,
    advance_stages,
    plan_stages,
)
from planasonix.runs.staged.wish import StageEntry
from planasonix.sandbox import Sandbox

CONNECTION = "conn_shop_orders"
FIRST = "20260101T000000Z"
HANDLE = {
    "kind": "backfill",
    "id": "bf_1",
    "connection_id": CONNECTION,
    "owned": True,
    "created_at": 1795361650.0,
    "deadline_at": 1795448050.5,
    "intent": "712317a05482477e849833315fb0357f",
    "generation": 0,
    "reattached": False,
    "version": 1,
}
WISH = {
    "intent": "wish-1",
    "epoch": "wish-1",
    "plan": "b09831f3bccb95d1",
    "began_at": 1795361650.25,
    "attempt": "try-1",
    "outcome": None,
    "failures_in_a_row": 0,
    "cancelled": False,
    "stopped": False,
    "active": [FIRST],
    "failed": [],
    "done": [],
    "busy_since": None,
    "version": 1,
}
STAGE: dict[str, Any] = {
    "intent": "712317a05482477e849833315fb0357f",
    "operation": "connections.backfill",
    "kind": "backfill",
    "connection_id": CONNECTION,
    "key": "plnx-712bd80dbd3c93cb740333fc5dae131c08c6834c",
    "body": '{"end_at":"2026-01-02T00:00:00Z","start_at":"2026-01-01T00:00:00Z"}',
    "generation": 0,
    "refusals": 0,
    "sent_at": 1795361650.5,
    "run_id": "bf_1",
    "created_at": 1795361650.0,
    "deadline_at": 4102444800.0,
    "owned": True,
    "depth": 0,
    "earlier_ids": [],
    "leave_running": False,
    "ended_as": None,
    "verdict": None,
    "named_at": 1795361650.75,
    "version": 1,
    "wish": "wish-1",
    "epoch": "wish-1",
    "digest": "93b4a42c2347f20b",
    "ended_in": None,
    "outcome": None,
    "given_up": False,
}


def test_a_handle_names_its_connection() -> None:
    handle = RunHandle.from_dict(HANDLE)
    assert (handle.id, handle.target_id, handle.connection_id, handle.pipeline_id) == (
        "bf_1",
        CONNECTION,
        CONNECTION,
        None,
    )
    assert RunHandle.from_dict(handle.to_dict()) == handle


def test_a_record_and_a_stages_entry_name_it_too() -> None:
    assert Record.from_dict(STAGE).target_id == CONNECTION
    entry = StageEntry.from_dict(STAGE)
    assert (entry.record.target_id, entry.record.run_id, entry.wish, entry.may_run) == (
        CONNECTION,
        "bf_1",
        "wish-1",
        True,
    )
    assert StageEntry.from_dict(entry.to_dict()) == entry


def test_a_wish_in_stages_goes_on_and_starts_nothing_twice() -> None:
    sandbox = Sandbox(speed=0)
    stages = plan_stages("2026-01-01T00:00Z", "2026-01-03T00:00Z", "1d")
    asked = StagedBackfill(BackfillRequest(CONNECTION, stages[0].start_at, stages[-1].end_at), stages)
    book = MemoryBook()
    with Planasonix("plnx_live_sandbox", transport=sandbox.transport()) as client:
        running = client.connections.backfill(CONNECTION, start_at=stages[0].start_at, end_at=stages[0].end_at)
        book.write("wish", WISH)
        book.write(FIRST, {**STAGE, "run_id": running.id})

        def advance() -> Any:
            provenance = Provenance("test", "a test")
            return advance_stages(client, asked, book=book, intent="wish-1", attempt="try-1", provenance=provenance)

        assert [handle.id for handle in advance().active] == [running.id]
        assert sandbox.backfills_started() == 1
        sandbox.advance(86_400.0)
        progress = advance()
    assert (progress.done, progress.failed, sandbox.backfills_started()) == (1, (), 2)
    assert (book.read(FIRST) or {})["version"] == 2
