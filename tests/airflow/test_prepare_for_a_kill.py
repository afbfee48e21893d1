"""The triggerer's first question is asked before a kill needs its answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_planasonix.task_state import TaskKey
from airflow_provider_planasonix.triggers import killing

KEY = TaskKey("nightly", "manual__1", "sync").to_dict()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[TaskKey]:
    keys: list[TaskKey] = []

    def fails(key: TaskKey) -> None:
        keys.append(key)
        raise RuntimeError("no supervisor")

    monkeypatch.setattr(killing, "_first_question", None)
    monkeypatch.setattr(killing, "current_state", fails)
    return keys


def test_it_is_asked_once_for_all_triggers_and_may_fail(asked: list[TaskKey]) -> None:
    async def two_triggers_start() -> Any:
        killing.prepare_for_a_kill(KEY)
        killing.prepare_for_a_kill(KEY | {"task_id": "other"})
        assert killing._first_question is not None
        return await killing._first_question

    assert asyncio.run(two_triggers_start()) is None
    assert asked == [TaskKey(**KEY)]
