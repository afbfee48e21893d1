"""What is asked for, and what the book holds: settings, header, entries, index, and the plan that they tell."""

from __future__ import annotations

from typing import Any

import pytest

from planasonix.errors import (
    ConfigurationError,
)
from planasonix.runs import MemoryBook, planned
from planasonix.runs.staged.wish import HEADER, Header, ReadEntry, StageEntry, numbers_in, ranges_of
from tests.core.runs.staged.parts import run_on, staged
from tests.core.runs.staged.world import StagedWorld


@pytest.fixture
def world() -> StagedWorld:
    return StagedWorld()


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


def test_the_entries_are_the_truth_also_where_the_index_is_behind(world: StagedWorld) -> None:
    asked = staged(2, on_clear="resume")
    run_on(world, asked)
    world.entries[HEADER]["done"] = []
    assert world.advance(asked, intent="wish-2", attempt="try-2").done == 2
    assert len(world.runs) == 2
