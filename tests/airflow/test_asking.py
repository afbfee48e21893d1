"""The questions of killed triggers: few for many, and each is answered after the kill came."""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_planasonix.task_state import TaskKey
from airflow_provider_planasonix.triggers import asking
from tests.airflow.killed import Airflow, airflow

__all__ = ["airflow"]  # fixture


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
    assert airflow.questions == [("d", ["r"], ["load"])]


def test_a_task_that_is_called_like_a_mapped_instance_is_asked_for_apart(airflow: Airflow) -> None:
    async def main() -> None:
        keys = [TaskKey("d", "r", "load", 1), TaskKey("d", "r", "load_1"), TaskKey("d", "r", "load_1", 2)]
        await asyncio.gather(*map(asking.state_asked_now, keys), return_exceptions=True)

    asyncio.run(main())
    assert sorted(asked for _, _, asked in airflow.questions) == [["load"], ["load_1"]]


def test_two_runs_share_a_question_and_no_state(airflow: Airflow) -> None:
    airflow.states = {"r": {"sync": "failed"}, "other": {"sync": "deferred"}}

    async def main() -> list[str | None]:
        return await asyncio.gather(*(asking.state_asked_now(TaskKey("d", run, "sync")) for run in ("r", "other")))

    assert asyncio.run(main()) == ["failed", "deferred"]
    assert airflow.questions == [("d", ["r", "other"], ["sync"])]


def test_an_answer_speaks_of_no_more_than_a_server_can_bear(airflow: Airflow) -> None:
    keys = [TaskKey("d", f"run_{run}", f"task_{task}x") for run in range(90) for task in range(90)]
    for key in keys:
        airflow.states.setdefault(key.run_id, {})[key.task_id] = "failed"

    async def main() -> list[str | None]:
        return await asyncio.gather(*map(asking.state_asked_now, keys))

    assert set(asyncio.run(main())) == {"failed"}
    assert all(len(runs) * len(tasks) <= asking.MOST_STATES for _, runs, tasks in airflow.questions)
    assert len(airflow.questions) <= 4


def test_what_nobody_waits_for_any_more_is_not_asked(airflow: Airflow) -> None:
    airflow.seconds = 0.5
    airflow.states = {"r": {"sync": "failed"}}

    async def main() -> str | None:
        first = asyncio.create_task(asking.state_asked_now(TaskKey("d", "r", "sync")))
        await asyncio.to_thread(airflow.sent.wait, 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asking.state_asked_now(TaskKey("other", "r", "sync")), 0.1)
        return await first

    assert asyncio.run(main()) == "failed"
    assert [dag_id for dag_id, _, _ in airflow.questions] == ["d"]


def test_a_question_waits_for_no_look_up_of_a_connection(airflow: Airflow) -> None:
    from asgiref.sync import sync_to_async

    airflow.states = {"r": {"sync": "failed"}}

    async def main() -> float:
        slow = [asyncio.ensure_future(sync_to_async(time.sleep)(0.5)) for _ in range(4)]
        await asyncio.sleep(0.01)
        began = time.monotonic()
        await asking.state_asked_now(TaskKey("d", "r", "sync"))
        took = time.monotonic() - began
        await asyncio.gather(*slow)
        return took

    assert asyncio.run(main()) < 1.5


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
