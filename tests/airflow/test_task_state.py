"""Which states give a job up: a table, because each wrong entry is an orphan or a false kill."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.utils.state import TaskInstanceState

from airflow_provider_planasonix.task_state import GIVEN_UP, TaskKey, current_state, is_given_up

LEFT = {"running", "deferred", "queued", "scheduled", "up_for_retry", "up_for_reschedule", "awaiting_input"}


def test_every_state_of_airflow_was_thought_of() -> None:
    known = {state.value for state in TaskInstanceState}
    assert known - {str(word) for word in GIVEN_UP} <= LEFT


@pytest.mark.parametrize("state", sorted(LEFT | {"a_word_of_airflow_4"}))
def test_whoever_may_come_back_gives_nothing_up(state: str) -> None:
    assert not is_given_up(state)


@pytest.mark.parametrize("state", [None, "failed", "success", "skipped", "removed", "restarting"])
def test_what_a_user_does_gives_up(state: str | None) -> None:
    assert is_given_up(state)


@pytest.mark.parametrize(
    ("answer", "map_index", "state"),
    [
        ({"r": {"t": "deferred"}}, -1, "deferred"),
        ({"r": {"t": None}}, -1, None),
        ({"r": {"t_3": SimpleNamespace(value="failed")}}, 3, "failed"),
    ],
)
def test_the_answer_is_read_by_the_tasks_own_key(
    monkeypatch: pytest.MonkeyPatch, answer: Any, map_index: int, state: str | None
) -> None:
    monkeypatch.setattr(task_runner.RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: answer))
    assert current_state(TaskKey("d", "r", "t", map_index)) == state


@pytest.mark.parametrize("answer", [{}, {"r": {}}, {"r": {"t_1": "failed"}}, {"other": {"t": "failed"}}])
def test_an_answer_about_something_else_is_no_answer(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(task_runner.RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: answer))
    with pytest.raises(LookupError):
        current_state(TaskKey("d", "r", "t"))
