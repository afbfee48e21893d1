"""Rounds of a staged backfill, one rule at a time; `test_staged_machine` lets them meet."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from planasonix.errors import (
    ConfigurationError,
    PermissionDeniedError,
    PlanasonixError,
    RunCancelledError,
    RunFailedError,
)
from planasonix.runs import MemoryBook, Policy, Provenance, StagedBackfill, planned, raise_for_stages, report_stages
from planasonix.runs.effects import Cancel, Post
from planasonix.runs.staged import Advance
from planasonix.runs.staged_cancel import cancel_active
from planasonix.runs.stages import HEADER, Header, ReadEntry, StageEntry, numbers_in, ranges_of
from tests.core.runs.staged_world import Killed, StagedWorld, attempts, staged


@pytest.fixture
def world() -> StagedWorld:
    return StagedWorld()


def run_on(world: StagedWorld, asked: StagedBackfill, *ends: str, **options: Any) -> Any:
    """Advance until it ended; each backfill that is waited for ends as the next of `ends` says, then well."""
    words = list(ends)
    for _ in range(100):
        progress = world.advance(asked, **options)
        if progress.ended:
            return progress
        for handle in progress.active:
            world.now += 60
            world.end(handle.id, words.pop(0) if words else "completed")
    raise AssertionError("it goes on and on")


def test_all_stages_one_after_the_other(world: StagedWorld) -> None:
    asked = staged(4)
    progress = run_on(world, asked)
    assert (progress.done, progress.failed, progress.to_do) == (4, (), 0)
    outcome = world.outcome(asked)
    assert (outcome.status, outcome.rows_loaded) == ("succeeded", 40)
    assert [(table.name, table.rows_loaded) for table in outcome.tables] == [("public.orders", 40)]
    assert "(in 4 stages)" in report_stages(outcome)
    raise_for_stages(outcome)
    # And again, in the same wish: nothing to do.
    posts = world.posts
    assert world.advance(asked, attempt="try-2").ended
    assert world.posts == posts == 4


def test_as_many_at_a_time_as_allowed() -> None:
    world = StagedWorld(parallel=10)
    asked = staged(5, max_active_stages=3)
    assert len(world.advance(asked).active) == 3
    world.end("bf_2")
    progress = world.advance(asked)
    assert [handle.id for handle in progress.active] == ["bf_1", "bf_3", "bf_4"]
    assert (progress.done, progress.to_do) == (1, 1)


def test_own_stages_that_keep_the_connection_busy_are_waited_for() -> None:
    """The API takes two at a time, the user said three."""
    world = StagedWorld(parallel=2)
    asked = staged(4, max_active_stages=3)
    for if_running in ("wait", "attach", "skip", "fail"):
        progress = world.advance(asked, if_running=if_running)
        assert (len(progress.active), progress.ended, progress.skipped) == (2, False, False)
    assert run_on(world, asked).done == 4
    assert len(world.runs) == 4


def test_a_failed_stage_stays_failed_in_its_attempt_and_is_started_again_in_the_next(world: StagedWorld) -> None:
    asked = staged(4)
    assert run_on(world, asked, "completed", "failed").failed == ("20260102T000000Z",)
    outcome = world.outcome(asked)
    assert [stage.state for stage in outcome.stages] == ["done", "failed", "done", "done"]
    with pytest.raises(RunFailedError, match="starts only the stage that is not done") as caught:
        raise_for_stages(outcome)
    assert caught.value.run_id == "bf_2"
    assert run_on(world, asked).failed == ("20260102T000000Z",)
    assert len(world.runs) == 4
    assert run_on(world, asked, attempt="try-2").done == 4
    assert len(world.runs) == 5
    assert [world.made[run.id].generation for run in world.of_stage(asked, 1)] == [0, 1]


@pytest.mark.parametrize(
    ("ends", "most", "started"),
    [
        (["failed"] * 9, 3, 3),
        (["failed"] * 9, 1, 1),
        (["failed"] * 9, None, 9),
        (["failed", "failed", "completed", "failed", "failed", "completed", "failed", "failed", "failed"], 3, 9),
        (["completed", "failed", "failed", "failed"], 3, 4),
    ],
)
def test_after_failures_in_a_row_nothing_new_starts(
    world: StagedWorld, ends: list[str], most: int | None, started: int
) -> None:
    asked = staged(9, stop_after_failures=most)
    progress = run_on(world, asked, *ends)
    assert len(world.runs) == started
    assert progress.to_do == 9 - started
    assert world.outcome(asked).count("not_started") == 9 - started


def test_what_runs_when_it_stops_is_left_to_end() -> None:
    world = StagedWorld(parallel=10)
    asked = staged(6, max_active_stages=3, stop_after_failures=2)
    world.advance(asked)
    world.end("bf_1", "failed")
    world.end("bf_2", "failed")
    progress = world.advance(asked)
    assert ([handle.id for handle in progress.active], progress.ended) == (["bf_3"], False)
    world.end("bf_3")
    progress = world.advance(asked)
    assert (progress.ended, progress.done, progress.to_do) == (True, 1, 3)
    assert "CANCEL" not in world.trace


def test_failures_count_in_the_order_they_ended() -> None:
    """The first stage ended last, and well: two failures in a row came before it."""
    world = StagedWorld(parallel=10)
    asked = staged(6, max_active_stages=3, stop_after_failures=2)
    world.advance(asked)
    for run_id, status in (("bf_2", "failed"), ("bf_1", "completed"), ("bf_3", "failed")):
        world.now += 10
        world.end(run_id, status)
    assert len(world.advance(asked).active) == 3
    assert world.entries[HEADER]["failures_in_a_row"] == 1


def test_a_stage_that_somebody_cancelled_ends_the_attempt_without_a_retry(world: StagedWorld) -> None:
    asked = staged(4)
    progress = run_on(world, asked, "completed", "cancelled")
    assert (progress.ended, progress.to_do) == (True, 2)
    with pytest.raises(RunCancelledError):
        raise_for_stages(world.outcome(asked))


@pytest.mark.parametrize(
    ("ends", "on_clear", "started_again"),
    [
        (["completed", "failed"], None, 1),
        (["completed", "failed"], "resume", 1),
        (["completed", "failed"], "restart", 4),
        ([], None, 4),
        ([], "resume", 0),
        ([], "restart", 4),
    ],
)
def test_a_clear_resumes_or_restarts(world: StagedWorld, ends: list[str], on_clear: Any, started_again: int) -> None:
    asked = staged(4, on_clear=on_clear)
    run_on(world, asked, *ends)
    before = len(world.runs)
    progress = run_on(world, asked, intent="wish-2", attempt="try-2")
    assert (progress.done, len(world.runs) - before) == (4, started_again)
    assert world.outcome(asked, "wish-2").status == "succeeded"


def test_a_clear_puts_an_end_to_what_the_older_wish_left_running() -> None:
    world = StagedWorld(parallel=10)
    asked = staged(5, max_active_stages=3)
    world.advance(asked)
    world.end("bf_2")
    progress = world.advance(asked, intent="wish-2", attempt="try-2")
    assert world.trace.count("CANCEL") == 2
    assert {run.status for run in (world.runs["bf_1"], world.runs["bf_3"])} == {"cancelled"}
    assert (progress.done, len(progress.active)) == (1, 3), "bf_2 ended well while nobody looked"


def test_an_edited_request_loads_all_stages_anew_and_stops_the_old_one(world: StagedWorld) -> None:
    run_on(world, staged(2))
    world.advance(staged(4), intent="wish-1", attempt="try-2")
    edited = staged(4, tables=("public.orders",))
    progress = world.advance(edited, attempt="try-3")
    assert world.runs["bf_3"].status == "cancelled"
    assert (progress.done, progress.to_do) == (0, 3)
    assert run_on(world, edited, attempt="try-3").done == 4


def test_a_longer_window_loads_only_what_is_new(world: StagedWorld) -> None:
    run_on(world, staged(2))
    asked = staged(4, on_clear="resume")
    assert run_on(world, asked, intent="wish-2").done == 4
    assert len(world.runs) == 4


def test_a_stage_that_left_the_plan_is_stopped(world: StagedWorld) -> None:
    world.advance(staged(3))
    world.end("bf_1")
    world.advance(staged(3))
    progress = world.advance(staged(1), attempt="try-2")
    assert (progress.ended, progress.done) == (True, 1)
    assert world.runs["bf_2"].status == "cancelled"


def test_found_failed_by_the_next_attempt_it_counts_to_the_one_before(world: StagedWorld) -> None:
    asked = staged(2, stop_after_failures=1)
    world.advance(asked)
    world.end("bf_1", "failed")
    progress = world.advance(asked, attempt="try-2")
    assert ([handle.id for handle in progress.active], progress.failed) == (["bf_2"], ())
    assert world.of_stage(asked, 0)[1].id == "bf_2"


def test_past_its_deadline_a_stage_is_cancelled_and_failed(world: StagedWorld) -> None:
    asked = staged(2)
    world.advance(asked, timeout_seconds=100)
    world.now += 200
    world.wanted = frozenset()
    progress = world.perform(_unprotected(world, asked))
    assert progress.failed == ("20260101T000000Z",)
    assert world.runs["bf_1"].status == "cancelled"
    assert "timed_out" in report_stages(world.outcome(asked))


def _unprotected(world: StagedWorld, asked: StagedBackfill) -> Any:
    policy = Policy(timeout_seconds=100)
    return Advance(asked, "wish-1", "try-1", Provenance("test", "a test"), policy, lambda: world.now).steps()


def test_busy_with_somebody_elses_run(world: StagedWorld) -> None:
    asked = staged(2)
    other = world.foreign()
    progress = world.advance(asked)
    assert (progress.active, progress.ended, progress.busy_since) == ((), False, world.now)
    began = world.now
    world.now += 100
    assert world.advance(asked).busy_since == began
    world.end(other.id)
    progress = world.advance(asked)
    assert (len(progress.active), progress.busy_since) == (1, None)


def test_skip_ends_the_round_unfinished(world: StagedWorld) -> None:
    asked = staged(2)
    world.foreign()
    progress = world.advance(asked, if_running="skip")
    assert (progress.ended, progress.skipped, progress.to_do) == (True, True, 2)
    assert world.outcome(asked).status == "unfinished"


def test_stages_that_cannot_be_started_fail_and_say_why(world: StagedWorld) -> None:
    asked = staged(5)
    world.foreign()
    progress = world.advance(asked, if_running="fail")
    assert (progress.ended, len(progress.failed), progress.to_do) == (True, 3, 2)
    assert "It could not be started: HTTP 409: busy" in report_stages(world.outcome(asked))
    world.end_all()
    assert run_on(world, asked, attempt="try-2").done == 5


@pytest.mark.parametrize("running", [0, 1])
def test_a_refusal_that_all_would_meet_is_raised_unless_one_runs(running: int) -> None:
    world = StagedWorld(parallel=10)
    asked = staged(6, max_active_stages=2)
    if running:
        world.advance(staged(6))
    do = world.do

    def refusing(effect: Any) -> Any:
        if isinstance(effect, Post):
            world.trace.append("POST")
            raise PermissionDeniedError("not with this key", status_code=403, attempts=attempts(1))
        return do(effect)

    world.do = refusing  # type: ignore[method-assign]
    if not running:
        with pytest.raises(PermissionDeniedError):
            world.advance(asked)
        assert world.posts == 1
        return
    progress = world.advance(asked)
    assert ([handle.id for handle in progress.active], len(progress.failed)) == (["bf_1"], 1)
    world.end("bf_1")
    progress = world.advance(asked)
    assert (progress.ended, progress.done, progress.to_do) == (True, 1, 4)
    assert "not with this key" in report_stages(world.outcome(asked))


def test_a_lost_answer_is_found_again_in_the_next_attempt() -> None:
    for keys, told in (("honoured", "honoured"), ("ignored", "unproven")):
        world = StagedWorld(keys=keys)
        asked = staged(2)
        world.fates = ["lost_after"] * 3
        world.advance(asked, idempotency=told)
        assert run_on(world, asked, attempt="try-2", idempotency=told).done == 2
        assert len(world.runs) == 2


@pytest.mark.parametrize("inside", [False, True])
def test_a_crash_anywhere_makes_no_second_job(inside: bool) -> None:
    """Killed at each step of the first two rounds, and then gone on with, by the same attempt or the next."""
    for attempt in ("try-1", "try-2"):
        for at in range(40):
            world = StagedWorld(echoes=True, parallel=2)
            asked = staged(3, max_active_stages=2)
            try:
                world.advance(asked, crash_at=at, inside=inside)
                world.end_all()
                world.advance(asked, crash_at=at, inside=inside)
            except Killed:
                pass
            assert run_on(world, asked, attempt=attempt).done == 3
            assert len(world.runs) == 3


def test_cancelling_asks_all_before_it_waits_for_one() -> None:
    world = StagedWorld(parallel=10)
    asked = staged(5, max_active_stages=3)
    world.advance(asked)
    began = world.now
    told = world.cancel(patience_seconds=30)
    assert [run.status for run in world.runs.values()] == ["cancelled"] * 3
    assert world.now - began < 10
    assert len(told) == 3
    assert all("was cancelled" in sentence for sentence in told)
    assert run_on(world, asked, attempt="try-2").done == 5


def test_cancelling_finds_the_job_of_a_lost_answer() -> None:
    world = StagedWorld(echoes=True)
    asked = staged(2)
    with pytest.raises(Killed):
        world.advance(asked, crash_at=Post, inside=True)
    assert world.entries["20260101T000000Z"]["run_id"] is None, "killed between the POST and its answer"
    world.cancel()
    assert [run.status for run in world.runs.values()] == ["cancelled"]


def test_cancelling_leaves_what_may_be_somebody_elses(world: StagedWorld) -> None:
    """Without an echo, and with keys that prove nothing, the one backfill that fits may be another's."""
    asked = staged(2)
    with pytest.raises(Killed):
        world.advance(asked, crash_at=Post, inside=True)
    assert "is not known" in world.cancel()[0]
    assert world.live()


