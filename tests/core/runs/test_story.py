"""What a wait tells while it goes on, and again where somebody takes over."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from planasonix.models import Backfill, Job
from planasonix.runs import Story, retold
from planasonix.runs.story import MOST_LINES, progress_of

T0 = datetime(2026, 1, 1, 12, 0, tzinfo=UTC).timestamp()


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


def job(status: str, **more: Any) -> Job:
    return Job.read({"id": "job_1", "status": status, "created_at": "2026-01-01T11:59:50Z", **more})


def test_the_lines_of_a_wait() -> None:
    clock, logged = Clock(), []
    story = Story(clock)
    listen = story.listener("job", logged.append, link="https://app/job_1")
    listen(job("queued"))
    clock.now += 20
    listen(job("running", started_at="2026-01-01T12:00:20Z"))
    clock.now += 600
    listen(job("running", metrics={"rows_extracted": 45210, "rows_loaded": 44802}))
    clock.now += 600
    listen(job("running", metrics={"rows_extracted": 90000, "rows_loaded": 0}))
    clock.now += 30
    listen(job("succeeded", finished_at="2026-01-01T12:20:50Z", metrics={"rows_loaded": 90000}))
    assert logged == [
        "job job_1 is queued (created 2026-01-01 11:59:50Z): https://app/job_1",
        "job job_1 is running, after 20 s queued",
        "job job_1 is still running after 10 min 0 s, 44,802 rows loaded",
        "job job_1 is still running after 20 min 0 s, 90,000 rows read",
        "job job_1 is succeeded after 21 min 0 s, 90,000 rows loaded",
    ]
    assert story.lines()[0] == f"2026-01-01 12:00:00Z {logged[0]}"
    assert story.lines()[-1] == f"2026-01-01 12:20:50Z {logged[-1]}"
    assert json.loads(json.dumps(story.lines())) == story.lines()


def test_another_run_is_not_the_one_before_it() -> None:
    clock, logged = Clock(), []
    listen = Story(clock).listener("job", logged.append)
    listen(Job.read({"id": "job_1", "status": "running"}))
    clock.now += 60
    listen(Job.read({"id": "job_2", "status": "running"}))
    clock.now += 60
    listen(Job.read({"id": "job_2", "status": "succeeded"}))
    assert logged == ["job job_1 is running", "job job_2 is running", "job job_2 is succeeded after 1 min 0 s"]


def test_who_joins_late_tells_since_when_it_runs() -> None:
    logged: list[str] = []
    Story(Clock()).listener("job", logged.append)(job("running", started_at="2026-01-01T11:59:52Z"))
    assert logged == ["job job_1 is running (started 2026-01-01 11:59:52Z)"]


def test_a_backfill_tells_its_share() -> None:
    data = {"id": "bf_1", "status": "running", "progress_percent": 42, "rows_processed": 1234, "job_ids": ["a", "b"]}
    assert progress_of(Backfill.read(data)) == ["42 %", "1,234 rows loaded", "2 jobs"]
    assert progress_of(job("queued")) == []


def test_it_stays_small_and_keeps_begin_and_end() -> None:
    story = Story(Clock())
    for number in range(1000):
        story.add(f"line {number} " + "x" * 5000)
    lines = story.lines()
    assert len(lines) == MOST_LINES
    assert sum(map(len, lines)) < 7000
    assert "line 0 " in lines[0]
    assert "line 999 " in lines[-1]
    assert lines[5] == "… and 981 more"


def test_it_holds_no_secret_and_no_second_line() -> None:
    story = Story(Clock())
    text = story.add("failed: Bearer plnx_live_abcdefghijklmnop0123456789\nhello")
    assert "abcdefghijklmnop" not in text
    assert "\n" not in text
    assert "abcdefghijklmnop" not in str(story.lines())
    assert "abcdefghijklmnop" not in (retold(["plnx_live_abcdefghijklmnop0123456789"]) or "")


def test_told_again() -> None:
    story = Story(Clock())
    story.add("one")
    assert retold(story.lines()) == "Seen while it was waited for elsewhere:\n  2026-01-01 12:00:00Z one"


@pytest.mark.parametrize("nothing", [None, [], "text", {"a": 1}, 7, [1, None]])
def test_what_is_no_story_is_not_told(nothing: object) -> None:
    assert retold(nothing) is None


def test_a_story_of_somebody_else_is_cut() -> None:
    text = retold(["x" * 100_000] * 100_000)
    assert text is not None
    assert len(text) < 10_000
