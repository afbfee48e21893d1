"""A kill of triggers: whose work is not ended by Airflow's patience, and cancels what was given up alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import _USER_ACTION_CANCEL_MSG

from airflow_provider_planasonix.task_state import TaskKey
from airflow_provider_planasonix.triggers import killing
from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger
from tests.airflow.killed import Airflow, Jobs, Log, QuickLog, airflow, handle, in_a_triggerer, jobs, log, one, several

__all__ = ["airflow", "jobs", "log"]  # fixtures


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


def test_a_thousand_runs_of_one_task_share_few_questions(airflow: Airflow, jobs: Jobs) -> None:
    airflow.states = {f"scheduled__{number:04}": {"sync": "failed"} for number in range(1000)}

    async def main() -> None:
        kills = []
        for number in range(1000):
            task = TaskKey("d", f"scheduled__{number:04}", "sync").to_dict()
            kills.append(killing.Kill([handle(f"job_{number}")], task, "c", QuickLog(), wanted=True))
            kills[-1].begin()
        await asyncio.gather(*(kill.ended() for kill in kills))

    asyncio.run(main())
    assert len(set(jobs.cancelled)) == 1000
    assert len(airflow.questions) <= 4


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


class Client:
    """Whose runs come to what `statuses` says."""

    def __init__(self, statuses: dict[str, Any]) -> None:
        self.statuses = statuses
        self.closed = False


def test_each_run_is_told_what_came_of_its_cancel(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(
        {
            "job_1": "cancelling",
            "job_2": "succeeded",
            "job_3": None,
            "job_4": RuntimeError("a defect"),
            "backfill_5": "running",
        }
    )

    async def acancel_run(of: Client, handle: Any, **_: Any) -> str | None:
        await asyncio.sleep(0.02 if handle.id == "backfill_5" else 0)
        assert not of.closed
        status = of.statuses[handle.id]
        if isinstance(status, Exception):
            raise status
        return status

    @asynccontextmanager
    async def lent_client(*_: Any) -> AsyncIterator[Client]:
        yield client
        client.closed = True

    monkeypatch.setattr(killing, "lent_client", lent_client)
    monkeypatch.setattr("planasonix.runs.acancel_run", acancel_run)
    airflow.states = {"r": {"sync": "failed"}}
    log, handles = Told(), [handle(f"job_{number}") for number in range(1, 5)]
    handles.append(replace(handle("backfill_5"), kind="backfill"))
    asyncio.run(killing.cancel_if_given_up(handles, TaskKey("d", "r", "sync").to_dict(), "c", log))
    assert sorted(log.told) == [
        "info: the task is failed: backfill backfill_5 was asked to stop and is still running: look at it",
        "info: the task is failed: job job_1 was cancelled (it is cancelling)",
        "info: the task is failed: job job_2 had ended before it could be cancelled (it is succeeded)",
        "info: the task is failed: job job_3 is another run by now",
        "warning: job job_4 may go on, cancel it by hand: RuntimeError('a defect')",
    ]


class Told:
    def __init__(self) -> None:
        self.told: list[str] = []

    def info(self, text: str) -> None:
        self.told.append(f"info: {text}")

    def warning(self, text: str) -> None:
        self.told.append(f"warning: {text}")
