"""Which call takes over what an earlier try wrote, where the calls know of each other by the ledger only."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.runtime import flow_run

from planasonix.runs import Record, SyncRequest
from prefect_planasonix import claims
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.intent import Tries, wish_name
from prefect_planasonix.ledger import ArtifactStore, LedgerError
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.owner import RunOwner

REQUEST = SyncRequest("conn_a")
NAME = wish_name(REQUEST, None)


pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def flow_run_id(prefect_server: str) -> str:
    """A run for the claims of this module; what a test makes of it has slots of its own."""

    @flow
    def nothing() -> str:
        return str(flow_run.id)

    return nothing()


class Shelf:
    """The entries of a run. `on_write` may hold a write up, as a slow server does, or lose it."""

    def __init__(self, flow_run_id: str) -> None:
        self.flow_run_id = flow_run_id
        self.run = uuid4().hex
        self.slots: dict[str, LedgerEntry] = {}
        self.writes = 0
        self.on_write: Any = lambda entry: None

    def task(self, run: str, execution: str, *, tries: tuple[int, int] = (1, 1)) -> RunOwner:
        return RunOwner(
            flow_run_id=self.flow_run_id,
            task_run_id=run,
            task_key=f"load-{self.run}",
            dynamic_key=run,
            tries=tries,
            execution=execution,
        )

    def entries(self, target_id: str) -> list[LedgerEntry]:
        return list(self.slots.values())

    def write(self, entry: LedgerEntry) -> LedgerEntry:
        self.on_write(entry)
        self.writes += 1
        self.slots[entry.slot] = entry
        return entry


@pytest.fixture
def shelf(flow_run_id: str) -> Shelf:
    return Shelf(flow_run_id)


def wish_of(shelf: Shelf, owner: RunOwner, client: Any = None) -> Any:
    # Each in a process of its own: none shares what it has taken.
    store = cast(ArtifactStore, shelf)
    return claims.wish_of(client or prefect_client(), store, Tries(), owner, 0, NAME, "conn_a")


def first_try(shelf: Shelf, *runs: str) -> None:
    for run in runs:
        owner = shelf.task(run, "1/a")
        wish = wish_of(shelf, owner)
        record = replace(Record.fresh(wish.intent, REQUEST, {}), run_id=f"job_{run}")
        shelf.write(LedgerEntry(wish.slot, owner, record, tries=owner.tries, claim=owner.claim))


def test_identical_tasks_of_one_execution_have_wishes_of_their_own(shelf: Shelf) -> None:
    first_try(shelf, "t1", "t2")
    assert len({entry.record.intent for entry in shelf.slots.values()}) == 2


@pytest.mark.parametrize(("execution", "tries"), [("2/b", (2, 1)), ("1/b", (1, 1))], ids=["retry", "resume"])
def test_a_later_execution_finds_each_of_them_once(shelf: Shelf, execution: str, tries: tuple[int, int]) -> None:
    first_try(shelf, "t1", "t2")
    found = [wish_of(shelf, shelf.task(run, execution, tries=tries)).entry.record.run_id for run in ("t3", "t4")]
    assert sorted(found) == ["job_t1", "job_t2"]
    assert wish_of(shelf, shelf.task("t5", execution, tries=tries)).entry is None


def test_slow_writes_let_no_two_processes_share_a_job(shelf: Shelf) -> None:
    first_try(shelf, "t1", "t2")
    both_have_read, all_have_claimed = threading.Barrier(2), threading.Barrier(2)
    read = shelf.entries

    def slowly_read(target_id: str) -> list[LedgerEntry]:
        found = read(target_id)
        both_have_read.wait(60)
        return found

    shelf.entries = slowly_read  # type: ignore[method-assign]
    # No entry shows a claim before both callers have decided.
    shelf.on_write = lambda entry: all_have_claimed.wait(60)
    with ThreadPoolExecutor(2) as processes:
        asked = [processes.submit(wish_of, shelf, shelf.task(run, "2/b", tries=(2, 1))) for run in ("t3", "t4")]
    found = {each.result().entry.record.run_id: each.result().entry.claim for each in asked}
    assert set(found) == {"job_t1", "job_t2"}
    assert {entry.record.run_id: entry.claim for entry in shelf.slots.values()} == found


def test_one_job_for_three_processes_is_taken_over_by_one(shelf: Shelf) -> None:
    first_try(shelf, "t1")
    before = dict(shelf.slots)
    found: list[Any] = []
    for run in ("t3", "t4", "t5"):
        # None sees what the others have written.
        shelf.slots = dict(before)
        found.append(wish_of(shelf, shelf.task(run, "2/b", tries=(2, 1))))
    assert [each.entry is None for each in found] == [False, True, True]
    assert len({each.intent for each in found}) == 3


def test_who_died_between_its_claim_and_its_entry_has_it_in_its_next_try(shelf: Shelf) -> None:
    first_try(shelf, "t1")

    def lost(entry: LedgerEntry) -> None:
        raise LedgerError("gone")

    shelf.on_write = lost
    with pytest.raises(LedgerError):
        wish_of(shelf, shelf.task("t3", "2/b", tries=(2, 1)))
    shelf.on_write = lambda entry: None
    assert wish_of(shelf, shelf.task("t4", "2/b", tries=(2, 1))).entry is None
    assert wish_of(shelf, shelf.task("t3", "2/b", tries=(2, 2))).entry.record.run_id == "job_t1"


def test_a_claim_that_cannot_be_made_is_a_ledger_error(shelf: Shelf) -> None:
    first_try(shelf, "t1")
    before = shelf.writes
    gone = str(UUID(int=0))
    with pytest.raises(LedgerError, match="claimed"):
        wish_of(shelf, replace(shelf.task("t3", "2/b", tries=(2, 1)), flow_run_id=gone))
    assert shelf.writes == before


def test_a_task_retry_keeps_its_wish_without_a_word_to_the_ledger(shelf: Shelf) -> None:
    first_try(shelf, "t1", "t2")
    before = shelf.writes
    again = wish_of(shelf, shelf.task("t2", "1/a", tries=(1, 2)))
    assert again.entry.record.run_id == "job_t2"
    assert shelf.writes == before


def test_a_task_retry_in_another_process_keeps_what_the_task_has_taken_over(shelf: Shelf) -> None:
    first_try(shelf, "t1", "t2")
    older, newer = shelf.slots
    taken = replace(shelf.slots[newer], claim=("2/b", "t3"))
    shelf.slots = {older: shelf.slots[older], newer: taken}
    again = wish_of(shelf, shelf.task("t3", "2/b", tries=(2, 2)))
    assert again.entry.record.run_id == "job_t2"


def test_the_claim_is_kept_in_the_document_and_old_documents_have_none() -> None:
    owner = RunOwner(flow_run_id=str(uuid4()), execution="1/a")
    entry = LedgerEntry("s", owner, Record.fresh("i", REQUEST, {}), claim=owner.claim)
    document = entry.to_document()
    assert LedgerEntry.from_document(document).claim == ("1/a", "flow")
    del document["claim"]
    assert LedgerEntry.from_document(document).claim is None
