"""The triggerer's first question is asked before a kill needs its answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_planasonix.task_state import TaskKey
from airflow_provider_planasonix.triggers import asking

KEY = TaskKey("nightly", "manual__1", "sync").to_dict()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], list[str]]]:
    questions: list[tuple[str, list[str], list[str]]] = []

    def fails(*question: Any) -> None:
        questions.append(question)
        raise RuntimeError("no supervisor")

    monkeypatch.setattr(asking, "_first_question", None)
    monkeypatch.setattr(asking, "states_of", fails)
    return questions


def test_it_is_asked_once_for_all_triggers_and_may_fail(asked: list[tuple[str, list[str], list[str]]]) -> None:
    async def two_triggers_start() -> Any:
        asking.prepare_for_a_kill(KEY)
        asking.prepare_for_a_kill(KEY | {"task_id": "other"})
        assert asking._first_question is not None
        return await asking._first_question

    assert asyncio.run(two_triggers_start()) is None
    assert asked == [("nightly", ["manual__1"], ["sync"])]
