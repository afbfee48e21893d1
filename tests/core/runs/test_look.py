"""Which of the listed runs may be the one whose start request was lost: what their stamps tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planasonix.models import Job, PipelineRun
from planasonix.runs import Policy, effects
from planasonix.runs.look import look
from planasonix.runs.record import Record
from planasonix.runs.requests import PipelineRunRequest, SyncRequest

SENT = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TOKEN = {"planasonix_intent": "intent-1"}


def row(kind: str, after: timedelta, **more: Any) -> Any:
    """As a list shows it: of a pipeline run there is its start alone."""
    at = (SENT + after).isoformat()
    shown = {"id": f"r{after}", "status": "succeeded"}
    if kind == "run":
        return PipelineRun.model_validate({**shown, "pipelineId": "t", "startedAt": at, **more})
    return Job.model_validate({**shown, "connection_id": "t", "type": "connection_sync", "created_at": at, **more})


def looked(kind: str, rows: list[Any], **options: Any) -> tuple[list[str], int]:
    """(the ids of what may be ours, how many were read one by one)."""
    request = PipelineRunRequest("t") if kind == "run" else SyncRequest("t")
    record = replace(Record.fresh("intent", request, {}), sent_at=SENT.timestamp())
    steps, reads = look(record, request, Policy(), **options), 0
    effect = next(steps)
    try:
        while True:
            if isinstance(effect, effects.ListSince):
                effect = steps.send(effects.Listed(rows, 0.0))
            elif isinstance(effect, effects.Claimed):
                effect = steps.send(frozenset())
            else:
                assert isinstance(effect, effects.Get)
                reads += 1
                wanted = effect.run_id
                effect = steps.send(next(each for each in rows if each.id == wanted))
    except StopIteration as end:
        return [run.id for run in end.value[1]], reads


def test_a_look_that_comes_long_after_reads_no_job_that_was_created_later() -> None:
    rows = [row("job", HOUR * hours + HOUR / 2) for hours in range(50)]
    assert looked("job", rows, within_seconds=3600.0) == ([rows[0].id], 1)


def test_nor_runs_of_a_pipeline_that_began_a_day_later_or_were_queued_later() -> None:
    rows = [row("run", HOUR * hours + HOUR / 2) for hours in range(50)]
    rows.append(row("run", HOUR * 0.7, id="queued later", queuedAt=(SENT + HOUR * 1.1).isoformat()))
    assert looked("run", rows, within_seconds=3600.0) == ([each.id for each in rows[:25]], 25)


@pytest.mark.parametrize("kind", ["job", "run"])
@pytest.mark.parametrize("status", ["running", "succeeded"])
def test_what_began_before_we_asked_is_not_ours_by_the_clock_that_we_asked_by(kind: str, status: str) -> None:
    before, after = (row(kind, timedelta(seconds=seconds), status=status) for seconds in (-30, 1))
    assert looked(kind, [before, after], own_clock=True)[0] == [after.id]


@pytest.mark.parametrize("kind", ["job", "run"])
def test_by_the_clock_of_another_machine_only_what_had_ended_is_not_ours(kind: str) -> None:
    before, ended = row(kind, timedelta(seconds=-30), status="running"), row(kind, timedelta(seconds=-31))
    assert looked(kind, [before, ended])[0] == [before.id]


@pytest.mark.parametrize("kind", ["job", "run"])
def test_a_foreign_run_from_before_the_lost_request_does_not_stand_in_for_ours(make_world: Any, kind: str) -> None:
    world = make_world(kind=kind, lose_before=1)
    world.add_job("running", age=30.0)
    started = world.run(idempotency="unproven")
    assert (started.how, started.handle.id, started.handle.owned, world.posts) == ("started", "job_2", True, 2)


def test_the_request_of_another_machine_may_have_made_what_seems_older(make_world: Any) -> None:
    """Its clock may be ahead of ours: a second run would be worse than waiting for what may be another's."""
    world = make_world(kind="run")
    world.add_job("running", age=30.0)
    record = replace(Record.fresh("intent-1", world.request, {}), sent_at=world.now - 10.0)
    assert (world.run(record, idempotency="unproven").how, world.posts) == ("adopted", 0)


@pytest.mark.parametrize("kind", ["job", "run"])
def test_what_a_stopped_worker_cancelled_with_its_last_breath_is_not_waited_for(make_world: Any, kind: str) -> None:
    """It could not write down any more which run it was: the next try starts its own, and never comes back to this."""
    world = make_world(kind=kind)
    lost = world.add_job("cancelled", age=5.0)
    record = replace(Record.fresh("intent-1", world.request, {}), sent_at=world.now - 10.0)
    started = world.run(record, idempotency="unproven")
    assert (started.how, started.handle.owned, started.handle.generation, world.posts) == ("started", True, 1, 1)
    assert (world.stored.passed_ids, world.stored.earlier_ids) == ((lost.id,), ())
    assert world.said == [f"the {kind} of the earlier try may be {lost.id}, which ended badly: starting a new one"]


