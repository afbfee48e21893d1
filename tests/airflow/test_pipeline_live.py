"""Runs of pipelines in a real Airflow: green in both modes, found again after a crash, cancelled by their owners."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.live

modes = pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
PIPELINE = "pl_daily_revenue"
IMPORTS = """
from airflow_provider_planasonix.operators.cancel import PlanasonixCancelOperator
from airflow_provider_planasonix.operators.pipeline import PlanasonixRunPipelineOperator
"""
RETRIES = "schedule=None, default_args={'retries': 1, 'retry_delay': timedelta(seconds=1)}"


def start(world: Any, dag: Any, body: str) -> Any:
    return world.airflow.trigger(dag(body, imports=IMPORTS, arguments=RETRIES))


def run_pipeline(world: Any, dag: Any, *, deferrable: bool, more: str = "pipeline_id='pl_daily_revenue'") -> Any:
    return start(
        world,
        dag,
        f"PlanasonixRunPipelineOperator(task_id='sync', deferrable={deferrable}, {world.FAST}, {more})",
    )


def runs(world: Any) -> list[dict[str, Any]]:
    return world.sandbox.control("GET", f"runs?pipeline_id={PIPELINE}")["runs"]


@modes
def test_a_pipeline_runs_and_tells_the_result(world: Any, dag: Any, deferrable: bool) -> None:
    more = "pipeline_name='daily_revenue', environment='env_prod', variables={'run': '{{ run_id }}'}, "
    run = run_pipeline(world, dag, deferrable=deferrable, more=more + "forward_context=True")
    assert world.airflow.wait_run(run) == "success"
    xcoms = world.airflow.database.xcoms(run, "sync")
    outcome = xcoms["return_value"]
    [started] = runs(world)
    assert (outcome["kind"], outcome["id"], outcome["status"]) == ("run", started["id"], "succeeded")
    assert (outcome["pipeline_id"], outcome["rows_loaded"]) == (PIPELINE, started["metrics"]["rowsWritten"])
    assert [node["status"] for node in outcome["nodes"]] == ["succeeded"] * 3
    assert xcoms["planasonix_job_link"].endswith(f"/#/runs/{started['id']}")
    assert started["environment_id"] == "env_prod"
    told = {"run": run.run_id, "dag_run_id": run.run_id, "dag_id": run.dag_id, "task_id": "sync"}
    assert told.items() <= started["variables"].items()


def test_a_run_of_another_task_is_cancelled_by_its_handle(world: Any, dag: Any) -> None:
    world.sandbox.control("PUT", f"pipelines/{PIPELINE}/script", {"outcome": "stuck"})
    begin = "task_id='begin', pipeline_id='pl_daily_revenue', wait_for_completion=False"
    run = start(
        world,
        dag,
        f"begin = PlanasonixRunPipelineOperator({begin})\n"
        "PlanasonixCancelOperator(task_id='stop', handle=begin.output)",
    )
    assert world.airflow.wait_run(run) == "success"
    told = world.airflow.database.xcoms(run, "stop")["return_value"]
    assert (told["status"], told["already_ended"]) == ("cancelled", False)
    assert [each["status"] for each in runs(world)] == ["canceled"]


@pytest.mark.scenario
def test_a_retry_after_a_killed_worker_waits_for_the_same_run(world: Any, dag: Any) -> None:
    world.sandbox.control("PUT", f"pipelines/{PIPELINE}/script", {"outcome": "stuck"})
    run = run_pipeline(world, dag, deferrable=False)
    world.waiting(run, deferrable=False, look="runs.get")
    world.airflow.kill_task(run, "sync", what="task")
    world.waiting(run, deferrable=False, try_number=2, look="runs.get")
    [started] = runs(world)
    world.sandbox.control("POST", f"runs/{started['id']}/finish", {"outcome": "succeeded"})
    assert world.airflow.wait_run(run) == "success"
    assert len(runs(world)) == 1
    assert world.airflow.database.xcoms(run, "sync")["return_value"]["reattached"]


@pytest.mark.scenario
@modes
def test_a_run_whose_task_is_marked_failed_is_cancelled(world: Any, dag: Any, deferrable: bool) -> None:
    world.sandbox.control("PUT", f"pipelines/{PIPELINE}/script", {"outcome": "stuck"})
    run = run_pipeline(world, dag, deferrable=deferrable)
    world.waiting(run, deferrable, look="runs.get")
    world.airflow.mark(run, "sync", "failed")
    world.airflow.wait_until(lambda: [each["status"] for each in runs(world)] == ["canceled"], "the cancel", 90)
    assert world.airflow.wait_run(run) == "failed"
    assert world.calls("runs.cancel") >= 1
