"""Cancels of a run, and stops of `serve` and of a process worker as a deploy does them: what becomes of the job."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from scripts.local import proc
from scripts.local.components import Component
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect

# Minutes of real servers and workers; a SIGTERM to the flow run's own process is a cell of tests/scenarios.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

FLOWS = {
    "flows.py": """
import os
from prefect import flow, serve, task
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync

def sync(on_shutdown):
    credentials = PlanasonixCredentials(api_key=os.environ["PLANASONIX_API_KEY"])
    return PlanasonixSync(
        credentials=credentials, connection_id="conn_shop_orders", on_shutdown=on_shutdown, poll_interval_seconds=0.5
    )

@task
def in_task(on_shutdown):
    sync(on_shutdown).trigger().wait_for_completion()

@flow
def direct(on_shutdown):
    sync(on_shutdown).trigger().wait_for_completion()

@flow
async def adirect(on_shutdown):
    await (await sync(on_shutdown).atrigger()).await_completion()

@flow
def submitted(on_shutdown):
    in_task.submit(on_shutdown).result()

if __name__ == "__main__":
    serve(*[one.to_deployment("served") for one in (direct, adirect, submitted)])
"""
}
NAMES = ("direct", "adirect", "submitted")
# As `automations.zombie` has it done for a run that gives no sign of life.
MARK_CRASHED = """
import sys
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.reconcile import mark_crashed

assert mark_crashed(prefect_client(), sys.argv[1], print)
"""
RECONCILE = """
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.reconcile import client_for, run_pass
from prefect_planasonix.reconcile_source import PrefectSource

