"""Staged backfills where an answer is missing: a stop in the middle, a lost start, an end that cannot be read yet."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from planasonix.errors import PermissionDeniedError, RunFailedError, TransportError
from planasonix.runs import MemoryBook, Policy, Provenance, StagedBackfill, planned, raise_for_stages, report_stages
from planasonix.runs.effects import Get, ListSince, Post, Results
from planasonix.runs.staged.drive import _with_book  # pyright: ignore[reportPrivateUsage]
from planasonix.runs.staged.round import Advance
from planasonix.runs.staged.wish import HEADER, ClaimedBesides, ReadEntry, WriteEntry
from tests.core.runs.staged.parts import Killed, attempts, staged
from tests.core.runs.staged.world import StagedWorld


@pytest.fixture
def world() -> StagedWorld:
    return StagedWorld()


class WorldBook:
    """The world's entries, as a book that knows the moment of each use."""

    def __init__(self, world: StagedWorld) -> None:
        self.do = lambda effect: world.do(effect)

    def read(self, name: str) -> Any:
        return self.do(ReadEntry(name))

    def write(self, name: str, entry: Any) -> None:
        self.do(WriteEntry(name, entry))

    def claimed(self, run_ids: Iterable[str], *, besides: str) -> Any:
        return self.do(ClaimedBesides(tuple(run_ids), besides))


@pytest.mark.parametrize("fates", [["ok"], ["lost_before", "ok"], ["lost_after", "ok"]])
def test_a_stop_at_any_moment_loses_no_job(fates: list[str]) -> None:
    """The signal comes during each step in turn: the book then names every job that was started."""
    stopped = 0
    for at in range(40):
        world = StagedWorld(parallel=10)
        world.fates = list(fates)
        asked = staged(3, max_active_stages=2)
        stop, do, count = threading.Event(), world.do, 0

        def counting(effect: Any) -> Any:
            nonlocal count
            if count == at:  # noqa: B023
                stop.set()  # noqa: B023
            count += 1
            return do(effect)  # noqa: B023

        world.do = counting  # type: ignore[method-assign]
        policy = Policy(idempotency="honoured", settle_seconds=0.5)
        advance = Advance(asked, "wish-1", "try-1", Provenance("test", "a test"), policy, lambda: world.now)  # noqa: B023
        try:
            world.perform(_with_book(advance.steps(), WorldBook(world), stop))
        except KeyboardInterrupt:
            stopped += 1
        world.do = do  # type: ignore[method-assign]
        named = {entry.get("run_id") for entry in world.entries.values()}
        assert {run.id for run in world.live()} <= named, f"stopped at step {at}"
        world.cancel()
        assert not world.live()
    assert stopped >= 8


@pytest.mark.parametrize(("echoes", "owned"), [(True, True), (False, False)])
def test_a_stage_in_doubt_is_found_also_when_nothing_may_start(echoes: bool, owned: bool) -> None:
    """Killed between a POST and its answer; by then another stage failed, and that stops the attempt."""
    world = StagedWorld(parallel=2, echoes=echoes)
    asked = _one_fails_one_is_lost(world)
    posts = world.posts
    progress = world.advance(asked)
    assert ([handle.id for handle in progress.active], progress.ended) == (["bf_2"], False)
    assert progress.active[0].owned is owned
    world.end("bf_2")
    progress = world.advance(asked)
    assert (progress.ended, progress.done, world.posts) == (True, 1, posts)


def test_and_is_unknown_where_no_run_can_be_told(world: StagedWorld) -> None:
    world.parallel = 3
    asked = _one_fails_one_is_lost(world)
    window = asked.stages[1]
    world._add((window.start_at, window.end_at), None, None, replace(world.made["bf_2"], intent=None, wish=None))
    progress = world.advance(asked)
    assert progress.ended
    outcome = world.outcome(asked)
    assert [stage.state for stage in outcome.stages] == ["failed", "unknown"]
    assert "the answer to its start was lost. Look at the connection's backfills" in report_stages(outcome)
    with pytest.raises(RunFailedError):
        raise_for_stages(outcome)
    book = MemoryBook()
    for name, entry in world.entries.items():
        book.write(name, entry)
    assert [row.state for row in planned(book, asked)] == ["failed", "unknown"]
    assert window.name in world.entries[HEADER]["active"], "the next attempt and a cancel come across it"


def test_a_look_that_fails_is_taken_again_or_raised(world: StagedWorld) -> None:
    world.parallel = 2
    asked = _one_fails_one_is_lost(world)
    failing(world, ListSince)
    with pytest.raises(TransportError):
        world.advance(asked)
    assert world.outcome(asked).stages[1].state == "unknown"


