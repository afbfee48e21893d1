"""The ledger in the event log: what is read back, how cheaply, and what is in the way."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix import ledger
from dagster_planasonix.attempt_ledger import wish_in
from dagster_planasonix.intent import Slot
from dagster_planasonix.ledger import (
    ENTRY,
    LEDGER_KEY,
    LedgerEntry,
    Owner,
    all_entries,
    newest_entry,
    observation,
    owned_elsewhere,
    slot_entries,
    started_runs,
)
from planasonix.errors import ConfigurationError
from planasonix.runs import Record, SyncRequest

OWNER = Owner("run_1", "run_1", "load", "nightly", asset_keys=("shop/public/orders",), base_url="https://api.example")
ASKED = replace(Record.fresh("intent_1", SyncRequest("conn_1"), {"orchestrator": "dagster"}), sent_at=1000.0)


@pytest.fixture(scope="module")
def instance_here() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def instance(instance_here: dg.DagsterInstance) -> dg.DagsterInstance:
    instance_here.wipe_assets([LEDGER_KEY])
    return instance_here


def write(instance: dg.DagsterInstance, slot: str, entry: dict[str, Any], owner: Owner = OWNER) -> None:
    instance.report_runless_asset_event(observation(slot, owner, entry, description="test"))


def named(run_id: str, **changes: Any) -> dict[str, Any]:
    return replace(ASKED, run_id=run_id, created_at=1001.0, deadline_at=2000.0, **changes).to_dict()


def test_what_was_written_is_read_back_newest_first(instance: dg.DagsterInstance) -> None:
    write(instance, "conn_1/a", ASKED.to_dict())
    write(instance, "conn_1/a", named("job_1"))
    write(instance, "conn_1/b", named("job_2"))
    entries = slot_entries(instance, "conn_1/a")
    assert [entry.record.run_id for entry in entries if entry.record] == ["job_1", None]
    assert entries[0].owner == OWNER
    assert entries[0].handle is not None
    assert entries[0].handle.deadline_at == 2000.0
    assert entries[1].handle is None
    entries = [entry for entry in all_entries(instance) if isinstance(entry, LedgerEntry)]
    assert {entry.slot for entry in entries} == {"conn_1/a", "conn_1/b"}


def test_the_runs_that_dagster_started(instance: dg.DagsterInstance) -> None:
    write(instance, "conn_1/a", named("job_2", generation=1, earlier_ids=("job_1",)))
    write(instance, "conn_1/b", named("job_3", owned=False))
    write(instance, "conn_1/c", ASKED.to_dict())
    write(instance, "conn_1/d", {"intent": "intent_1", "epoch": "a header of stages"})
    assert started_runs(instance).keys() == {"job_1", "job_2"}
    assert started_runs(instance, [dg.AssetKey(["shop", "public", "orders"])]).keys() == {"job_1", "job_2"}
    assert started_runs(instance, [dg.AssetKey("another")]) == {}
    assert started_runs(instance, since=time.time() + 60.0) == {}


def test_what_other_steps_own(instance: dg.DagsterInstance) -> None:
    write(instance, "conn_1/a", named("job_1"))
    write(instance, "conn_1/b", named("job_2"))
    write(instance, "conn_1/c", named("job_3", owned=False))
    wanted = ["job_1", "job_2", "job_3", "job_4"]
    assert owned_elsewhere(instance, wanted, slot="conn_1/a", since=None) == {"job_2"}
    assert owned_elsewhere(instance, wanted, slot="conn_1/a", since=time.time() + 60.0) == frozenset()
    assert owned_elsewhere(instance, [], slot="conn_1/a", since=None) == frozenset()


def test_a_slot_of_many_entries_hides_no_lineage(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_PAGE", 5)
    root = instance.add_run(dg.DagsterRun("nightly"))
    sister = instance.add_run(dg.DagsterRun("nightly", root_run_id=root.run_id, parent_run_id=root.run_id))
    third = instance.add_run(dg.DagsterRun("nightly", root_run_id=root.run_id, parent_run_id=root.run_id))
    slot = Slot(root.run_id, "load", "conn_1", "wish")
    for run, entries in ((root, 3), (sister, 22)):
        owner = replace(OWNER, run_id=run.run_id, root_run_id=root.run_id)
        for _ in range(entries):
            write(instance, slot.name, {"intent": slot.token(root.run_id)}, owner)
    entries = slot_entries(instance, slot.name)
    assert len(entries) == 25
    owner = replace(OWNER, run_id=third.run_id, root_run_id=root.run_id)
    assert wish_in(instance, owner, slot, entries) == (slot.token(root.run_id), 0)
    newest = newest_entry(instance, slot.name)
    assert newest == entries[0]
    assert newest_entry(instance, "conn_1/none") is None


def test_pages_lose_nothing(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_PAGE", 4)
    for number in range(10):
        write(instance, f"conn_1/{number}", named(f"job_{number}"))
    assert list(started_runs(instance)) == [f"job_{number}" for number in reversed(range(10))]
    newest = next(all_entries(instance))
    assert isinstance(newest, LedgerEntry)
    assert newest.slot == "conn_1/9"


def test_a_step_reads_its_own_entries_however_many_there_are(instance: dg.DagsterInstance) -> None:
    write(instance, "conn_1/few", named("job_x"))
    few = _seconds(instance)
    with closing(sqlite3.connect(instance.event_log_storage.path_for_shard("index"), timeout=60.0)) as index:
        columns = [row[1] for row in index.execute("PRAGMA table_info(event_logs)") if row[1] != "id"]
        copied = ", ".join("? || id" if name == "partition" else name for name in columns)
        copy = f"INSERT INTO event_logs ({', '.join(columns)}) SELECT {copied} FROM event_logs WHERE asset_key = ?"
        for doubling in range(14):
            index.execute(copy, (f"conn_1/{doubling}/", LEDGER_KEY.to_string()))
        index.commit()
    # Sixteen thousand others. Room for a loaded machine; a look through them all would take a second.
    assert _seconds(instance) < 10 * few + 0.1


def _seconds(instance: dg.DagsterInstance) -> float:
    def once() -> float:
        began = time.perf_counter()
        assert len(slot_entries(instance, "conn_1/few")) == 1
        return time.perf_counter() - began

    return min(once() for _ in range(5))


def test_a_damaged_entry_of_the_slot_is_told(instance: dg.DagsterInstance) -> None:
    write(instance, "conn_1/a", {**named("job_1"), "body": "no JSON"})
    with pytest.raises(ConfigurationError, match="damaged"):
        slot_entries(instance, "conn_1/a")
    write(instance, "conn_1/b", named("job_2"))
    (good, bad) = all_entries(instance)
    assert isinstance(good, LedgerEntry)
    assert isinstance(bad, ConfigurationError)
    assert started_runs(instance).keys() == {"job_2"}


@pytest.mark.parametrize(
    "kept",
    [
        None,
        "text",
        {"version": 99, "slot": "conn_1/a", "owner": {}, "entry": {}},
        {"version": 1, "slot": "conn_1/a", "owner": None, "entry": {}},
    ],
)
def test_what_is_none_of_ours_is_left_alone(instance: dg.DagsterInstance, kept: Any) -> None:
    metadata = {} if kept is None else {ENTRY: dg.MetadataValue.json(kept)}
    instance.report_runless_asset_event(dg.AssetObservation(LEDGER_KEY, partition="conn_1/a", metadata=metadata))
    assert slot_entries(instance, "conn_1/a") == []


def test_an_older_owner_s_entry_is_read(instance: dg.DagsterInstance) -> None:
    kept = json.loads(json.dumps(observation("s", OWNER, named("job_1"), description="").metadata[ENTRY].value))
    del kept["owner"]["waits"], kept["owner"]["organization_id"]
    kept["owner"]["of a later version"] = 1
    metadata = {ENTRY: dg.MetadataValue.json(kept)}
    instance.report_runless_asset_event(dg.AssetObservation(LEDGER_KEY, partition="s", metadata=metadata))
    assert slot_entries(instance, "s")[0].owner == replace(OWNER, organization_id=None)