client, prefect = client_for(None), prefect_client()
print(run_pass(client, prefect, PrefectSource(prefect, of=client.config), dry_run=False, grace_seconds=0).report())
"""
# What a quiet machine needs at most; the rest is for a loaded one.
PROMISED_SECONDS, PATIENCE_SECONDS = 5.0, 30.0


@pytest.fixture(scope="module")
def here(local_prefect: LocalPrefect) -> LocalPrefect:
    for name in NAMES:
        local_prefect.deploy(f"flows.py:{name}", name="worked")
    return local_prefect


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> Iterator[SandboxProcess]:
    """A tenant whose jobs end when a test says so."""
    sandbox_process.control("PUT", "clock/speed", {"speed": 0})
    yield sandbox_process
    sandbox_process.control("PUT", "clock/speed", {"speed": 1})


@pytest.fixture
def worker(here: LocalPrefect) -> Component:
    [worker] = here.workers
    if not worker.alive:
        worker.start()
    return worker


@pytest.fixture
def serving(here: LocalPrefect) -> Iterator[Component]:
    serving = here.serve("flows.py", f"serve-{time.monotonic_ns()}")
    for name in NAMES:
        here.wait_deployed(f"{name}/served", 120)
    yield serving
    serving.terminate(60)


def waiting(here: LocalPrefect, sandbox: SandboxProcess, runner: Component, name: str, on_shutdown: str) -> str:
    """A flow run that waits for its job."""
    deployment = "worked" if runner in here.workers else "served"
    run = here.start_run(here.deployment_id(f"{name}/{deployment}"), {"on_shutdown": on_shutdown})
    here.wait_until(lambda: sandbox.control("GET", "jobs")["jobs"], "the job", 120, run)
    here.wait_until(lambda: looks(sandbox) >= 2, "the wait to look twice", 60, run)
    return run


def looks(sandbox: SandboxProcess) -> int:
    return int(sandbox.control("GET", "counts")["calls_by_operation"].get("jobs.get", 0))


def cancels(sandbox: SandboxProcess) -> int:
    return int(sandbox.control("GET", "counts")["cancels"])


def stop(runner: Component) -> None:
    """SIGTERM to the one process, as a service manager does it; what it started is its affair."""
    runner.expected_alive = False
    proc.kill(runner.pid, signal.SIGTERM)


@pytest.mark.parametrize("by", ["serving", "worker"])
@pytest.mark.parametrize("name", NAMES)
def test_a_cancel_of_the_run_cancels_the_job_once_even_where_stops_leave_it(
    here: LocalPrefect, sandbox: SandboxProcess, request: pytest.FixtureRequest, by: str, name: str
) -> None:
    run = waiting(here, sandbox, request.getfixturevalue(by), name, "leave")
    began = time.monotonic()
    here.cancel(run)
    here.wait_until(lambda: cancels(sandbox), "the job's cancel", PATIENCE_SECONDS, run, every_seconds=0.05)
    print(f"cancelled {time.monotonic() - began:.1f} s after the run; promised {PROMISED_SECONDS:g} s")
    assert here.wait_run(run) == "Cancelled"
    here.wait_no_process(run)
    assert cancels(sandbox) == 1
    assert len(sandbox.control("GET", "jobs")["jobs"]) == 1


@pytest.mark.parametrize("name", ["direct", "adirect"])
def test_a_stop_of_serve_cancels_the_job_once(
    here: LocalPrefect, sandbox: SandboxProcess, serving: Component, name: str
) -> None:
    run = waiting(here, sandbox, serving, name, "cancel")
    began = time.monotonic()
    stop(serving)
    here.wait_until(lambda: cancels(sandbox), "the job's cancel", PATIENCE_SECONDS, run, every_seconds=0.05)
    print(f"cancelled {time.monotonic() - began:.1f} s after the SIGTERM; promised {PROMISED_SECONDS:g} s")
    serving.wait_end(90)
    here.wait_no_process(run)
    assert cancels(sandbox) == 1
    assert len(sandbox.control("GET", "jobs")["jobs"]) == 1


def test_what_a_stop_of_serve_does_not_tell_a_submitted_task_reconcile_cancels(
    here: LocalPrefect, sandbox: SandboxProcess, serving: Component
) -> None:
    """A signal reaches the main thread only, which waits for the task's: until Prefect kills the process."""
    run = waiting(here, sandbox, serving, "submitted", "cancel")
    stop(serving)
    serving.wait_end(120)
    here.wait_no_process(run)
    print(f"the run is {here.wait_run(run, timeout_seconds=90)}, cancels by then: {cancels(sandbox)}")
    here.write("reconcile_now.py", RECONCILE)
    here.run_to_end("reconcile_now.py", "reconcile-now")
    assert cancels(sandbox) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_job_that_a_stop_of_serve_left_is_found_by_the_rerun(
    here: LocalPrefect, sandbox: SandboxProcess, serving: Component, name: str
) -> None:
    run = waiting(here, sandbox, serving, name, "leave")
    stop(serving)
    serving.wait_end(90)
    here.wait_no_process(run)
    assert cancels(sandbox) == 0
    print(f"the run is {here.wait_run(run, timeout_seconds=90)}")
    serving.start()
    found_by_the_rerun(here, sandbox, run)


@pytest.mark.parametrize("on_shutdown", ["cancel", "leave"])
@pytest.mark.parametrize("name", NAMES)
def test_a_stop_of_a_process_worker_is_a_crash_and_the_rerun_finds_the_job(
    here: LocalPrefect, sandbox: SandboxProcess, worker: Component, name: str, on_shutdown: str
) -> None:
    """It kills its runs' processes on the spot: nothing of ours runs any more, and Prefect says Running."""
    run = waiting(here, sandbox, worker, name, on_shutdown)
    stop(worker)
    worker.wait_end(90)
    here.wait_no_process(run)
    assert here.state_type(run) == "RUNNING"
    assert cancels(sandbox) == 0
    here.write("mark_crashed.py", MARK_CRASHED)
    here.run_to_end("mark_crashed.py", "mark-crashed", run)
    assert here.wait_run(run) == "Crashed"
    worker.start()
    found_by_the_rerun(here, sandbox, run)


def found_by_the_rerun(here: LocalPrefect, sandbox: SandboxProcess, run: str) -> None:
    here.retry(run)
    here.flow_process(run)
    here.wait_run(run, "Running", "Retrying")
    [job] = sandbox.control("GET", "jobs")["jobs"]
    sandbox.control("POST", f"jobs/{job['id']}/finish", {"outcome": "succeeded"})
    assert here.wait_run(run) == "Completed"
    assert len(sandbox.control("GET", "jobs")["jobs"]) == 1
    assert cancels(sandbox) == 0
