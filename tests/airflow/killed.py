"""What the tests of killed triggers share: an Airflow that answers, runs that are cancelled, logs, triggers."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import TriggerRunner

from airflow_provider_planasonix.task_state import TaskKey
from airflow_provider_planasonix.triggers import asking, killing
from airflow_provider_planasonix.triggers.lines import LogLines
from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger
from airflow_provider_planasonix.triggers.stages import PlanasonixStagesTrigger
from planasonix.runs import RunHandle


class Airflow:
    """What a triggerer's supervisor says: one answer after the other, each taking a while."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}
        self.questions: list[tuple[str, list[str], list[str]]] = []
        self.seconds = 0.02
        self.sent = threading.Event()

    def states_of(self, dag_id: str, run_ids: list[str], task_ids: list[str]) -> dict[str, dict[str, Any]]:
        self.questions.append((dag_id, run_ids, task_ids))
        answer = {run_id: dict(self.states[run_id]) for run_id in run_ids if run_id in self.states}
        self.sent.set()
        time.sleep(self.seconds)
        return answer


class Jobs:
    """The runs that were cancelled, by a cancel that takes a while."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.seconds = 0.0

    async def cancel_each(self, handles: list[RunHandle], conn_id: str, lines: LogLines, state: str) -> None:
        await asyncio.sleep(self.seconds)
        self.cancelled += [handle.id for handle in handles]
        lines.info(f"the task is {state}: cancelled {handles[0].id}")


class Log:
    """Airflow's own lines, and the triggers': in one list."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.on_kill_seconds = 0.0

    def info(self, text: str, *words: Any, **_: Any) -> None:
        if text.startswith(("job", "the task is")):
            # A kill's line, in a log that is slow.
            assert threading.current_thread() is not threading.main_thread()
            time.sleep(0.2)
        self.told.append(text % words)

    warning = info

    async def ainfo(self, text: str, *words: Any, **_: Any) -> None:
        if "on_kill" in text:
            await asyncio.sleep(self.on_kill_seconds)
        self.told.append(text)

    aerror = awarning = ainfo


class QuickLog:
    def info(self, text: str) -> None:
        pass

    warning = info


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    answers = Airflow()
    monkeypatch.setattr(asking, "states_of", answers.states_of)
    return answers


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    remote = Jobs()
    monkeypatch.setattr(killing, "cancel_each", remote.cancel_each)
    return remote


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    lines = Log()

    async def for_ever(*_: Any) -> None:
        await asyncio.sleep(99)

    for trigger in (PlanasonixRunTrigger, PlanasonixStagesTrigger):
        monkeypatch.setattr(trigger, "log", lines)
        monkeypatch.setattr(trigger, "_wait", for_ever)
    monkeypatch.setattr("airflow_provider_planasonix.triggers.run.prepare_for_a_kill", lambda key: None)
    monkeypatch.setattr("airflow_provider_planasonix.triggers.stages.prepare_for_a_kill", lambda key: None)
    return lines


def handle(run: str, owned: bool = True) -> RunHandle:
    now = time.time()
    return RunHandle("job", run, "conn_shop_orders", owned, now, now + 600, "intent")


def one(task_id: str = "sync", **options: Any) -> PlanasonixRunTrigger:
    return PlanasonixRunTrigger(handle("job_1").to_dict(), TaskKey("d", "r", task_id).to_dict(), "c", **options)


def several() -> PlanasonixStagesTrigger:
    handles = [handle("job_1").to_dict(), handle("job_2").to_dict()]
    return PlanasonixStagesTrigger(handles, TaskKey("d", "r", "sync").to_dict(), "c")


async def in_a_triggerer(trigger: Any, log: Log, message: str | None, *, times: int = 99, every: float = 0.05) -> None:
    """Airflow's own `run_trigger`, and the cancel that it repeats (each second there)."""
    runner = TriggerRunner.__new__(TriggerRunner)
    runner.log = log  # type: ignore[assignment]
    runner.triggers = {1: {"name": "one", "events": 0}}  # type: ignore[typeddict-item]
    runner._shared_streams = None  # type: ignore[assignment]
    task = asyncio.create_task(runner.run_trigger(1, trigger))
    await asyncio.sleep(0.05)
    for _ in range(times):
        if task.done():
            break
        task.cancel(message) if message else task.cancel()
        await asyncio.sleep(every)
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
