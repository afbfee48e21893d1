"""A staged backfill that is given up: what is ours ends, and what may be another's goes on (G2, G3)."""

from __future__ import annotations

from contextlib import suppress

import pytest

from planasonix.runs import Policy
from planasonix.runs.effects import Post
from planasonix.runs.staged.cancel import cancel_active
from tests.core.runs.staged.parts import Killed, lose_an_answer, run_on, staged
from tests.core.runs.staged.world import StagedWorld


@pytest.fixture
def world() -> StagedWorld:
    return StagedWorld()


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


def test_cancelling_finds_it_too() -> None:
    world = StagedWorld(echoes=True)
    lose_an_answer(world, staged(2))
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
