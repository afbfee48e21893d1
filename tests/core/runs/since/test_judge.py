"""The table of `runs.since.judge`, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planasonix.errors import ConfigurationError
from planasonix.runs.since.judge import SETTLE_SECONDS, counts, judge
from planasonix.runs.since.wish import RunSince

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
CONNECTION = "conn_1"
LATER = SINCE.timestamp() + 86_400
PHASES = {"queued": "active", "running": "active", "canceling": "cancelling"}


@dataclass(frozen=True)
class Row:
    id: str
    status: str
    minute: float | None = 0.0
    connection_id: str | None = CONNECTION
    type: str | None = "connection_sync"
    finished_at: datetime | None = None
    pipeline_id: str | None = None

    @property
    def created_at(self) -> datetime | None:
        return None if self.minute is None else SINCE + timedelta(minutes=self.minute)

    @property
    def phase(self) -> Any:
        return PHASES.get(self.status, self.status)


def wish(**fields: Any) -> RunSince:
    given: dict[str, Any] = {"kind": "job", "target_id": CONNECTION, "since": SINCE, "job_type": "connection_sync"}
    return RunSince(**given | fields)


TABLE = [
    # statuses in the order of creation; found or failed or waiting; for whom; fail_on_failure=False; wanted "ended"
    ([], ("waiting", None), ("waiting", None), ("waiting", None)),
    (["running"], ("waiting", 0), ("waiting", 0), ("waiting", 0)),
    (["succeeded"], ("found", 0), ("found", 0), ("found", 0)),
    (["failed"], ("failed", 0), ("waiting", 0), ("found", 0)),
    (["cancelled"], ("failed", 0), ("waiting", 0), ("found", 0)),
    (["failed", "running"], ("waiting", 1), ("waiting", 1), ("found", 0)),
    (["running", "failed"], ("waiting", 0), ("waiting", 0), ("found", 1)),
    (["canceling"], ("waiting", 0), ("waiting", 0), ("waiting", 0)),
    (["failed", "succeeded"], ("found", 1), ("found", 1), ("found", 0)),
    (["succeeded", "failed"], ("found", 0), ("found", 0), ("found", 0)),
    (["running", "succeeded"], ("found", 1), ("found", 1), ("found", 1)),
    (["succeeded", "succeeded", "running"], ("found", 0), ("found", 0), ("found", 0)),
    (["failed", "cancelled"], ("failed", 1), ("waiting", 1), ("found", 0)),
]


@pytest.mark.parametrize("turned", [False, True], ids=["oldest-first", "newest-first"])
@pytest.mark.parametrize(
    ("statuses", "strict", "patient", "ended"), TABLE, ids=["-".join(row[0]) or "none" for row in TABLE]
)
def test_the_table(statuses: list[str], strict: Any, patient: Any, ended: Any, turned: bool) -> None:
    rows = [Row(f"job_{number}", status, number) for number, status in enumerate(statuses)]
    given = list(reversed(rows)) if turned else rows
    for asked, (verdict, number) in (
        (wish(), strict),
        (wish(fail_on_failure=False), patient),
        (wish(wanted_status="ended"), ended),
    ):
        seen = judge(asked, given, LATER)
        assert (seen.verdict, seen.run) == (verdict, None if number is None else rows[number])


def test_a_bad_end_counts_once_a_newer_run_would_be_listed() -> None:
    ended = Row("job_1", "failed", finished_at=SINCE + timedelta(minutes=5))
    moment = SINCE.timestamp() + 300
    assert judge(wish(), [ended], moment + SETTLE_SECONDS - 1).verdict == "waiting"
    assert judge(wish(), [ended], moment + SETTLE_SECONDS).verdict == "failed"
    assert judge(wish(wanted_status="ended"), [ended], moment).verdict == "found"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Row("a", "running", 0.0), True),
        (Row("a", "running", -0.1), False),
        (Row("a", "running", connection_id="conn_2"), False),
        (Row("a", "running", connection_id=None), True),
        (Row("a", "running", type="backfill"), False),
        (Row("a", "running", type=None), True),
        (Row("a", "queued", None), True),
        (Row("a", "succeeded", None), False),
    ],
)
def test_which_runs_count(row: Row, expected: bool) -> None:
    assert counts(wish(), row, 0.0) is expected


def test_any_type_counts_when_none_is_asked_for() -> None:
    assert counts(wish(job_type=None), Row("a", "running", type="backfill"), 0.0)


def test_a_moment_within_a_second_counts_from_the_second_on() -> None:
    asked = wish(since=SINCE + timedelta(milliseconds=700))
    assert counts(asked, Row("a", "running", 0.0), 0.0)


@pytest.mark.parametrize(
    ("offset_seconds", "minute", "expected"),
    [
        (-120.0, -1.0, True),  # the API's clock is slow: its stamp is before `since`, the run is not
        (-120.0, -3.0, False),
        (120.0, 1.0, False),  # it is fast: the run was created before `since`
        (120.0, 2.0, True),
        (-2.0, -0.02, True),  # created 0.8 s after `since`, by a clock that is slow
        (-2.0, -0.05, False),
        (2.0, 0.01, True),
        (3.5, 0.0, True),  # its own schedule for that moment
        (63.5, 1.0, True),
        (63.5, 0.99, False),
        (None, 0.0, True),
    ],
)
def test_stamps_are_compared_by_the_clock_that_wrote_them(
    offset_seconds: float | None, minute: float, expected: bool
) -> None:
    assert counts(wish(), Row("a", "running", minute), offset_seconds) is expected


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"target_id": ""}, "connection_id"),
        ({"target_id": None}, "connection_id"),
        ({"kind": "run"}, "kind"),
        ({"kind": "sync"}, "kind"),
        ({"kind": None}, "kind"),
        ({"since": "2026-03-01T00:00:00"}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": None}, "since"),
        ({"wanted_status": "running"}, "wanted_status"),
        ({"job_type": 3}, "job_type"),
        ({"fail_on_failure": "False"}, "fail_on_failure"),
    ],
)
def test_bad_input_names_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        wish(**fields)
    assert caught.value.field == field


def test_the_wish_in_words() -> None:
    assert str(wish(since="2026-03-01 01:00:00+01:00")) == "connection_sync of conn_1 since 2026-03-01T00:00:00Z"
