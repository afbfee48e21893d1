"""The local Dagster itself: what the other live tests rely on, shown with plain assets."""

from __future__ import annotations

import os
import signal

import pytest

from scripts.dagster_local import LocalDagster, LocalDagsterError
from scripts.local import proc

pytestmark = [pytest.mark.live, pytest.mark.scenario]

DEFINITIONS = """
import time
import dagster as dg

days = dg.DailyPartitionsDefinition("2026-01-01")
again = dg.RetryPolicy(max_retries=1, delay=1)

@dg.asset(check_specs=[dg.AssetCheckSpec("good", asset="fine")])
def fine(context):
    context.log_event(dg.AssetObservation("fine", metadata={"seen": dg.MetadataValue.json({"n": 1})}))
    yield dg.MaterializeResult(
        metadata={"dagster/row_count": 3, "page": dg.MetadataValue.url("http://here/1")},
        check_results=[dg.AssetCheckResult(passed=True)],
    )

@dg.asset(retry_policy=again)
def slow(context):
    if context.retry_number == 0:
        time.sleep(600)

@dg.asset
def stuck():
    time.sleep(600)

@dg.asset(partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
def daily(context):
    if "2026-01-02" in context.partition_keys:
        raise dg.Failure("not this day")

@dg.sensor(minimum_interval_seconds=1)
def looks(context):
    return dg.SensorResult(cursor=str(int(context.cursor or 0) + 1))

defs = dg.Definitions(assets=[fine, slow, stuck, daily], sensors=[looks])
"""


def test_a_run_tells_what_it_did(local_dagster: LocalDagster) -> None:
    run_id = local_dagster.launch_assets("fine", tags={"who": "me"})
    assert local_dagster.wait_run(run_id) == "SUCCESS"
    assert local_dagster.run(run_id)["tags"]["who"] == "me"
    [made] = local_dagster.materializations("fine")
    assert made.run_id == run_id
    assert made.metadata == {"dagster/row_count": 3, "page": "http://here/1"}
    assert [seen.metadata["seen"] for seen in local_dagster.observations("fine")] == [{"n": 1}]
    assert [(check.passed, check.severity) for check in local_dagster.checks("fine", "good")] == [(True, "ERROR")]
    assert local_dagster.assets()["fine"]["checks"] == ["good"]
    assert local_dagster.steps(run_id)["fine"]["status"] == "SUCCESS"


def test_a_killed_step_is_retried(local_dagster: LocalDagster) -> None:
    run_id = local_dagster.launch_assets("slow")
    step = local_dagster.step_worker(run_id, "slow")
    assert step != local_dagster.run_worker(run_id)
    local_dagster.kill(step)
    assert local_dagster.wait_run(run_id) == "SUCCESS"
    assert len(local_dagster.events(run_id, "STEP_UP_FOR_RETRY")) == 1
    # The run worker lives on for a moment.
    local_dagster.wait_until(lambda: not local_dagster.workers(run_id), "the workers to end")


def test_a_run_is_terminated_and_tried_again(local_dagster: LocalDagster) -> None:
    run_id = local_dagster.launch_assets("stuck", in_process=True)
    local_dagster.wait_until(lambda: local_dagster.events(run_id, "STEP_START"), "the step to start")
    local_dagster.terminate(run_id)
    assert local_dagster.wait_run(run_id) == "CANCELED"
    second = local_dagster.reexecute(run_id, "ALL_STEPS", {"again": "yes"})
    worker = local_dagster.run_worker(second)
    os.kill(worker, signal.SIGKILL)
    proc.wait_gone(worker)
    assert local_dagster.wait_run(second) == "FAILURE"
    assert [run["runId"] for run in local_dagster.run_group(second)] == [run_id, second]


def test_the_daemon_runs_backfills_and_sensors(local_dagster: LocalDagster) -> None:
    local_dagster.start_sensor("looks")
    backfill = local_dagster.backfill(["daily"], ["2026-01-01", "2026-01-02"])
    state = local_dagster.wait_backfill(backfill)
    assert state["assets"] == {"daily": {"targeted": 2, "materialized": 0, "failed": 2}}
    ticked = local_dagster.wait_until(lambda: local_dagster.sensor_state("looks")["ticks"][2:], "three ticks")
    local_dagster.stop_sensor("looks")
    assert {tick["status"] for tick in ticked} <= {"SUCCESS", "SKIPPED"}
    assert int(local_dagster.sensor_state("looks")["cursor"]) >= 3
    assert local_dagster.sensors() == {"looks": "STOPPED"}


def test_definitions_are_loaded_anew(local_dagster: LocalDagster) -> None:
    with pytest.raises(LocalDagsterError, match="no_such_name"):
        local_dagster.redefine("no_such_name")
    renamed = DEFINITIONS.replace("def fine", "def finer").replace('"fine"', '"finer"')
    local_dagster.redefine(renamed.replace("assets=[fine,", "assets=[finer,"))
    assert "finer" in local_dagster.assets()


def test_one_process_alone_is_killed() -> None:
    with LocalDagster(DEFINITIONS, dev=False) as separate:
        separate.daemon.kill()
        run_id = separate.launch_assets("fine")
        assert separate.run_status(run_id) == "QUEUED"
        separate.daemon.start()
        assert separate.wait_run(run_id) == "SUCCESS"
        everything = [process.pid for component in separate.components for process in component.processes]
    assert not separate.home.exists()
    assert [pid for pid in everything if proc.read(pid)] == []
