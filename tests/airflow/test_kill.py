"""A kill of triggers: few questions for many, each answered after it came, and no end of the work with Airflow's."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import _USER_ACTION_CANCEL_MSG, TriggerRunner

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
        self.questions: list[tuple[str, str, list[str]]] = []
        self.seconds = 0.02
        self.sent = threading.Event()

    def states_of(self, dag_id: str, run_id: str, task_ids: list[str]) -> dict[str, Any]:
        self.questions.append((dag_id, run_id, task_ids))
        answer = dict(self.states.get(run_id, {}))
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


def test_a_thousand_kills_at_once_share_few_questions(airflow: Airflow, jobs: Jobs) -> None:
    airflow.states = {"r": {f"wait_{number}": "failed" for number in range(1000)}}

    async def main() -> None:
        log, kills = QuickLog(), []
        for number in range(1000):
            task = TaskKey("d", "r", f"wait_{number}").to_dict()
            kills.append(killing.Kill([handle(f"job_{number}")], task, "c", log, wanted=True))
            kills[-1].begin()
        await asyncio.gather(*(kill.ended() for kill in kills))

    asyncio.run(main())
    assert len(set(jobs.cancelled)) == len(jobs.cancelled) == 1000
    assert len(airflow.questions) <= 4


def test_long_names_are_asked_for_in_several_questions(airflow: Airflow) -> None:
    names = [f"{'é' * 120}{number:03}x" for number in range(100)]
    airflow.states = {"r": dict.fromkeys(names, "failed")}

    async def main() -> list[str | None]:
        return await asyncio.gather(*(asking.state_asked_now(TaskKey("d", "r", name)) for name in names))

    assert asyncio.run(main()) == ["failed"] * 100
    assert len(airflow.questions) == 3
    assert sorted(name for _, _, asked in airflow.questions for name in asked) == sorted(names)


def test_mapped_instances_of_one_task_share_a_question(airflow: Airflow) -> None:
    airflow.states = {"r": {"load_0": "failed", "load_1": "deferred", "load_2": None}}

    async def main() -> list[str | None]:
        return await asyncio.gather(*(asking.state_asked_now(TaskKey("d", "r", "load", index)) for index in range(3)))

    assert asyncio.run(main()) == ["failed", "deferred", None]
    assert airflow.questions == [("d", "r", ["load"])]


def test_a_task_that_is_called_like_a_mapped_instance_is_asked_for_apart(airflow: Airflow) -> None:
    async def main() -> None:
        keys = [TaskKey("d", "r", "load", 1), TaskKey("d", "r", "load_1"), TaskKey("d", "r", "load_1", 2)]
        await asyncio.gather(*map(asking.state_asked_now, keys), return_exceptions=True)

    asyncio.run(main())
    assert sorted(asked for _, _, asked in airflow.questions) == [["load"], ["load_1"]]


def test_two_runs_share_no_answer(airflow: Airflow) -> None:
    airflow.states = {"r": {"sync": "failed"}, "other": {"sync": "deferred"}}

    async def main() -> list[str | None]:
        return await asyncio.gather(*(asking.state_asked_now(TaskKey("d", run, "sync")) for run in ("r", "other")))

    assert asyncio.run(main()) == ["failed", "deferred"]
    assert len(airflow.questions) == 2


def test_a_kill_that_comes_after_the_question_was_sent_asks_anew(airflow: Airflow) -> None:
    airflow.seconds = 0.3
    airflow.states = {"r": {"sync": "failed"}}

    async def main() -> list[str | None]:
        first = asyncio.create_task(asking.state_asked_now(TaskKey("d", "r", "sync")))
        await asyncio.to_thread(airflow.sent.wait, 5)
        airflow.states = {"r": {"sync": "deferred"}}
        return [await asking.state_asked_now(TaskKey("d", "r", "sync")), await first]

    assert asyncio.run(main()) == ["deferred", "failed"]
    assert len(airflow.questions) == 2


@pytest.mark.parametrize("state", ["deferred", "running", "queued", "unknown"])
def test_a_task_that_lives_or_is_not_told_of_keeps_its_job(airflow: Airflow, jobs: Jobs, log: Log, state: str) -> None:
    airflow.states = {} if state == "unknown" else {"r": {"sync": state}}
    asyncio.run(in_a_triggerer(one(), log, _USER_ACTION_CANCEL_MSG))
    assert len(airflow.questions) == 1
    assert jobs.cancelled == []
    assert any("job job_1 is left" in text for text in log.told)


@pytest.mark.parametrize("make", [one, several])
def test_a_kill_cancels_though_airflow_skips_on_kill(airflow: Airflow, jobs: Jobs, log: Log, make: Any) -> None:
    airflow.states = {"r": {"sync": "failed"}}
    log.on_kill_seconds = 5.0
    asyncio.run(in_a_triggerer(make(), log, _USER_ACTION_CANCEL_MSG))
    assert not any("on_kill" in text for text in log.told)
    assert jobs.cancelled == (["job_1"] if make is one else ["job_1", "job_2"])


@pytest.mark.parametrize("make", [one, several])
def test_a_kill_is_told_before_the_triggers_log_is_closed(airflow: Airflow, jobs: Jobs, log: Log, make: Any) -> None:
    airflow.states = {"r": {"sync": "failed"}}
    jobs.seconds = 0.5
    asyncio.run(in_a_triggerer(make(), log, _USER_ACTION_CANCEL_MSG))
    assert log.told[-2:] == ["the task is failed: cancelled job_1", "trigger completed"]
    assert len(airflow.questions) == 1


@pytest.mark.parametrize("make", [one, several])
def test_a_restart_cancels_and_asks_nothing(airflow: Airflow, jobs: Jobs, log: Log, make: Any) -> None:
    airflow.states = {"r": {"sync": "failed"}}
    asyncio.run(in_a_triggerer(make(), log, None, times=1))
    assert (airflow.questions, jobs.cancelled) == ([], [])
    assert log.told[-1] == "trigger completed"


def test_who_opted_out_or_owns_nothing_is_asked_nothing(airflow: Airflow, jobs: Jobs, log: Log) -> None:
    foreign = PlanasonixRunTrigger(handle("job_1", owned=False).to_dict(), TaskKey("d", "r", "sync").to_dict(), "c")
    for trigger in (one(cancel_on_kill=False), foreign):
        asyncio.run(in_a_triggerer(trigger, log, _USER_ACTION_CANCEL_MSG))
    assert (airflow.questions, jobs.cancelled) == ([], [])


def test_a_cancel_that_fails_as_the_cancel_is_repeated_is_told(
    airflow: Airflow, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow.states = {"r": {"sync": "failed"}}

    async def fails(*_: Any) -> None:
        await asyncio.sleep(0.2)
        raise RuntimeError("no connection")

    monkeypatch.setattr(killing, "cancel_each", fails)
    asyncio.run(in_a_triggerer(one(), log, _USER_ACTION_CANCEL_MSG, every=0.001, times=3000))
    assert any("job job_1 may go on, cancel by hand: RuntimeError('no connection')" in text for text in log.told)
