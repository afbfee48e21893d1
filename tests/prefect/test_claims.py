"""Which call takes over what an earlier try wrote, where the calls know of each other by the ledger only."""

from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest

from planasonix.runs import Record, SyncRequest
from prefect_planasonix import claims
from prefect_planasonix.intent import Tries, wish_name
from prefect_planasonix.ledger import ArtifactStore
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.owner import RunOwner

REQUEST = SyncRequest("conn_a")
NAME = wish_name(REQUEST, None)


def task(run: str, execution: str, *, tries: tuple[int, int] = (1, 1), is_apart: bool = True) -> RunOwner:
    return RunOwner(
        flow_run_id="f1",
        task_run_id=run,
        task_key="load-1",
        dynamic_key=run,
        tries=tries,
        execution=execution,
        is_apart=is_apart,
    )


class Shelf:
    """The entries of a run, and what somebody else writes while this call waits."""

    def __init__(self, *entries: LedgerEntry) -> None:
        self.slots = {entry.slot: entry for entry in entries}
        self.writes = 0

    def entries(self, target_id: str) -> list[LedgerEntry]:
        return list(self.slots.values())

    def write(self, entry: LedgerEntry) -> LedgerEntry:
        self.writes += 1
        self.slots[entry.slot] = entry
        return entry


def wish_of(shelf: Shelf, owner: RunOwner) -> Any:
    # Each in a process of its own: none shares what it has taken.
    return claims.wish_of(cast(ArtifactStore, shelf), Tries(), owner, 0, NAME, "conn_a")


def first_try(shelf: Shelf, *runs: str) -> None:
    for run in runs:
        owner = task(run, "1/a")
        wish = wish_of(shelf, owner)
        record = replace(Record.fresh(wish.intent, REQUEST, {}), run_id=f"job_{run}")
        shelf.write(LedgerEntry(wish.slot, owner, record, tries=owner.tries, claim=owner.claim))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SETTLED_SECONDS", 0.0)


def test_identical_tasks_of_one_execution_have_wishes_of_their_own() -> None:
    shelf = Shelf()
    first_try(shelf, "t1", "t2")
    assert len({entry.record.intent for entry in shelf.slots.values()}) == 2


@pytest.mark.parametrize(("execution", "tries"), [("2/b", (2, 1)), ("1/b", (1, 1))], ids=["retry", "resume"])
def test_a_later_execution_finds_each_of_them_once(execution: str, tries: tuple[int, int]) -> None:
    shelf = Shelf()
    first_try(shelf, "t1", "t2")
    found = [wish_of(shelf, task(run, execution, tries=tries)).entry.record.run_id for run in ("t3", "t4")]
    assert sorted(found) == ["job_t1", "job_t2"]
    assert wish_of(shelf, task("t5", execution, tries=tries)).entry is None


def test_who_was_overwritten_while_it_waited_takes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    first_try(shelf, "t1", "t2")
    taken: list[str] = []

    def somebody_else(seconds: float) -> None:
        if not taken:
            mine = next(entry for entry in shelf.slots.values() if entry.claim == ("2/b", "t3"))
            taken.append(str(mine.record.run_id))
            shelf.slots[mine.slot] = replace(mine, claim=("2/b", "t4"))

    monkeypatch.setattr(claims.time, "sleep", somebody_else)
    found = wish_of(shelf, task("t3", "2/b", tries=(2, 1))).entry.record.run_id
    assert {found, *taken} == {"job_t1", "job_t2"}


def test_a_task_retry_keeps_its_wish_without_a_word_to_the_ledger() -> None:
    shelf = Shelf()
    first_try(shelf, "t1", "t2")
    before = shelf.writes
    again = wish_of(shelf, task("t2", "1/a", tries=(1, 2)))
    assert again.entry.record.run_id == "job_t2"
    assert shelf.writes == before


def test_a_task_retry_in_another_process_keeps_what_the_task_has_taken_over() -> None:
    shelf = Shelf()
    first_try(shelf, "t1", "t2")
    older, newer = shelf.slots
    taken = replace(shelf.slots[newer], claim=("2/b", "t3"))
    shelf.slots = {older: shelf.slots[older], newer: taken}
    again = wish_of(shelf, task("t3", "2/b", tries=(2, 2)))
    assert again.entry.record.run_id == "job_t2"


def test_the_claim_is_kept_in_the_document_and_old_documents_have_none() -> None:
    owner = RunOwner(flow_run_id=str(uuid4()), execution="1/a")
    entry = LedgerEntry("s", owner, Record.fresh("i", REQUEST, {}), claim=owner.claim)
    document = entry.to_document()
    assert LedgerEntry.from_document(document).claim == ("1/a", "flow")
    del document["claim"]
    assert LedgerEntry.from_document(document).claim is None
