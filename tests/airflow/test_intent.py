"""Same wish or a new one: the numbers that Airflow 3.3.2 showed for each thing that can happen to a task."""

from __future__ import annotations

import pytest

from airflow_provider_planasonix.events import WaitEnd
from airflow_provider_planasonix.intent import TryMark, intent_of, is_same_wish
from planasonix.errors import ConfigurationError

# What happened; (try_number, max_tries, clear_number, retries) before and in this try; the same wish?
OBSERVED = [
    ("an exception, retried", (1, 2, 0, 2), (2, 2, 0, 2), True),
    ("the task's process killed", (1, 2, 0, 2), (2, 2, 0, 2), True),
    ("orphaned by a scheduler crash, without retries", (1, 0, 0, 0), (2, 0, 0, 0), True),
    ("retries edited, then killed", (1, 2, 0, 2), (2, 2, 0, 5), True),
    ("another task of the run cleared, this one retried", (1, 2, 0, 2), (2, 2, 1, 2), True),
    ("cleared after success", (1, 2, 0, 2), (2, 3, 1, 2), False),
    ("cleared after success, without retries", (1, 0, 0, 0), (2, 1, 1, 0), False),
    ("cleared after its last failure", (2, 1, 0, 1), (3, 3, 1, 1), False),
    ("cleared again", (4, 3, 1, 1), (5, 5, 2, 1), False),
    ("cleared while up for retry", (1, 2, 0, 2), (2, 3, 1, 2), False),
    ("cleared while deferred", (1, 2, 0, 2), (2, 3, 1, 2), False),
    ("cleared while running", (1, 2, 0, 2), (2, 3, 1, 2), False),
    ("cleared while running on its last try", (2, 1, 0, 1), (3, 3, 1, 1), False),
    ("retries edited up, then cleared", (2, 2, 0, 2), (3, 7, 1, 5), False),
    ("retries edited down, so that Clear ends where it was", (1, 2, 0, 2), (2, 2, 1, 1), False),
    ("no clear_number: retried", (1, 2, None, 2), (2, 2, None, 2), True),
    ("no clear_number: cleared", (1, 2, None, 2), (2, 3, None, 2), False),
]


def mark(numbers: tuple[int, int, int | None, int]) -> TryMark:
    try_number, max_tries, clear_number, retries = numbers
    return TryMark(try_number, max_tries, retries, clear_number)


@pytest.mark.parametrize(("before", "now", "same"), [row[1:] for row in OBSERVED], ids=[row[0] for row in OBSERVED])
def test_the_decision(before: tuple, now: tuple, same: bool) -> None:
    assert is_same_wish(mark(before), mark(now)) is same
    stored = {"intent": "token", "mark": mark(before).to_dict()}
    assert (intent_of(stored, mark(now)) == "token") is same


def test_nothing_stored_is_a_new_wish() -> None:
    now = mark((1, 0, 0, 0))
    assert intent_of(None, now) != intent_of(None, now)
    assert intent_of({"unreadable": True}, now)


@pytest.mark.parametrize("payload", [None, {}, "done", {"end": "well"}, {"end": "ended"}])
def test_an_event_of_somebody_else_is_never_a_success(payload: object) -> None:
    with pytest.raises(ConfigurationError, match="not one of planasonix"):
        WaitEnd.from_payload(payload)  # type: ignore[arg-type]


def test_an_event_of_a_newer_version_is_read() -> None:
    payload = {**WaitEnd("ended", {"id": "job_1"}, status="succeeded").to_payload(), "version": 2, "more": 1}
    assert WaitEnd.from_payload(payload).status == "succeeded"
