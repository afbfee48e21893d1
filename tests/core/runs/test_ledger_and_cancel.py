"""Records come back as they were written; cancelling a backfill goes on until it has ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix.errors import ConfigurationError, ConflictError, NotPublishedError
from planasonix.runs import MemoryLedger, Provenance, Record, SqliteLedger, SyncRequest
from planasonix.runs import effects as fx
from planasonix.runs.cancel import cancel
from planasonix.watch import Kind


def record(run_id: str | None = None, *, owned: bool = True) -> Record:
    made = Record.fresh("token", SyncRequest("conn_1"), Provenance("x", "x").metadata("token", 0))
    return replace(made, earlier_ids=("job_0",), passed_ids=("job_x",), run_id=run_id, owned=owned)


def test_a_record_comes_back(tmp_path: Path) -> None:
    for ledger in (MemoryLedger(), SqliteLedger(tmp_path / "l.db", "a")):
        assert ledger.read() is None
        ledger.write(record("job_1"))
        assert ledger.read() == record("job_1")


def test_slots_are_apart_and_know_what_others_own(tmp_path: Path) -> None:
    mine, theirs = (SqliteLedger(tmp_path / "l.db", slot) for slot in ("mine", "theirs"))
    theirs.write(record("job_1"))
    mine.write(record("job_2"))
    assert mine.claimed(["job_1", "job_2", "job_3"]) == {"job_1"}
    theirs.write(record("job_1", owned=False))
    assert mine.claimed(["job_1"]) == frozenset()


def test_a_foreign_entry_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigurationError, match="not one of planasonix"):
        Record.from_dict({"some": "thing"})


def test_a_newer_versions_record_is_read() -> None:
    assert Record.from_dict({**record("job_1").to_dict(), "version": 9, "new_field": 1}).run_id == "job_1"


def test_a_record_of_version_1_is_read_and_written_as_this_one() -> None:
    now = record("job_1").to_dict()
    before = {name: value for name, value in now.items() if name != "target_id"}
    read = Record.from_dict({**before, "connection_id": "conn_1", "version": 1})
    assert read == record("job_1")
    assert (read.connection_id, read.pipeline_id, read.to_dict()["version"]) == ("conn_1", None, 2)


def backfill(status: str, *job_ids: str) -> Any:
    phase = {"running": "active"}.get(status, status)
    return SimpleNamespace(id="bf_1", status=status, phase=phase, created_at=None, connection_id="c", job_ids=job_ids)


def drive(steps: Any, answers: Any) -> tuple[Any, list[str]]:
    trace: list[str] = []
    effect = next(steps)
    try:
        while True:
            trace.append(type(effect).__name__)
            answer = answers(effect)
            effect = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
    except StopIteration as end:
        return end.value, trace


def test_a_backfill_that_starts_another_job_is_asked_again() -> None:
    looks = iter([backfill("running", "j1"), backfill("running", "j1", "j2"), backfill("cancelled", "j1", "j2")])
    last = backfill("running", "j1")

    def answers(effect: Any) -> Any:
        nonlocal last
        if isinstance(effect, fx.Get):
            last = next(looks)
        return last if not isinstance(effect, fx.Sleep) else None

    assert drive(cancel("backfill", "bf_1"), answers) == (
        "cancelled",
        ["Get", "Cancel", "Sleep", "Get", "Cancel", "Sleep", "Get"],
    )


def test_a_backfill_without_jobs_yet_is_asked_until_patience_ends() -> None:
    def answers(effect: Any) -> Any:
        if isinstance(effect, fx.Cancel):
            return NotPublishedError("no jobs", setting="x", operation="backfills.cancel")
        return backfill("running") if isinstance(effect, fx.Get) else None

    with pytest.raises(NotPublishedError):
        drive(cancel("backfill", "bf_1", patience_seconds=3), answers)


@pytest.mark.parametrize("kind", ["job", "run"])
def test_a_job_or_a_run_is_cancelled_in_one_call(kind: Kind) -> None:
    status, trace = drive(cancel(kind, "id_1"), lambda effect: SimpleNamespace(status="cancelling"))
    assert (status, trace) == ("cancelling", ["Cancel"])


def test_two_processes_on_one_slot_are_told_apart(tmp_path: Path) -> None:
    one, other = (SqliteLedger(tmp_path / "l.db", "slot") for _ in range(2))
    assert one.read() is None
    assert other.read() is None
    one.write(record())
    with pytest.raises(ConflictError, match="Another process"):
        other.write(record("job_2"))
    one.write(record("job_1"))
    assert other.read() == record("job_1")
    other.write(record("job_2"))


@pytest.mark.parametrize("name", ["missing/ledger.db", "not-a-database"])
def test_a_ledger_that_cannot_be_used_names_its_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "not-a-database").write_text("something else, and long enough to be no database header at all" * 20)
    with pytest.raises(ConfigurationError, match=name):
        SqliteLedger(tmp_path / name, "slot").read()
