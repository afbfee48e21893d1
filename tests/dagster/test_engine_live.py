"""Steps of a real Dagster that are killed, terminated and run again; the sandbox's journal is the judge."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from scripts.dagster_local import LocalDagster
from scripts.local.sandbox import SandboxProcess

pytestmark = pytest.mark.live

DEFINITIONS = """
import dagster as dg
from dagster_planasonix.attempt import Attempt
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix.runs import SyncRequest, raise_for_failure

workspace = PlanasonixWorkspace(
    api_key=dg.EnvVar("PLANASONIX_API_KEY"),
    base_url=dg.EnvVar("PLANASONIX_BASE_URL"),
    job_url_template=dg.EnvVar("PLANASONIX_JOB_URL_TEMPLATE"),
    idempotency="honoured",
    poll_interval_seconds=0.5,
)
connections = ("conn_shop_orders", "conn_shop_inventory", "conn_crm_accounts", "conn_support_tickets")


def op_of(name, connection, retries):
    @dg.op(name=name, retry_policy=dg.RetryPolicy(max_retries=retries, delay=1) if retries else None)
    def load(context):
        outcome = Attempt(context, workspace).run(SyncRequest(connection))
        raise_for_failure(outcome)
    return load


retried = [op_of(f"load_{connection}", connection, 2) for connection in connections]
once = op_of("load_once", connections[0], 0)


@dg.job
def one():
    retried[0]()


@dg.job
def no_retry():
    once()


@dg.job
def four():
    for each in retried:
        each()


defs = dg.Definitions(jobs=[one, no_retry, four])
"""
CONNECTION = "conn_shop_orders"


CONNECTIONS = (CONNECTION, "conn_shop_inventory", "conn_crm_accounts", "conn_support_tickets")


class Connection:
    """What the sandbox says of one connection."""

    def __init__(self, sandbox: SandboxProcess, connection_id: str = CONNECTION) -> None:
        self._sandbox = sandbox
        self._id = connection_id

    def script(self, *jobs: dict[str, Any]) -> None:
        self._sandbox.control("PUT", f"connections/{self._id}/script", {"sequence": list(jobs)})

    @property
    def counts(self) -> tuple[int, int]:
        """(jobs started, jobs cancelled)."""
        told = self._sandbox.control("GET", f"counts?connection_id={self._id}")
        return told["jobs_started"], told["cancels"]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return self._sandbox.control("GET", f"jobs?connection_id={self._id}")["jobs"]

    def finish(self) -> None:
        self._sandbox.control("POST", f"jobs/{self.jobs[-1]['id']}/finish", {"outcome": "succeeded"})


@pytest.fixture
def connection(sandbox_process: SandboxProcess) -> Connection:
    found = Connection(sandbox_process)
    found.script({"outcome": "stuck"})
    return found


def waits(dagster: LocalDagster, run_id: str) -> None:
    """Until the step has told that its job is running."""
    dagster.wait_until(lambda: "is running" in dagster.run_log(run_id), "the step to wait", 90.0, run_id)


def test_a_step_that_is_killed_between_the_start_and_its_answer(
    local_dagster: LocalDagster, sandbox_process: SandboxProcess, connection: Connection
) -> None:
    fault = {"operation": "connections.sync", "kind": "timeout", "where": "after", "seconds": 30, "times": 1}
    sandbox_process.control("POST", "faults", fault)
    run_id = local_dagster.launch_job("one")
    local_dagster.wait_until(lambda: connection.counts[0] == 1, "the start to take effect", 90.0, run_id)
    local_dagster.kill(local_dagster.step_worker(run_id))
    waits(local_dagster, run_id)
    connection.finish()
    assert local_dagster.wait_run(run_id) == "SUCCESS"
    assert connection.counts == (1, 0)
    shown = [event.metadata.get("planasonix/job_id") for event in local_dagster.observations("planasonix/started_jobs")]
    assert connection.jobs[0]["id"] in shown


@pytest.mark.parametrize("in_process", [True, pytest.param(False, marks=pytest.mark.scenario)])
def test_terminate_with_a_retry_policy(local_dagster: LocalDagster, connection: Connection, in_process: bool) -> None:
    run_id = local_dagster.launch_job("one", in_process=in_process)
    waits(local_dagster, run_id)
    local_dagster.terminate(run_id)
    assert local_dagster.wait_run(run_id) == "CANCELED"
    assert connection.counts == (1, 1)


@pytest.mark.scenario
def test_terminate_while_the_start_is_under_way(
    local_dagster: LocalDagster, sandbox_process: SandboxProcess, connection: Connection
) -> None:
    fault = {"operation": "connections.sync", "kind": "latency", "seconds": 6, "times": 1}
    sandbox_process.control("POST", "faults", fault)
    run_id = local_dagster.launch_job("one")
    struck = lambda: [rule for rule in sandbox_process.control("GET", "faults")["faults"] if rule["struck"]]  # noqa: E731
    local_dagster.wait_until(struck, "the start to be under way", 90.0, run_id)
    local_dagster.terminate(run_id)
    assert local_dagster.wait_run(run_id) == "CANCELED"
    assert connection.counts == (1, 1)


@pytest.mark.scenario
def test_an_evicted_worker_leaves_it_running_and_a_re_execution_takes_it_over(
    local_dagster: LocalDagster, connection: Connection
) -> None:
    run_id = local_dagster.launch_job("no_retry", in_process=True)
    waits(local_dagster, run_id)
    local_dagster.kill(local_dagster.run_worker(run_id), sig=signal.SIGTERM)
    assert local_dagster.wait_run(run_id) == "FAILURE"
    assert connection.counts == (1, 0)
    again = local_dagster.reexecute(run_id, "FROM_FAILURE")
    waits(local_dagster, again)
    connection.finish()
    assert local_dagster.wait_run(again) == "SUCCESS"
    assert connection.counts == (1, 0)


def test_steps_side_by_side_lose_nothing(local_dagster: LocalDagster, sandbox_process: SandboxProcess) -> None:
    each = [Connection(sandbox_process, name) for name in CONNECTIONS]
    run_id = local_dagster.launch_job("four")
    assert local_dagster.wait_run(run_id) == "SUCCESS"
    assert [one.counts for one in each] == [(1, 0)] * 4
    kept = [event.metadata for event in local_dagster.observations("planasonix/started_jobs") if event.run_id == run_id]
    assert [seen["planasonix/state"] for seen in kept].count("succeeded") == 4
    assert {seen.get("planasonix/job_id") for seen in kept} - {None} == {one.jobs[0]["id"] for one in each}