def test_what_it_is_still_cancelling_keeps_the_connection_busy(make_world: Any) -> None:
    world = make_world()
    lost = world.add_job("canceling", age=5.0)
    record = replace(Record.fresh("intent-1", world.request, {}), sent_at=world.now - 10.0)
    started = world.run(record, idempotency="unproven")
    assert (started.how, started.busy_run_id, world.posts) == ("busy", lost.id, 0)


def test_what_was_passed_over_is_passed_over_in_later_looks_and_claimed_by_nobody(make_world: Any) -> None:
    """All of it, also by a try on another machine, whose clock leaves nothing out."""
    world = make_world(lose_before=1)
    passed = [world.add_job(status, age=5.0).id for status in ("failed", "cancelled")]
    record = replace(Record.fresh("intent-1", world.request, {}), sent_at=world.now - 130.0)
    started = world.run(record, idempotency="unproven")
    assert (started.how, started.handle.id, world.posts) == ("started", "job_3", 2)
    assert (world.stored.passed_ids, world.stored.earlier_ids) == (tuple(passed), ())
    asked = replace(world.saved[0], run_id=None, sent_at=world.now - 60.0)
    world.jobs["job_3"] = replace(world.jobs["job_3"], status="running")
    again = world.run(asked, idempotency="unproven")
    assert (again.how, again.handle.id, world.posts) == ("adopted", "job_3", 2)


def test_a_foreign_failure_starts_nothing_while_our_job_may_not_be_listed_yet(make_world: Any) -> None:
    """Without that row the same key would be sent again; it must not bring a new key before ours can be seen."""
    world = make_world()
    record = replace(Record.fresh("intent-1", world.request, {}), sent_at=world.now - 10.0)
    ours, foreign = world.add_job("running", age=9.0), world.add_job("failed", age=5.0)
    world.by_key[record.key] = (ours, record.body)
    del world.jobs[ours.id]
    started = world.run(record, idempotency="unproven")
    assert (started.how, started.busy_run_id, world.posts) == ("busy", None, 0)
    assert world.said == ["the job of the earlier try may not be listed yet: another look follows"]
    world.jobs[ours.id] = ours
    started = world.run(record, idempotency="unproven")
    assert (started.how, started.handle.id, world.posts) == ("adopted", ours.id, 0)
    del world.jobs[ours.id]
    world.now = record.sent_at + Policy().missing_after_seconds
    assert world.run(record, idempotency="unproven").how == "started"
    assert world.stored.passed_ids == (foreign.id,)


def test_where_one_had_been_cancelled_the_one_that_runs_is_waited_for(make_world: Any) -> None:
    world = make_world()
    world.add_job("cancelled", age=9.0)
    alive = world.add_job("running", age=5.0)
    record = replace(Record.fresh("intent-1", world.request, {}), sent_at=world.now - 10.0)
    started = world.run(record, idempotency="unproven")
    assert (started.how, started.handle.id, world.posts) == ("adopted", alive.id, 0)


@pytest.mark.parametrize("echoes", [False, True])
@pytest.mark.parametrize("asked_before", [False, True])
def test_in_the_try_that_asked_a_bad_end_is_its_result_whoever_asked_first(
    make_world: Any, asked_before: bool, echoes: bool
) -> None:
    """The first request left nothing, the second one's answer was lost, and its job failed at once."""
    world = make_world(keys="ignored", lose=1, next_status="failed", echoes=echoes)
    record = replace(Record.fresh("intent-1", world.request, TOKEN), sent_at=world.now - 100.0)
    started = world.run(record if asked_before else None, idempotency="unproven")
    assert (started.run.phase, started.handle.generation, world.posts) == ("failed", 0, 1)


def test_in_the_try_that_asked_one_that_is_being_cancelled_is_waited_for(make_world: Any) -> None:
    world = make_world(lose=1, next_status="canceling")
    started = world.run(idempotency="unproven")
    assert (started.how, started.handle.id, world.posts) == ("adopted", "job_1", 1)


def test_a_definite_refusal_in_this_try_makes_an_earlier_bad_end_no_result_of_it(make_world: Any) -> None:
    """Its connection is busy with another's: the job that our request made before was cancelled, and is due again."""
    world = make_world(keys="ignored")
    world.add_job("cancelled", age=5.0)
    world.busy = True
    record = replace(Record.fresh("intent-1", world.request, {}), sent_at=world.now - 10.0)
    assert world.run(record).how == "busy"
    world.busy = False
    assert world.run(world.stored).how == "started"


def test_in_the_try_that_asked_a_bad_end_is_its_result(make_world: Any) -> None:
    world = make_world(lose=1, next_status="failed")
    started = world.run(idempotency="unproven")
    assert (started.how, started.run.phase, world.posts) == ("adopted", "failed", 1)
