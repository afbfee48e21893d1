"""Rounds of a staged backfill, one rule at a time; `test_machine` lets them meet."""

from __future__ import annotations

from typing import Any

import pytest

from planasonix.errors import (
    PermissionDeniedError,
    RunCancelledError,
    RunFailedError,
)
from planasonix.runs import Policy, Provenance, StagedBackfill, raise_for_stages, report_stages
from planasonix.runs.effects import Cancel
from planasonix.runs.staged.round import Advance
from planasonix.runs.staged.wish import HEADER
from tests.core.runs.staged.parts import attempts, run_on, staged
from tests.core.runs.staged.world import StagedWorld


@pytest.fixture
def world() -> StagedWorld:
    return StagedWorld()


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
