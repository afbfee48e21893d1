"""The table of `planasonix.runs.reconcile.rules`, row by row, and reconcile over a SQLite ledger."""

from __future__ import annotations

import doctest
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.errors import AuthenticationError, ConfigurationError, PlanasonixError, ServerError, TransportError
from planasonix.runs import (
    BackfillRequest,
    Entry,
    Finding,
    Policy,
    Provenance,
    Record,
    SqliteBook,
    SqliteLedger,
    SqliteSource,
    SyncRequest,
    Unreadable,
    effects,
    reconcile_ledger,
    source_named,
    start_run,
)
from planasonix.runs.reconcile import drive
from planasonix.runs.reconcile.rules import Examination
from planasonix.sandbox import Sandbox

INTENT = "intent-1"
WINDOW = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")


def record(world: Any, job: Any = None, **changes: Any) -> Record:
    made = Record.fresh(INTENT, world.request, Provenance("test", "a test").metadata(INTENT, 0))
    if job is not None:
        created = job.created_at.timestamp()
        made = replace(made, sent_at=created, run_id=job.id, created_at=created, deadline_at=created + 60.0)
    return replace(made, **changes)


def known(status: str, **changes: Any) -> Any:
    return lambda world: record(world, world.add_job(status), **changes)


def lost(*statuses: str, **job: Any) -> Any:
    """A POST went out and nobody saw the answer; since then these jobs were created."""

    def make(world: Any) -> Record:
        for status in statuses:
            world.add_job(status, age=5.0, **job)
        return record(world, sent_at=world.now - 10.0)

    return make


def earlier(status: str, **changes: Any) -> Any:
    """The second job of the intent has ended and was seen to; the first one is in this status."""

    def make(world: Any) -> Record:
        first = world.add_job(status, metadata={"planasonix_intent": INTENT})
        return record(world, world.add_job("succeeded"), ended_as="succeeded", earlier_ids=(first.id,), **changes)

    return make


def entry_of(world: Any, made: Record, owner: Any = "ended", ended_ago: float | None = 3600.0) -> Entry:
    ended_at = None if ended_ago is None else world.now - ended_ago
    return Entry("dag/run/task", made, owner, "failed" if owner == "ended" else owner, ended_at, "https://airflow/task")


def carry_out(world: Any, steps: Any) -> Any:
    try:
        effect = next(steps)
        while True:
            try:
                answer = world.do(effect)
            except PlanasonixError as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as end:
        return end.value


def rules(world: Any) -> Examination:
    return Examination(lambda: world.now, 60.0, "https://app/{kind}s/{id}")