def test_the_index_of_a_plan_spares_reading_every_entry(world: StagedWorld) -> None:
    asked = staged(20)
    run_on(world, asked, intent="wish-1")
    reads: list[str] = []
    do = world.do

    def counting(effect: Any) -> Any:
        if isinstance(effect, ReadEntry):
            reads.append(effect.name)
        return do(effect)

    world.do = counting  # type: ignore[method-assign]
    world.advance(asked, attempt="try-2")
    assert reads == [HEADER]
    assert world.entries[HEADER]["done"] == [[0, 19]]


def test_the_dry_run_says_what_is_done_and_why_not(world: StagedWorld) -> None:
    asked = staged(4, stop_after_failures=1)
    run_on(world, asked, "completed", "failed")
    book = MemoryBook()
    for name, entry in world.entries.items():
        book.write(name, entry)
    rows = planned(book, asked)
    assert [row.state for row in rows] == ["done", "failed", "to_do", "to_do"]
    assert [row.why for row in rows[:3]] == ["loaded by bf_1", "failed (failed): is started again", "never started"]
    anew = planned(book, staged(4, on_clear="restart"))
    assert [row.state for row in anew] == ["to_do", "failed", "to_do", "to_do"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_active_stages": 0}, "max_active_stages"),
        ({"max_active_stages": True}, "max_active_stages"),
        ({"stop_after_failures": 0}, "stop_after_failures"),
        ({"on_clear": "again"}, "on_clear"),
    ],
)
def test_bad_settings_are_named(options: Any, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        staged(**options)
    assert caught.value.field == field


def test_header_and_entry_come_back_also_from_a_newer_version(world: StagedWorld) -> None:
    asked = staged(3)
    world.advance(asked)
    header = world.entries[HEADER]
    assert Header.from_dict({**header, "version": 9, "new": 1}).to_dict() == {**header, "version": 9}
    entry = world.entries["20260101T000000Z"]
    assert StageEntry.from_dict({**entry, "new": 1}).to_dict() == entry
    with pytest.raises(ConfigurationError):
        Header.from_dict({"some": "thing"})


def test_ranges() -> None:
    assert ranges_of([5, 1, 2, 3, 9]) == ((1, 3), (5, 5), (9, 9))
    assert numbers_in(ranges_of([5, 1, 2, 3, 9])) == {1, 2, 3, 5, 9}


def test_a_book_that_fails_is_no_failure_of_a_stage(world: StagedWorld) -> None:
    class Broken(PlanasonixError):
        pass

    asked = staged(2)
    do = world.do

    def failing(effect: Any) -> Any:
        if getattr(effect, "name", None) == "20260101T000000Z" and hasattr(effect, "entry"):
            raise Broken("the store is away")
        return do(effect)

    world.do = failing  # type: ignore[method-assign]
    with pytest.raises(Broken):
        world.advance(asked)
    assert not world.runs


# --- what the state machine found, told plainly -----------------------------------------------------------------------


def test_edited_and_edited_back_a_stage_does_not_meet_its_own_old_key(world: StagedWorld) -> None:
    """A server that honours keys would replay the backfill that was cancelled for the edit."""
    first, edited = staged(1), staged(1, tables=("public.orders",))
    world.advance(first, idempotency="honoured")
    world.advance(edited, attempt="try-2", idempotency="honoured")
    progress = world.advance(first, attempt="try-3", idempotency="honoured")
    assert [run.status for run in world.runs.values()] == ["cancelled", "cancelled", "running"]
    assert [handle.id for handle in progress.active] == ["bf_3"]


@pytest.mark.parametrize("inside", [False, True])
def test_killed_while_it_ends_the_job_of_a_request_before_the_edit(inside: bool) -> None:
    """What is written while the older job is named and cancelled belongs to the older request."""
    for at in range(30):
        world = StagedWorld(echoes=True)
        world.fates = ["lost_after"] * 3
        world.advance(staged(1), idempotency="honoured")
        edited = staged(1, tables=("public.orders",))
        with suppress(Killed):
            world.advance(edited, attempt="try-2", idempotency="honoured", crash_at=at, inside=inside)
        assert run_on(world, edited, attempt="try-3", idempotency="honoured").done == 1
        assert [run.status for run in world.runs.values()] == ["cancelled", "completed"]


def test_a_clear_finds_the_job_of_a_lost_answer_before_anything_starts() -> None:
    """The stage failed, since nobody knew of a job; there is one, and nobody else would ever end it."""
    world = StagedWorld(echoes=True, parallel=10)
    world.fates = ["lost_after"] * 3
    progress = world.advance(staged(3, stop_after_failures=1), idempotency="honoured")
    assert (progress.ended, len(progress.failed)) == (True, 1)
    world.advance(staged(3, on_clear="restart"), intent="wish-2", attempt="try-2", idempotency="honoured")
    assert [run.status for run in world.runs.values()] == ["cancelled", "running"]


def test_and_takes_it_for_done_if_it_loaded_the_stage_meanwhile() -> None:
    world = StagedWorld(echoes=True)
    world.fates = ["lost_after"] * 3
    world.advance(staged(2, stop_after_failures=1), idempotency="honoured")
    world.end_all()
    progress = world.advance(staged(2), intent="wish-2", attempt="try-2", idempotency="honoured")
    assert (progress.done, len(world.runs)) == (1, 2)


def test_cancelling_finds_it_too() -> None:
    world = StagedWorld(echoes=True)
    world.fates = ["lost_after"] * 3
    world.advance(staged(2, stop_after_failures=1), idempotency="honoured")
    world.cancel()
    assert not world.live()


def test_killed_while_it_cancels_the_end_is_nobody_elses_doing() -> None:
    """Found cancelled or being cancelled, such a stage is started again: no person has said no."""
    for at in range(12):
        world = StagedWorld()
        asked = staged(2)
        world.advance(asked)
        with suppress(Killed):
            world.perform(cancel_active(Policy(), lambda: world.now), crash_at=at, inside=True)  # noqa: B023
        for _ in range(2):
            progress = world.advance(asked)
            assert not progress.ended
            world.pass_time(10)
        assert run_on(world, asked).done == 2


def test_a_stage_that_was_loaded_while_it_was_given_up_is_done(world: StagedWorld) -> None:
    asked = staged(2)
    world.advance(asked)
    world.end_all()
    world.cancel()
    progress = world.advance(asked, intent="wish-2", attempt="try-2")
    assert (progress.done, len(world.runs)) == (1, 2)


def test_a_lost_answer_is_not_asked_for_again_in_its_attempt(world: StagedWorld) -> None:
    asked = staged(2)
    world.parallel = 10
    world.fates = ["lost_after"] * 3
    for _ in range(3):
        progress = world.advance(asked, idempotency="honoured")
        assert progress.failed == ("20260101T000000Z",)
    assert world.posts == 4
    world.end_all()
    progress = world.advance(asked, idempotency="honoured")
    assert (progress.ended, progress.done) == (True, 1)
    assert world.advance(asked, attempt="try-2", idempotency="honoured").done == 2
    assert len(world.runs) == 2


def test_what_could_not_be_cancelled_at_its_deadline_is_not_forgotten(world: StagedWorld) -> None:
    asked = staged(1)
    world.advance(asked, timeout_seconds=100)
    world.now += 200
    do = world.do

    def refusing(effect: Any) -> Any:
        if isinstance(effect, Cancel):
            raise PermissionDeniedError("not with this key", status_code=403, attempts=attempts(1))
        return do(effect)

    world.do = refusing  # type: ignore[method-assign]
    progress = world.advance(asked, timeout_seconds=100)
    assert (progress.ended, progress.failed) == (True, ("20260101T000000Z",))
    assert "could not be cancelled" in report_stages(world.outcome(asked))
    world.do = do  # type: ignore[method-assign]
    world.cancel()
    assert not world.live()


def test_being_cancelled_when_the_next_attempt_begins_it_is_started_again(world: StagedWorld) -> None:
    """As the start of an unstaged backfill does: that the earlier attempt was stopped is no word about this one."""
    asked = staged(1)
    world.advance(asked)
    world.do(Cancel("backfill", "bf_1"))
    progress = world.advance(asked, attempt="try-2")
    assert ([handle.id for handle in progress.active], world.runs["bf_1"].status) == (["bf_2"], "cancelled")


def test_the_entries_are_the_truth_also_where_the_index_is_behind(world: StagedWorld) -> None:
    asked = staged(2, on_clear="resume")
    run_on(world, asked)
    world.entries[HEADER]["done"] = []
    assert world.advance(asked, intent="wish-2", attempt="try-2").done == 2
    assert len(world.runs) == 2
