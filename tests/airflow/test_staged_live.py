"""A backfill in stages in a real Airflow: what is loaded stays loaded, whatever ends a try."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.live

modes = pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
FOUR_WEEKS = "start_at='2026-01-05T00:00:00+00:00', end_at='2026-02-02T00:00:00+00:00', stage='1w'"
QUICK = {"queue_seconds": 0.1, "duration_seconds": 0.4}
OK, FAILED, STUCK = {"outcome": "succeeded", **QUICK}, {"outcome": "failed", **QUICK}, {"outcome": "stuck", **QUICK}


def staged(world: Any, deferrable: bool, extra: str = "", window: str = FOUR_WEEKS) -> Any:
    return world.start(
        f"PlanasonixBackfillOperator(task_id='sync', connection_id='{world.ORDERS}', deferrable={deferrable}, "
        f"{world.FAST}, {window}, {extra})"
    )


def starts(world: Any) -> list[str]:
    """The begin of each backfill that was asked for, in order, as the journal has it."""
    entries = world.sandbox.control("GET", "journal?operation=connections.backfill")["entries"]
    return [entry["body"]["start_at"][:10] for entry in entries if entry["status"] == 202]


def in_parallel(world: Any) -> None:
    world.sandbox.control("PATCH", "switches", {"busy": "parallel"})


@pytest.mark.parametrize(
    "deferrable",
    [pytest.param(False, id="blocking", marks=pytest.mark.scenario), pytest.param(True, id="deferrable")],
)
def test_a_retry_starts_only_the_stage_that_failed(world: Any, deferrable: bool) -> None:
    in_parallel(world)
    world.script(sequence=[OK, FAILED, OK, OK, OK])
    run = staged(world, deferrable, "max_active_stages=4")
    assert world.airflow.wait_run(run, timeout_seconds=120) == "success"
    weeks = ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]
    assert starts(world) == [*weeks, "2026-01-12"]
    outcome = world.airflow.database.xcoms(run, "sync")["return_value"]
    assert outcome["status"] == "succeeded"
    assert [stage["state"] for stage in outcome["stages"]] == ["done"] * 4
    assert [stage["generation"] for stage in outcome["stages"]] == [0, 1, 0, 0]
    assert world.airflow.database.task(run, "sync").try_number == 2
    log = world.airflow.task_log(run, "sync", try_number=1)
    assert "starts only the stage that is not done" in log
    assert {job["metadata"]["stage"] for job in world.jobs()} == {f"{week.replace('-', '')}T000000Z" for week in weeks}


def test_a_clear_resumes_what_failed_and_restarts_what_succeeded(world: Any) -> None:
    world.script(sequence=[OK, FAILED, OK, OK])
    run = staged(world, False, "retries=0, stop_after_failures=1, execution_timeout=timedelta(minutes=5)")
    assert world.airflow.wait_run(run) == "failed"
    assert starts(world) == ["2026-01-05", "2026-01-12"]
    log = world.airflow.task_log(run, "sync")
    assert "1 done, 1 failed, 2 not started" in log
    world.airflow.clear(run, "sync")
    assert world.airflow.wait_run(run) == "success"
    assert starts(world)[2:] == ["2026-01-12", "2026-01-19", "2026-01-26"]
    world.airflow.clear(run, "sync")
    world.airflow.wait_task(run, "sync", "success", try_number=3)
    assert starts(world)[5:] == ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]


@pytest.mark.scenario
def test_a_worker_killed_in_the_middle_starts_nothing_twice(world: Any) -> None:
    world.script(sequence=[OK, STUCK, OK, OK])
    run = staged(world, False)
    second = world.wait_for_job(2)
    world.airflow.kill_task(run, "sync")
    world.airflow.wait_task(run, "sync", "running", try_number=2)
    world.finish(second)
    assert world.airflow.wait_run(run) == "success"
    assert starts(world) == ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]
    assert world.statuses() == ["succeeded"] * 4


@modes
@pytest.mark.scenario
@pytest.mark.parametrize("exit_", ["failed", "success", "clear"])
def test_whoever_gives_the_task_up_leaves_no_shard_running(world: Any, deferrable: bool, exit_: str) -> None:
    in_parallel(world)
    world.script(outcome="stuck")
    window = "start_at='2026-01-01T00:00:00+00:00', end_at='2026-07-01T00:00:00+00:00', stage='3mo'"
    run = staged(world, deferrable, "max_active_stages=2", window)
    world.waiting(run, deferrable, look="backfills.get")
    first = [job["id"] for job in world.jobs()]
    assert len(first) > 2
    if exit_ == "clear":
        world.airflow.clear(run, "sync")
    else:
        world.airflow.mark(run, "sync", exit_)

    def none_is_left() -> bool:
        return all(job["status"] == "cancelled" for job in world.jobs() if job["id"] in first)

    world.airflow.wait_until(none_is_left, "all shards of both stages to be cancelled", 60, run)
    if exit_ == "clear":
        world.waiting(run, deferrable, try_number=2, look="backfills.get")
        world.airflow.mark(run, "sync", "failed")
        world.airflow.wait_until(lambda: set(world.statuses()) == {"cancelled"}, "the new shards' end", 60, run)
    else:
        assert set(world.statuses()) == {"cancelled"}


@pytest.mark.scenario
def test_a_triggerer_that_is_killed_and_replaced_cancels_and_loses_nothing(world: Any) -> None:
    in_parallel(world)
    world.script(outcome="stuck")
    run = staged(world, True, "max_active_stages=2, stop_after_failures=None")
    world.waiting(run, True, look="backfills.get")
    world.airflow.triggerer.kill()
    world.airflow.triggerer.start()
    for number in range(1, 5):
        world.finish(world.wait_for_job(number))
    assert world.airflow.wait_run(run, timeout_seconds=120) == "success"
    assert starts(world) == ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]


@pytest.mark.scenario
def test_a_mapped_task_for_each_planned_stage(world: Any) -> None:
    in_parallel(world)
    run = world.start(
        "from airflow_provider_planasonix.windows import stage_windows\n"
        "windows = stage_windows('2026-01-05T00:00Z', '2026-01-26T00:00Z', '1w')\n"
        f"PlanasonixBackfillOperator.partial(task_id='sync', connection_id='{world.ORDERS}', {world.FAST}, "
        "deferrable=False, max_active_tis_per_dagrun=2).expand_kwargs(windows)"
    )
    assert world.airflow.wait_run(run) == "success"
    assert sorted(starts(world)) == ["2026-01-05", "2026-01-12", "2026-01-19"]
    assert {job["metadata"]["map_index"] for job in world.jobs()} == {0, 1, 2}