# name, world, record, owner, seconds since the owner's end, the calls that follow, kind, action, needs a human
ROWS: list[tuple[str, dict[str, Any], Any, str, float | None, str, str, str, bool]] = [
    # --- no call --------------------------------------------------------------------------------------------------
    ("nothing sent", {}, record, "ended", 3600, "", "settled", "none", False),
    ("end seen", {}, known("succeeded", ended_as="succeeded"), "ended", 3600, "", "settled", "none", False),
    ("end seen, owner alive", {}, known("failed", ended_as="failed"), "alive", None, "", "settled", "none", False),
    ("owner alive", {}, known("running"), "alive", None, "", "left", "none", False),
    ("owner unknown", {}, known("running"), "unknown", 3600, "", "left", "none", False),
    ("owner ended just now", {}, known("running"), "ended", 59, "", "left", "none", False),
    ("leave running", {}, known("running", leave_running=True), "ended", 3600, "", "left", "none", False),
    ("not owned", {}, known("running", owned=False), "ended", 3600, "", "left", "none", False),
    ("lost, owner alive", {}, lost("running"), "alive", None, "", "left", "none", False),
    ("lost, leave running", {}, lambda w: replace(lost("running")(w), leave_running=True), "ended", 3600, "", "left",
     "none", False),
    # --- the run that the entry names -----------------------------------------------------------------------------
    ("running", {}, known("running"), "ended", 3600, "GET", "orphan", "would_cancel", False),
    ("queued", {}, known("queued"), "ended", 3600, "GET", "orphan", "would_cancel", False),
    ("ended at the grace's edge", {}, known("running"), "ended", 60, "GET", "orphan", "would_cancel", False),
    ("ended at an unknown time", {}, known("running"), "ended", None, "GET", "orphan", "would_cancel", False),
    ("cancelling", {}, known("canceling"), "ended", 3600, "GET", "left", "none", False),
    ("cancelled", {}, known("cancelled"), "ended", 3600, "GET", "settled", "none", False),
    ("succeeded unseen", {}, known("succeeded"), "ended", 3600, "GET GET", "ended_unseen", "none", False),
    ("failed unseen", {}, known("failed"), "ended", 3600, "GET GET", "ended_unseen", "none", False),
    ("not found", {}, lambda w: replace(known("running")(w), run_id="job_gone"), "ended", 3600, "GET", "left", "none",
     False),
    ("of another connection", {}, lambda w: record(w, w.add_job("running", target_id="another")), "ended", 3600,
     "GET", "left", "none", False),
    ("created at another time", {}, lambda w: replace(known("running")(w), created_at=w.now), "ended", 3600,
     "GET", "left", "none", False),
    ("created at a time not told", {}, lambda w: replace(known("running")(w), created_at=w.now - 99,
     sent_at=w.now - 99), "ended", 3600, "GET", "orphan", "would_cancel", False),
    ("with another's token", {"echoes": True}, lambda w: record(w, w.add_job("running",
     metadata={"planasonix_intent": "x"})), "ended", 3600, "GET", "left", "none", False),
    # --- the answer was lost --------------------------------------------------------------------------------------
    ("lost, nothing there", {}, lost(), "ended", 3600, "LIST", "nothing_started", "none", False),
    ("lost, one candidate", {}, lost("running"), "ended", 3600, "LIST GET", "outcome_unknown", "none", True),
    ("lost, two", {}, lost("running", "failed"), "ended", 3600, "LIST GET GET", "outcome_unknown", "none", True),
    ("lost, one that ended", {}, lost("succeeded"), "ended", 3600, "LIST GET", "outcome_unknown", "none", False),
    ("lost, claimed", {"claimed": frozenset({"job_1"})}, lost("running"), "ended", 3600, "LIST", "nothing_started",
     "none", False),
    ("lost, with our token", {"echoes": True}, lost("running", metadata={"planasonix_intent": INTENT}), "ended", 3600,
     "LIST GET", "orphan", "would_cancel", False),
    ("lost, with another's token", {"echoes": True}, lost("running", metadata={"planasonix_intent": "x"}), "ended",
     3600, "LIST GET", "nothing_started", "none", False),
    ("lost, ours, succeeded", {"echoes": True}, lost("succeeded", metadata={"planasonix_intent": INTENT}), "ended",
     3600, "LIST GET GET", "ended_unseen", "none", False),
    # --- earlier generations --------------------------------------------------------------------------------------
    ("earlier ended", {}, earlier("failed"), "ended", 3600, "GET", "settled", "none", False),
    ("earlier, owner alive", {}, earlier("running"), "alive", None, "", "settled", "none", False),
    ("earlier, leave running", {}, earlier("running", leave_running=True), "ended", 3600, "", "settled", "none", False),
]  # fmt: skip


@pytest.mark.parametrize("run_kind", ["job", "run"])
@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_table(make_world: Any, row: Any, run_kind: str) -> None:
    _, settings, make, owner, ended_ago, calls, kind, action, needs_human = row
    world = make_world(kind=run_kind, **settings)
    findings = carry_out(world, rules(world).examine(entry_of(world, make(world), owner, ended_ago)))
    # How a run of a pipeline ended is told with its nodes.
    assert " ".join(call for call in world.trace if call != "NODES") == calls
    [found] = findings
    assert (found.kind, found.action, found.needs_human) == (kind, action, needs_human)
    assert (found.slot, found.owner_link) == ("dag/run/task", "https://airflow/task")
    assert found.sentence
    assert json.loads(json.dumps(found.to_dict()))["kind"] == kind


def test_the_run_of_a_pipeline_may_show_a_later_time_than_its_start_did(make_world: Any) -> None:
    """Its start tells when it was queued; what reads it later, when it left the queue."""
    world = make_world(kind="run")
    queued_long = replace(known("running")(world), created_at=world.now - 600.0)
    [found] = carry_out(world, rules(world).examine(entry_of(world, queued_long)))
    assert (found.kind, found.pipeline_id, found.connection_id) == ("orphan", "pl_1", None)
    assert found.sentence.startswith("run job_1 of pipeline pl_1: ")
    of_another_time = replace(queued_long, created_at=world.now)
    [found] = carry_out(world, rules(world).examine(entry_of(world, of_another_time)))
    assert found.kind == "left"


