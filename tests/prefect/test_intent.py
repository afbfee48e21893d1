"""Which wish a call is, by what the ledger of its flow run holds."""

from dataclasses import replace
from typing import Any

from planasonix.runs import BackfillRequest, Record, SyncRequest
from prefect_planasonix.intent import Tries, wish_name
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.owner import RunOwner

REQUEST = SyncRequest("conn_a")
NAME = wish_name(REQUEST, None)
FLOW = RunOwner(flow_run_id="f1", flow_name="nightly", tries=(1, 0))


def task(run: str, key: str = "load-1", dynamic: str = "d1", tries: tuple[int, int] = (1, 1), **more: Any) -> RunOwner:
    return RunOwner(flow_run_id="f1", task_run_id=run, task_key=key, dynamic_key=dynamic, tries=tries, **more)


def written(owner: RunOwner, slot: str, intent: str, **record: Any) -> LedgerEntry:
    fresh = Record.fresh(intent, REQUEST, {})
    return LedgerEntry(slot=slot, owner=owner, record=replace(fresh, **record))


def test_identical_calls_of_one_try_are_different_wishes() -> None:
    tries = Tries()
    wishes = [tries.take(FLOW, tries.number_of(FLOW, NAME), [], NAME) for _ in range(3)]
    assert len({wish.intent for wish in wishes}) == 3
    assert [wish.number for wish in wishes] == [0, 1, 2]


def test_a_new_try_or_process_counts_anew_and_finds_the_same_wishes() -> None:
    first, again = Tries(), Tries()
    wish = first.take(FLOW, first.number_of(FLOW, NAME), [], NAME)
    entry = written(FLOW, wish.slot, wish.intent)
    assert again.take(FLOW, again.number_of(FLOW, NAME), [entry], NAME).intent == wish.intent
    retried = replace(FLOW, tries=(2, 0))
    assert first.take(retried, first.number_of(retried, NAME), [entry], NAME).intent == wish.intent


def test_a_task_retry_keeps_the_wish() -> None:
    tries = Tries()
    one = task("t1")
    wish = tries.take(one, tries.number_of(one, NAME), [], NAME)
    entry = written(one, wish.slot, wish.intent)
    retried = replace(one, tries=(1, 2))
    assert tries.take(retried, tries.number_of(retried, NAME), [entry], NAME).intent == wish.intent


def test_a_flow_retry_keeps_the_wish_though_prefect_draws_a_new_number() -> None:
    tries = Tries()
    one = task("t1", dynamic="d1")
    wish = tries.take(one, tries.number_of(one, NAME), [], NAME)
    entry = written(one, wish.slot, wish.intent, verdict="succeeded")
    retried = task("t2", dynamic="d2", tries=(2, 1))
    assert tries.take(retried, tries.number_of(retried, NAME), [entry], NAME).intent == wish.intent


def test_the_same_for_two_identical_calls_which_do_not_share_a_wish() -> None:
    tries = Tries()
    entries = []
    for run, dynamic in (("t1", "d1"), ("t2", "d2")):
        owner = task(run, dynamic=dynamic)
        wish = tries.take(owner, tries.number_of(owner, NAME), entries, NAME)
        entries.append(written(owner, wish.slot, wish.intent))
    again = [
        tries.take(owner, tries.number_of(owner, NAME), entries, NAME).intent
        for owner in (task("t3", dynamic="d3", tries=(2, 1)), task("t4", dynamic="d4", tries=(2, 1)))
    ]
    assert sorted(again) == sorted(entry.record.intent for entry in entries)


def test_a_call_behind_a_kept_result_is_a_new_wish() -> None:
    tries = Tries()
    kept = task("t1", persists=True)
    entry = written(kept, tries.take(kept, 0, [], NAME).slot, "i1", verdict="succeeded")
    later = task("t2", dynamic="d2", tries=(2, 1), persists=True)
    assert tries.take(later, 0, [entry], NAME).entry is None
    alive = replace(entry, record=replace(entry.record, verdict=None))
    tries = Tries()
    assert tries.take(later, 0, [alive], NAME).intent == "i1"


def test_another_task_or_request_or_run_key_or_flow_run_is_another_wish() -> None:
    tries = Tries()
    one = task("t1")
    wish = tries.take(one, 0, [], NAME)
    entry = written(one, wish.slot, wish.intent)
    other = task("t2", key="other-2", dynamic="d2", tries=(2, 1))
    assert tries.take(other, 0, [entry], NAME).intent != wish.intent
    days = BackfillRequest("conn_a", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")  # pyright: ignore
    assert len({NAME, wish_name(days, None), wish_name(REQUEST, "mine")}) == 3
    new_run = replace(one, flow_run_id="f2")
    assert tries.take(new_run, 0, [], NAME).intent != wish.intent


def test_a_job_that_somebody_cancelled_is_remembered_by_the_process_only() -> None:
    tries = Tries()
    record = replace(Record.fresh("i", REQUEST, {}), run_id="job_1", verdict="cancelled")
    tries.note_end(FLOW, record)
    assert tries.was_cancelled(FLOW, record)
    assert not Tries().was_cancelled(FLOW, record)
    assert not tries.was_cancelled(replace(FLOW, flow_run_id="f2"), record)
