"""A task is given up while no triggerer is there to cancel its job; the command finds exactly that job (G2, G3)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planasonix import Planasonix

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

# Four tasks start at once, on a machine that may have other work.
PATIENCE = 90.0

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "airflow" / "planasonix_reconcile.py"

CONNECTIONS = {
    "given_up": "conn_shop_orders",
    "alive": "conn_crm_accounts",
    "kept": "conn_hr_people",
    "forgotten": "conn_billing_stripe",
    "foreign": "conn_support_tickets",
}
TASKS = "\n".join(
    f"PlanasonixSyncOperator(task_id='{name}', connection_id='{CONNECTIONS[name]}', retries=0, deferrable=True, "
    f"{extra})"
    for name, extra in {
        "given_up": "poll_interval_seconds=0.5",
        "alive": "poll_interval_seconds=0.5",
        "kept": "cancel_on_kill=False",
        "forgotten": "wait_for_completion=False",
    }.items()
)


def reconcile(world: Any, *arguments: str) -> tuple[int, dict[str, Any]]:
    program = str(Path(sys.executable).with_name("planasonix"))
    environment = {
        **os.environ,
        "PLANASONIX_API_KEY": world.sandbox.api_key,
        "PLANASONIX_BASE_URL": world.sandbox.url,
        "PLANASONIX_AIRFLOW_URL": world.airflow.url,
    }
    command = [program, "reconcile", "--source", "airflow", "--grace", "0", "--output", "json"]
    command += ["--option", f"dags={world.run.dag_id}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert world.sandbox.api_key not in done.stdout + done.stderr
    assert done.stdout, done.stderr
    data = json.loads(done.stdout)
    return done.returncode, data


def of_kind(data: dict[str, Any], kind: str) -> dict[str, str]:
    """Task id → run id of the findings of one kind."""
    return {found["slot"].split("/")[2]: found["run_id"] for found in data["findings"] if found["kind"] == kind}


def test_exactly_the_orphan_is_cancelled(world: Any) -> None:
    for connection_id in CONNECTIONS.values():
        world.script(connection_id, outcome="stuck")
    run = world.run = world.start(TASKS)
    with Planasonix(world.sandbox.api_key, world.sandbox.url) as client:
        client.connections.sync(CONNECTIONS["foreign"])
    for name in ("given_up", "alive", "kept"):
        world.airflow.wait_task(run, name, "deferred", timeout_seconds=PATIENCE)
    world.airflow.wait_task(run, "forgotten", "success", timeout_seconds=PATIENCE)
    jobs = {name: world.wait_for_job(1, connection_id) for name, connection_id in CONNECTIONS.items()}
    world.airflow.triggerer.kill()
    try:
        for name in ("given_up", "kept"):
            world.airflow.mark(run, name, "failed")

        code, dry = reconcile(world)
        assert (code, of_kind(dry, "orphan")) == (3, {"given_up": jobs["given_up"]["id"]})
        assert of_kind(dry, "left") == {name: jobs[name]["id"] for name in ("kept", "forgotten")}
        assert world.sandbox.control("GET", "counts")["cancels"] == 0

        code, done = reconcile(world, "--apply")
        assert (code, of_kind(done, "orphan")) == (0, {"given_up": jobs["given_up"]["id"]})
        calls = world.sandbox.control("GET", "journal?operation=jobs.cancel")["entries"]
        assert [call["path"].split("/")[-2] for call in calls] == [jobs["given_up"]["id"]]
        world.cancelled(1, CONNECTIONS["given_up"])

        code, again = reconcile(world, "--apply")
        assert (code, of_kind(again, "orphan")) == (0, {})
        assert of_kind(again, "settled") == {"given_up": jobs["given_up"]["id"]}
        others = [world.statuses(connection_id) for name, connection_id in CONNECTIONS.items() if name != "given_up"]
        assert others == [["running"]] * 4
    finally:
        world.airflow.triggerer.start()

    # The task that is still alive ends as it should, and notes the end: nobody will ask for its job again.
    world.finish(jobs["alive"])
    world.airflow.wait_task(run, "alive", "success", timeout_seconds=PATIENCE)
    assert world.airflow.database.task_state_store(run, "alive")["planasonix"]["record"]["ended_as"] == "succeeded"

    [dag_id] = world.airflow.add_dag(EXAMPLE.name, EXAMPLE.read_text())
    # The test of the examples, where it came before, has paused them.
    world.airflow.pause(dag_id, False)
    nightly = world.airflow.trigger(dag_id, conf={"dag_ids": [run.dag_id]})
    state = world.airflow.wait_run(nightly, timeout_seconds=PATIENCE)
    assert state == "success", world.airflow.task_log(nightly, "reconcile")
    told = world.airflow.database.xcoms(nightly, "reconcile")["return_value"]
    assert (told["applied"], "orphan" in told["counts"]) == (False, False)
    assert of_kind(told, "left").items() >= {name: jobs[name]["id"] for name in ("kept", "forgotten")}.items()
    assert world.sandbox.control("GET", "counts")["cancels"] == 1