def test_an_orphan_is_told_with_all_that_a_human_needs(world: Any) -> None:
    [found] = carry_out(world, rules(world).examine(entry_of(world, known("running")(world))))
    assert found.sentence == "job job_1 of connection conn_1: dag/run/task is failed, and it is still running."
    assert (found.run_link, found.run_id, found.status) == ("https://app/jobs/job_1", "job_1", "running")


def test_candidates_are_named(world: Any) -> None:
    [found] = carry_out(world, rules(world).examine(entry_of(world, lost("running", "failed")(world))))
    assert found.candidates == ("job_1", "job_2")
    assert "job_1 (running), job_2 (failed)" in found.sentence


def test_a_run_of_long_after_the_lost_answer_is_not_its(world: Any) -> None:
    made = record(world, sent_at=world.now - 7_200.0)
    world.add_job("running", age=60.0)
    [found] = carry_out(world, rules(world).examine(entry_of(world, made)))
    assert found.kind == "nothing_started"


@pytest.mark.parametrize(
    ("echoes", "kind", "action"), [(True, "orphan", "would_cancel"), (False, "outcome_unknown", "none")]
)
def test_a_run_of_an_earlier_generation_that_lives_on(make_world: Any, echoes: bool, kind: str, action: str) -> None:
    world = make_world(echoes=echoes)
    settled, found = carry_out(world, rules(world).examine(entry_of(world, earlier("running")(world))))
    assert settled.kind == "settled"
    assert (found.kind, found.action, found.run_id) == (kind, action, "job_1")


@pytest.mark.parametrize("another", [{"age": 5.0}, {"age": 99.0, "target_id": "another"}])
def test_another_run_with_the_id_of_an_earlier_one_is_not_reported(make_world: Any, another: dict[str, Any]) -> None:
    world = make_world(echoes=True)
    world.add_job("running", job_id="job_used_again", metadata={"planasonix_intent": INTENT}, **another)
    made = record(world, world.add_job("succeeded"), ended_as="succeeded", earlier_ids=("job_used_again",))
    assert [found.kind for found in carry_out(world, rules(world).examine(entry_of(world, made)))] == ["settled"]


def test_a_run_that_cannot_be_read_needs_a_human(world: Any) -> None:
    steps = rules(world).examine(entry_of(world, known("running")(world)))
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.throw(ServerError("down", status_code=503))
    [found] = end.value.value
    assert (found.kind, found.needs_human, found.action) == ("unreadable", True, "none")


def test_a_refused_key_ends_it_all(world: Any) -> None:
    for made in (known("running")(world), lost()(world), earlier("running")(world)):
        steps = rules(world).examine(entry_of(world, made))
        next(steps)
        with pytest.raises(AuthenticationError):
            steps.throw(AuthenticationError("no", status_code=401))


def test_a_damaged_body_of_a_lost_start_needs_a_human(world: Any) -> None:
    made = replace(lost("running")(world), operation="connections.backfill", kind="backfill", body="{}")
    [found] = carry_out(world, rules(world).examine(entry_of(world, made)))
    assert (found.kind, found.needs_human, world.trace) == ("unreadable", True, [])


# --- putting right ------------------------------------------------------------------------------------------------


def orphan(world: Any) -> tuple[Entry, Finding]:
    entry = entry_of(world, known("running")(world))
    [found] = carry_out(world, rules(world).examine(entry))
    world.trace.clear()
    return entry, found


def test_an_orphan_is_cancelled(world: Any) -> None:
    entry, found = orphan(world)
    done = carry_out(world, rules(world).put_right(entry, replace(entry), found))
    assert (done.action, done.needs_human, world.trace) == ("cancelled", False, ["CANCEL"])
    assert done.sentence == "job job_1 of connection conn_1 was cancelled (it is cancelling): dag/run/task is failed."


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: None,
        lambda entry: replace(entry, owner="alive", owner_text="running"),
        lambda entry: replace(entry, owner="unknown", owner_text="odd"),
        lambda entry: replace(entry, record=replace(entry.record, run_id="job_other")),
        lambda entry: replace(entry, record=replace(entry.record, ended_as="succeeded")),
        lambda entry: replace(entry, record=replace(entry.record, leave_running=True)),
    ],
    ids=["gone", "running again", "unknown", "another run", "seen", "to be left"],
)
def test_an_owner_that_changed_meanwhile_keeps_its_run(world: Any, change: Any) -> None:
    entry, found = orphan(world)
    done = carry_out(world, rules(world).put_right(entry, change(entry), found))
    assert (done.kind, done.action, world.trace) == ("left", "none", [])