def _one_fails_one_is_lost(world: StagedWorld) -> StagedBackfill:
    asked = staged(2, max_active_stages=2, stop_after_failures=1)
    do, posts = world.do, 0

    def killing(effect: Any) -> Any:
        nonlocal posts
        posts += isinstance(effect, Post)
        answer = do(effect)
        if posts == 2:
            raise Killed
        return answer

    world.do = killing  # type: ignore[method-assign]
    with suppress(Killed):
        world.advance(asked)
    world.do = do  # type: ignore[method-assign]
    world.end("bf_1", "failed")
    return asked


def failing(world: StagedWorld, *kinds: type, after: int = 0) -> None:
    """From now on, and `after` such calls more, these calls of the API come to nothing."""
    do, count = world.do, 0

    def unread(effect: Any) -> Any:
        nonlocal count
        count += isinstance(effect, kinds)
        if isinstance(effect, kinds) and count > after:
            raise TransportError("the API is away", outcome="unknown", attempts=attempts(1))
        return do(effect)

    world.do = unread  # type: ignore[method-assign]


@pytest.mark.parametrize("after", range(8))
def test_an_older_wishs_end_that_cannot_be_read_is_no_success(after: int) -> None:
    """Its job ends while it is retired, and the API goes away at one of the looks: nobody may take that for done."""
    world = StagedWorld()
    world.advance(staged(1))
    do = world.do
    failing(world, Get, Results, after=after)
    asked = staged(1, on_clear="restart")
    with suppress(TransportError):
        progress = world.advance(asked, intent="wish-2", attempt="try-2")
        assert not progress.ended
    outcome = world.outcome(asked, "wish-2")
    if outcome.status != "succeeded":
        with pytest.raises(RunFailedError):
            raise_for_stages(outcome)
    world.do = do  # type: ignore[method-assign]
    for _ in range(4):
        world.end_all()
        progress = world.advance(asked, intent="wish-2", attempt="try-2")
    assert (progress.ended, progress.done) == (True, 1)


def test_an_end_that_cannot_be_read_yet_stalls_the_rounds(world: StagedWorld) -> None:
    asked = staged(1)
    world.advance(asked)
    world.end_all()
    do = world.do
    failing(world, Get, after=1)
    progress = world.advance(asked)
    assert (progress.stalled, progress.ended, len(progress.active)) == (True, False, 1)
    world.do = do  # type: ignore[method-assign]
    progress = world.advance(asked)
    assert (progress.stalled, progress.ended, progress.done) == (False, True, 1)


def test_what_is_not_all_loaded_is_no_success(world: StagedWorld) -> None:
    asked = staged(2)
    world.advance(asked)
    outcome = world.outcome(asked)
    assert outcome.status == "unfinished"
    with pytest.raises(RunFailedError, match="unfinished"):
        raise_for_stages(outcome)


def test_a_success_with_a_failed_table_is_loaded_again_in_the_next_attempt(world: StagedWorld) -> None:
    asked = staged(1)
    for number in (1, 2):
        attempt = f"try-{number}"
        world.advance(asked, attempt=attempt)
        world.broken.add(f"bf_{number}")
        world.end_all()
        assert world.advance(asked, attempt=attempt).failed == ("20260101T000000Z",)
        assert world.advance(asked, attempt=attempt).ended
        assert len(world.runs) == number
    world.advance(asked, attempt="try-3")
    world.end_all()
    assert world.advance(asked, attempt="try-3").done == 1
    assert [world.made[run.id].generation for run in world.of_stage(asked, 0)] == [0, 1, 2]


def test_another_priority_or_order_of_tables_is_the_same_work(world: StagedWorld) -> None:
    one = staged(2, tables=("public.orders", "public.items"))
    world.advance(one)
    world.end_all()
    request = replace(one.request, tables=("public.items", "public.orders"), priority="high")
    other = StagedBackfill(request, one.stages, on_clear="resume")
    assert other.digests == one.digests
    assert world.advance(other, intent="wish-2", attempt="try-2").done == 1
    assert "CANCEL" not in world.trace
    assert staged(2, tables=("public.orders",)).digests != one.digests


def test_a_busy_connection_of_an_earlier_try_is_forgotten(world: StagedWorld) -> None:
    asked = staged(2)
    world.foreign()
    world.advance(asked)
    world.now += 2 * 86_400
    assert world.advance(asked, attempt="try-2").busy_since == world.now
    began = world.now
    world.now += 100
    assert world.advance(asked, attempt="try-2").busy_since == began


def test_and_by_a_start_that_came_to_something_else(world: StagedWorld) -> None:
    asked = staged(2)
    other = world.foreign()
    world.advance(asked)
    world.end(other.id)
    do = world.do

    def refusing(effect: Any) -> Any:
        if isinstance(effect, Post):
            raise PermissionDeniedError("not with this key", status_code=403, attempts=attempts(1))
        return do(effect)

    world.do = refusing  # type: ignore[method-assign]
    with pytest.raises(PermissionDeniedError):
        world.advance(asked)
    assert world.entries[HEADER]["busy_since"] is None
