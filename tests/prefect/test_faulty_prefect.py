"""Prefect takes no note, or takes its time, in the moment when that hurts most: the job is not left to nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.schemas.objects import Artifact
from prefect.runtime import flow_run

from planasonix.errors import ConfigurationError
from planasonix.runs import Record, SyncRequest
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync, deferred_attempt, state_watch
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.deferred import run_sync_deferred
from prefect_planasonix.ledger import ArtifactLedger, ArtifactStore, LedgerError, records_of
from prefect_planasonix.ledger_entry import LedgerEntry, entry_of
from prefect_planasonix.owner import RunOwner
from prefect_planasonix.state_watch import FlowRunGivenUpError, StateWatch
from prefect_planasonix.termination import SeenState

ORDERS = "conn_shop_orders"


def fresh_entry() -> LedgerEntry:
    record = Record.fresh("intent", SyncRequest(ORDERS), {})
    return LedgerEntry(f"{ORDERS}/1", RunOwner(flow_run_id=str(uuid4())), replace(record, sent_at=1.0))


@pytest.fixture
def credentials(prefect_server: str, sandbox: RunningSandbox) -> PlanasonixCredentials:
    sandbox.set_speed(50)
    return PlanasonixCredentials(api_key=sandbox.api_key, base_url=sandbox.url)  # pyright: ignore


def test_a_started_job_is_waited_for_though_prefect_refuses_to_note_its_id(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, refused = ArtifactStore.write, list[str]()

    def refuses_once(self: ArtifactStore, entry: LedgerEntry) -> LedgerEntry:
        if entry.record.run_id is not None and not refused:
            refused.append(entry.record.run_id)
            raise LedgerError("The ledger could not be written.")
        return write(self, entry)

    monkeypatch.setattr(ArtifactStore, "write", refuses_once)

    @flow
    def loads() -> Any:
        sync = PlanasonixSync(credentials=credentials, connection_id=ORDERS, poll_interval_seconds=0.3)
        run: Any = sync.trigger()
        [entry] = records_of(prefect_client(), str(flow_run.id))
        return entry.record.run_id, run.wait_for_completion().id

    noted_id, outcome_id = loads()
    assert refused == [noted_id] == [outcome_id]
    assert sandbox.jobs_started() == 1


def test_who_is_interrupted_while_the_id_is_being_noted_knows_it() -> None:
    asked, answered = threading.Event(), threading.Event()

    class Slow:
        def write(self, entry: LedgerEntry) -> LedgerEntry:
            asked.set()
            answered.wait(10)
            return entry

    entry = fresh_entry()
    ledger = ArtifactLedger(Slow(), entry)  # pyright: ignore[reportArgumentType]
    writing = threading.Thread(target=ledger.write, args=(replace(entry.record, run_id="job_1"),))
    writing.start()
    assert asked.wait(10)
    record = ledger.read()
    was_noted = ledger.is_noted
    answered.set()
    writing.join()
    assert record is not None
    assert (record.run_id, was_noted, ledger.is_noted) == ("job_1", False, True)


@pytest.mark.parametrize("sent_at", [1.0, None])
def test_a_refused_note_of_anything_else_is_raised(sent_at: float | None) -> None:
    class Away:
        def write(self, entry: LedgerEntry) -> LedgerEntry:
            raise LedgerError("away")

    entry = fresh_entry()
    ledger = ArtifactLedger(Away(), entry)  # pyright: ignore[reportArgumentType]
    with pytest.raises(LedgerError):
        ledger.write(replace(entry.record, sent_at=sent_at))


def test_a_deferral_that_cannot_be_noted_is_waited_for_here(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ArtifactStore.write

    def no_deferral(self: ArtifactStore, entry: LedgerEntry) -> LedgerEntry:
        if entry.deferral is not None:
            raise LedgerError("The ledger could not be written.")
        return write(self, entry)

    monkeypatch.setattr(ArtifactStore, "write", no_deferral)
    # As in a run of a deployment, which could be suspended.
    monkeypatch.setattr(deferred_attempt, "why_not", lambda owner: None)

    @flow
    def loads() -> Any:
        outcome: Any = run_sync_deferred(credentials, ORDERS, poll_interval_seconds=0.3)
        return outcome.status

    assert loads() == "succeeded"
    assert sandbox.jobs_started() == 1


def test_a_cancel_is_seen_by_a_look_that_takes_longer_than_a_start_waits_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_watch, "READ_SECONDS", 0.1)
    monkeypatch.setattr(state_watch, "LOOK_SECONDS", 0.1)

    class Slow(StateWatch):
        def _read(self) -> SeenState:
            time.sleep(0.5)
            return SeenState("CANCELLING")

    async def main() -> None:
        watch = Slow(RunOwner(flow_run_id=str(uuid4())))
        assert await watch.state(read_seconds=0.1) is None
        with pytest.raises(FlowRunGivenUpError):
            await asyncio.wait_for(watch.while_wanted(asyncio.sleep(20)), 10)

    asyncio.run(main())


def test_a_damaged_entry_says_which_artifact_it_is_and_what_to_do() -> None:
    artifact = Artifact(id=uuid4(), key="planasonix-ledger-conn-shop-orders", data="tidied up")
    with pytest.raises(ConfigurationError, match=f"delete the artifact {artifact.id}"):
        entry_of(artifact)
