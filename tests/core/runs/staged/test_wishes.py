"""A wish after another: clears, edits, other windows, and what of the older one still counts or still runs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from tests.core.runs.staged.parts import Killed, lose_an_answer, run_on, staged
from tests.core.runs.staged.world import StagedWorld


@pytest.fixture
def world() -> StagedWorld:
    return StagedWorld()


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
        lose_an_answer(world, staged(1))
        edited = staged(1, tables=("public.orders",))
        with suppress(Killed):
            world.advance(edited, attempt="try-2", idempotency="honoured", crash_at=at, inside=inside)
        assert run_on(world, edited, attempt="try-3", idempotency="honoured").done == 1
        assert [run.status for run in world.runs.values()] == ["cancelled", "completed"]


def test_a_clear_finds_the_job_of_a_lost_answer_before_anything_starts() -> None:
    """Nobody knew of a job; there is one, and nobody else would ever end it."""
    world = StagedWorld(echoes=True, parallel=10)
    lose_an_answer(world, staged(3))
    world.advance(staged(3, on_clear="restart"), intent="wish-2", attempt="try-2", idempotency="honoured")
    assert [run.status for run in world.runs.values()] == ["cancelled", "running"]


def test_and_takes_it_for_done_if_it_loaded_the_stage_meanwhile() -> None:
    world = StagedWorld(echoes=True)
    lose_an_answer(world, staged(2))
    world.end_all()
    progress = world.advance(staged(2), intent="wish-2", attempt="try-2", idempotency="honoured")
    assert (progress.done, len(world.runs)) == (1, 2)