def test_a_cancel_that_fails_needs_a_human(world: Any) -> None:
    entry, found = orphan(world)
    steps = rules(world).put_right(entry, entry, found)
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.throw(TransportError("no answer"))
    done = end.value.value
    assert (done.kind, done.action, done.needs_human) == ("orphan", "not_cancelled", True)


def test_a_run_that_ended_before_the_cancel_was_not_cancelled(world: Any) -> None:
    entry, found = orphan(world)
    steps = rules(world).put_right(entry, entry, found)
    assert isinstance(next(steps), effects.Cancel)
    with pytest.raises(StopIteration) as end:
        steps.send(replace(world.jobs["job_1"], status="succeeded"))
    assert (end.value.value.kind, end.value.value.action) == ("ended_unseen", "none")


def test_a_backfill_that_does_not_end_is_to_be_asked_again(world: Any) -> None:
    job = world.add_job("running", job_ids=("job_9",))
    request = BackfillRequest("conn_1", *WINDOW)  # type: ignore[arg-type]
    made = Record.fresh(INTENT, request, Provenance("test", "a test").metadata(INTENT, 0))
    entry = entry_of(world, replace(made, sent_at=world.now - 9, run_id=job.id))
    [found] = carry_out(world, rules(world).examine(entry))
    assert (found.kind, found.run_kind) == ("orphan", "backfill")
    # The world lets a cancelled run end at the next sleep; this one does not.
    world.settle = lambda: None
    done = carry_out(world, rules(world).put_right(entry, entry, found))
    assert (done.action, done.needs_human) == ("not_cancelled", True)
    assert "run reconcile again" in done.sentence


# --- over a ledger ------------------------------------------------------------------------------------------------


@pytest.fixture
def sandbox() -> Any:
    return Sandbox(speed=0)


@pytest.fixture
def client(sandbox: Any) -> Any:
    with Planasonix(sandbox.api_key, transport=sandbox.transport(), idempotency="honoured") as made:
        yield made


def started(client: Any, path: Path, slot: str, connection_id: str, **policy: Any) -> str:
    came = start_run(
        client,
        SyncRequest(connection_id),
        intent=slot,
        ledger=SqliteLedger(path, slot),
        provenance=Provenance("test", slot),
        policy=Policy(idempotency="honoured", **policy),
    )
    return came.handle.id


def cancels(sandbox: Any) -> int:
    return sandbox.counts()["cancels"]


