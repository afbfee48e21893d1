"""Stages that cannot be started now: a busy connection, a refusal, an outage, a lost answer."""

from __future__ import annotations

from typing import Any

import pytest

from planasonix.errors import (
    APIError,
    ConflictError,
    InvalidRequestError,
    PermissionDeniedError,
    PlanasonixError,
    RunFailedError,
)
from planasonix.runs import raise_for_stages, report_stages
from planasonix.runs.effects import Post
from planasonix.runs.staged.wish import HEADER
from tests.core.runs.staged.parts import Killed, attempts, lose_an_answer, run_on, staged
from tests.core.runs.staged.world import StagedWorld


@pytest.fixture
def world() -> StagedWorld:
    return StagedWorld()


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


def test_skip_ends_the_round_and_is_a_state_of_its_own(world: StagedWorld) -> None:
    asked = staged(2)
    world.foreign()
    progress = world.advance(asked, if_running="skip")
    assert (progress.ended, progress.skipped, progress.to_do) == (True, True, 2)
    outcome = world.outcome(asked)
    assert outcome.status == "skipped"
    assert "if_running is 'skip'" in report_stages(outcome)
    raise_for_stages(outcome)
    # In another wish, or once more of it, that is over.
    assert world.outcome(asked, "wish-2").status == "unfinished"
    world.end_all()
    world.advance(asked)
    with pytest.raises(RunFailedError, match="unfinished"):
        raise_for_stages(world.outcome(asked))


def test_a_busy_connection_is_no_failure_of_a_stage(world: StagedWorld) -> None:
    asked = staged(5, stop_after_failures=1)
    world.foreign()
    with pytest.raises(ConflictError, match="busy"):
        world.advance(asked, if_running="fail")
    assert (world.posts, world.entries[HEADER]["failed"]) == (1, [])
    world.end_all()
    assert run_on(world, asked, if_running="fail").done == 5


def test_a_stage_that_cannot_be_started_fails_and_says_why(world: StagedWorld) -> None:
    asked = staged(3, stop_after_failures=2)
    do = world.do

    def refusing(effect: Any) -> Any:
        if isinstance(effect, Post):
            raise APIError("too large", status_code=413, attempts=attempts(1))
        return do(effect)

    world.do = refusing  # type: ignore[method-assign]
    progress = world.advance(asked)
    assert (progress.ended, len(progress.failed), progress.to_do) == (True, 2, 1)
    assert "It could not be started: HTTP 413: too large" in report_stages(world.outcome(asked))
    world.do = do  # type: ignore[method-assign]
    assert run_on(world, asked, attempt="try-2").done == 3


NO_RIGHT = PermissionDeniedError("not with this key", status_code=403, attempts=attempts(1))
PAUSED = ConflictError("the connection is paused", status_code=409, code="connection_paused", attempts=attempts(1))
IS_PAUSED = InvalidRequestError(
    "The connection is paused", status_code=400, code="invalid_request", attempts=attempts(1)
)


@pytest.mark.parametrize("refusal", [NO_RIGHT, PAUSED, IS_PAUSED])
@pytest.mark.parametrize("running", [0, 1])
def test_a_refusal_that_all_would_meet_is_raised_unless_one_runs(running: int, refusal: APIError) -> None:
    world = StagedWorld(parallel=10)
    asked = staged(6, max_active_stages=2)
    if running:
        world.advance(staged(6))
    do = world.do

    def refusing(effect: Any) -> Any:
        if isinstance(effect, Post):
            world.trace.append("POST")
            raise refusal
        return do(effect)

    world.do = refusing  # type: ignore[method-assign]
    if not running:
        with pytest.raises(type(refusal)):
            world.advance(asked)
        assert world.posts == 1
        return
    progress = world.advance(asked)
    assert ([handle.id for handle in progress.active], len(progress.failed)) == (["bf_1"], 1)
    world.end("bf_1")
    progress = world.advance(asked)
    assert (progress.ended, progress.done, progress.to_do) == (True, 1, 4)
    assert str(refusal.message) in report_stages(world.outcome(asked))


def test_a_lost_answer_is_found_again_in_the_next_attempt() -> None:
    for keys, told in (("honoured", "honoured"), ("ignored", "unproven")):
        world = StagedWorld(keys=keys)
        asked = staged(2)
        lose_an_answer(world, asked, idempotency=told)
        assert run_on(world, asked, attempt="try-2", idempotency=told).done == 2
        assert len(world.runs) == 2


def test_an_outage_that_hits_a_start_is_no_failure_of_the_stage() -> None:
    """Where others run, these are waited for, and the stage is asked for again with the same key."""
    world = StagedWorld(parallel=10)
    asked = staged(3, max_active_stages=2, stop_after_failures=1)
    world.fates = ["ok"] + ["lost_after"] * 3
    progress = world.advance(asked, idempotency="honoured")
    assert ([handle.id for handle in progress.active], progress.failed, progress.stalled) == (["bf_1"], (), True)
    progress = world.advance(asked, idempotency="honoured")
    assert ([handle.id for handle in progress.active], progress.stalled) == (["bf_1", "bf_2"], False)
    assert run_on(world, asked, idempotency="honoured").done == 3
    assert len(world.runs) == 3


def test_and_is_raised_where_nothing_runs(world: StagedWorld) -> None:
    asked = staged(5, stop_after_failures=1)
    for _ in range(3):
        lose_an_answer(world, asked)
    assert not world.entries[HEADER]["failed"]
    assert run_on(world, asked, idempotency="honoured").done == 5
    assert len(world.runs) == 5


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
