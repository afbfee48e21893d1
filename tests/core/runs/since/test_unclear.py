"""Words that nobody published: a look reads no more of them than its verdict needs, and they hide no run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planasonix.models.status import phase_of
from planasonix.runs import RunSince, Sighting
from planasonix.runs.effects import Listed, ListSince
from planasonix.runs.since.look import READS_AT_MOST, look

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
LATER = SINCE.timestamp() + 86_400


@dataclass(frozen=True)
class Run:
    """As a GET shows it: an end has its time."""

    number: int
    status: str
    finished_at: datetime | None = None
    connection_id: str = "conn_1"
    type: str = "connection_sync"

    @property
    def id(self) -> str:
        return f"job_{self.number:03}"

    @property
    def created_at(self) -> datetime:
        return SINCE + timedelta(minutes=self.number)

    @property
    def phase(self) -> Any:
        return phase_of(self.status, ended=self.finished_at is not None)


def ended(number: int, status: str = "no_changes") -> Run:
    return Run(number, status, SINCE + timedelta(hours=2))


def looked(runs: list[Run], known_ends: Any = None, **fields: Any) -> tuple[Sighting, list[str]]:
    """One look at these runs, whose list shows no time of an end, and what was read for it."""
    by_id = {run.id: run for run in runs}
    steps = look(RunSince("job", "conn_1", SINCE, "connection_sync", **fields), lambda: LATER, known_ends)
    reads: list[str] = []
    answer: Any = None
    try:
        while True:
            effect: Any = steps.send(answer)
            if isinstance(effect, ListSince):
                answer = Listed([replace(run, finished_at=None) for run in runs], 0.0)
            else:
                reads.append(effect.run_id)
                answer = by_id[effect.run_id]
    except StopIteration as end:
        return end.value, reads


@pytest.mark.parametrize("count", [1, 9, 10, 50])
def test_they_do_not_hide_a_success(count: int) -> None:
    runs = [*(ended(number) for number in range(count)), ended(count, "succeeded")]
    seen, reads = looked(runs)
    assert (seen.verdict, seen.run) == ("found", runs[-1])
    assert reads == [runs[-1].id]


@pytest.mark.parametrize("count", [1, 9, 10, 50])
def test_the_earliest_of_them_is_found_where_any_end_will_do(count: int) -> None:
    runs = [*(ended(number) for number in range(count)), ended(count, "succeeded")]
    seen, reads = looked(runs, wanted_status="ended")
    assert (seen.verdict, seen.run) == ("found", runs[0])
    assert reads == [runs[0].id]


def test_those_that_go_on_do_not_hide_an_end() -> None:
    runs = [*(Run(number, "paused") for number in range(20)), ended(20, "succeeded"), ended(21)]
    seen, reads = looked(runs, wanted_status="ended")
    assert (seen.verdict, seen.run) == ("found", runs[20])
    assert len(reads) == READS_AT_MOST


def test_only_they_are_a_failure_once_each_was_read() -> None:
    runs = [ended(number) for number in range(5)]
    seen, reads = looked(runs)
    assert (seen.verdict, seen.run) == ("failed", runs[-1])
    assert len(reads) == 5


def test_more_than_a_look_reads_are_read_in_the_next_one() -> None:
    runs = [ended(number) for number in range(2 * READS_AT_MOST)]
    known_ends: dict[str, Any] = {}
    verdicts = [looked(runs, known_ends)[0].verdict for _ in range(3)]
    assert verdicts == ["waiting", "waiting", "failed"]


@pytest.mark.parametrize(
    ("newest", "fields"), [(Run(30, "running"), {}), (Run(30, "paused"), {}), (ended(30), {"fail_on_failure": False})]
)
def test_none_is_read_for_what_is_a_wait_in_any_case(newest: Run, fields: dict[str, Any]) -> None:
    seen, reads = looked([*(ended(number) for number in range(20)), newest], **fields)
    assert (seen.verdict, seen.run and seen.run.id) == ("waiting", newest.id)
    assert reads == ([newest.id] if newest.status == "paused" else [])