def test_a_dry_run_lists_and_apply_cancels_exactly_that(client: Any, sandbox: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    dead = started(client, path, "nightly/orders", "conn_shop_orders")
    started(client, path, "nightly/alive", "conn_crm_accounts")
    started(client, path, "left", "conn_hr_people", leave_running=True)
    client.connections.sync("conn_support_tickets")
    SqliteBook(path, "nightly/orders").write("", {"version": 1, "intent": "x", "epoch": 1})
    source = SqliteSource(path, owner_ended=["nightly/orders", "left"])

    dry = reconcile_ledger(client, source)
    assert [found.run_id for found in dry.to_cancel] == [dead]
    assert dry.counts == {"orphan": 1, "left": 2}
    assert cancels(sandbox) == 0
    seen: list[Finding] = []
    done = reconcile_ledger(client, source, apply=True, on_finding=seen.append)
    assert [(f.run_id, f.action) for f in done.findings if f.kind == "orphan"] == [(dead, "cancelled")]
    assert tuple(seen) == done.findings
    assert cancels(sandbox) == 1
    assert (done.to_cancel, done.for_a_human) == ((), ())
    sandbox.advance(60)
    again = reconcile_ledger(client, source, apply=True)
    assert again.counts == {"settled": 1, "left": 2}
    assert cancels(sandbox) == 1


def test_the_owner_is_asked_again_before_each_cancel(client: Any, sandbox: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    started(client, path, "a", "conn_shop_orders")
    dead = started(client, path, "b", "conn_crm_accounts")

    class ClearedMeanwhile(SqliteSource):
        def refresh(self, slot: str) -> Entry | None:
            entry = super().refresh(slot)
            return replace(entry, owner="alive", owner_text="running") if entry and slot == "a" else entry

    done = reconcile_ledger(client, ClearedMeanwhile(path, owner_ended=["a", "b"]), apply=True)
    assert {found.slot: found.kind for found in done.findings} == {"a": "left", "b": "orphan"}
    assert [job.id for job in client.jobs.list() if job.status != "queued"] == [dead]
    assert cancels(sandbox) == 1


def test_all_backfills_are_asked_to_stop_before_one_is_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, asked_by_then = tmp_path / "ledger.db", []
    sandbox = Sandbox(speed=0, busy="parallel", cancel_seconds=300)
    sandbox.script("conn_shop_orders", kind="backfill", duration_seconds=3600)
    with Planasonix(sandbox.api_key, transport=sandbox.transport()) as client:
        request = BackfillRequest("conn_shop_orders", *WINDOW)  # type: ignore[arg-type]
        for slot in ("a", "b", "c"):
            ledger = SqliteLedger(path, slot)
            start_run(client, request, intent=slot, ledger=ledger, provenance=Provenance("test", slot))
        sandbox.advance(5)

        def sleep(seconds: float) -> None:
            asked_by_then.append(cancels(sandbox))
            sandbox.advance(400)

        monkeypatch.setattr("time.sleep", sleep)
        found = reconcile_ledger(client, SqliteSource(path, owner_ended=["a", "b", "c"]), apply=True)
    assert asked_by_then == [3]
    assert [(finding.slot, finding.action) for finding in found.findings] == [(s, "cancelled") for s in "abc"]


def test_what_another_entry_owns_is_no_candidate(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    started(client, path, "a", "conn_shop_orders")
    theirs = SqliteLedger(path, "a").read()
    assert theirs is not None
    SqliteLedger(path, "b").write(replace(theirs, intent="b", run_id=None, created_at=None, deadline_at=None))
    found = reconcile_ledger(client, SqliteSource(path, owner_ended=["b"]))
    assert {finding.slot: finding.kind for finding in found.findings} == {"a": "left", "b": "nothing_started"}


def test_the_example_runs() -> None:
    failed, tried = doctest.testmod(drive)
    assert failed == 0
    assert tried > 0


def test_a_grace_below_zero_is_refused(client: Any, tmp_path: Path) -> None:
    SqliteLedger(tmp_path / "l.db", "x")
    with pytest.raises(ConfigurationError, match="grace_seconds"):
        reconcile_ledger(client, SqliteSource(tmp_path / "l.db"), grace_seconds=-1)


def test_a_script_counts_as_ended_past_its_deadline_only(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    started(client, path, "a", "conn_shop_orders", timeout_seconds=100.0)
    sent_at = SqliteLedger(path, "a").read().sent_at  # type: ignore[union-attr]
    for later, owner in ((99.0, "unknown"), (101.0, "ended")):
        [entry] = SqliteSource(path, now=lambda later=later: sent_at + later).entries()
        assert (entry.owner, entry.slot) == (owner, "a")
    assert SqliteSource(path, since_hours=1, now=lambda: sent_at + 3601).entries() == []
    assert len(SqliteSource(path, since_hours=1, now=lambda: sent_at + 3599).entries()) == 1


def test_damaged_and_silent_entries(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    started(client, path, "a", "conn_shop_orders")
    with closing(sqlite3.connect(path)) as db:
        [(text,)] = db.execute("SELECT record FROM ledger").fetchall()
        silent = {name: value for name, value in json.loads(text).items() if name != "leave_running"}
        db.execute("INSERT INTO ledger (slot, record) VALUES ('b', ?)", (json.dumps(silent),))
        db.execute("INSERT INTO ledger (slot, record) VALUES ('c', '{cut')")
        db.execute("INSERT INTO ledger (slot, record) VALUES ('d', '{\"operation\": \"x\"}')")
        db.commit()
    source = SqliteSource(path, owner_ended=["a", "b", "c", "d"])
    entries = {entry.slot: entry for entry in source.entries()}
    assert [entry.record.leave_running for entry in entries.values() if isinstance(entry, Entry)] == [False, True]
    assert isinstance(entries["c"], Unreadable)
    assert isinstance(entries["d"], Unreadable)
    assert source.refresh("a") == entries["a"]
    assert source.refresh("gone") is None
    found = reconcile_ledger(client, source)
    assert {finding.slot for finding in found.for_a_human} == {"c", "d"}
    assert "c could not be read" in found.report()


def test_the_file_must_be_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SqliteSource(tmp_path / "missing.db")
    assert list(tmp_path.iterdir()) == []
    SqliteLedger(tmp_path / "l.db", "x")
    with pytest.raises(ConfigurationError, match="no slot 'nightl'"):
        SqliteSource(tmp_path / "l.db", owner_ended=["nightl"])


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'nosuch'"):
        source_named("nosuch", None, {})
