"""Deferred runs on a real server with a process worker: nothing runs while a job does, and each way on works."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from planasonix import Planasonix
from prefect_planasonix import automations
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.ledger import records_of
from prefect_planasonix.reconcile import Reconciled, run_pass
from prefect_planasonix.reconcile_source import PrefectSource
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect

# Minutes of real servers and workers; one cell of each promise runs at every landing.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

CLEANUP, RECONCILE = "planasonix-cleanup", "planasonix-reconcile"

FLOWS = {
    "flows.py": """
import os
from prefect import flow
from prefect_planasonix import PlanasonixCredentials
from prefect_planasonix.deferred import arun_sync_deferred, run_deferred, run_sync_deferred
from prefect_planasonix.reconcile import cleanup, reconcile
from planasonix.runs import SyncRequest

def credentials():
    return PlanasonixCredentials(api_key=os.environ["PLANASONIX_API_KEY"])

@flow
def load(connection_id: str = "conn_shop_orders"):
    return run_sync_deferred(credentials(), connection_id).rows_loaded

@flow
async def aload(connection_id: str = "conn_shop_orders"):
    return (await arun_sync_deferred(credentials(), connection_id)).rows_loaded

@flow
def load_two(return_when: str = "all"):
    requests = [SyncRequest("conn_shop_orders"), SyncRequest("conn_shop_inventory")]
    return len(run_deferred(credentials(), requests, return_when=return_when))
"""
}


@pytest.fixture(scope="module")
def here(local_prefect: LocalPrefect) -> Iterator[LocalPrefect]:
    """All flows are deployed, the automations made; the client of this process speaks with that server."""
    for name in ("load", "aload", "load_two", "cleanup", "reconcile"):
        flow_name = {"cleanup": CLEANUP, "reconcile": RECONCILE}.get(name)
        local_prefect.deploy(f"flows.py:{name}", flow_name=flow_name)
    with temporary_settings({PREFECT_API_URL: f"{local_prefect.url}/api"}):
        for name in ("load", "aload", "load-two"):
            automations.resume_on_event(f"{name}/local").create()
        automations.cleanup_on_cancel("load/local", f"{CLEANUP}/local").create()
        yield local_prefect


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> Iterator[SandboxProcess]:
    """A tenant whose jobs end when a test says so."""
    sandbox_process.control("PUT", "clock/speed", {"speed": 0})
    yield sandbox_process
    sandbox_process.control("PUT", "clock/speed", {"speed": 1})


def suspended(prefect: LocalPrefect, name: str = "load", **parameters: str) -> str:
    """A run that sleeps, and of which nothing runs."""
    flow_run_id = prefect.start_run(prefect.deployment_id(f"{name}/local"), parameters)
    prefect.wait_run(flow_run_id, "Suspended")
    prefect.wait_no_process(flow_run_id)
    return flow_run_id


def jobs(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    return sandbox.control("GET", "jobs")["jobs"]


def finish(sandbox: SandboxProcess, job_id: str, outcome: str = "succeeded") -> None:
    sandbox.control("POST", f"jobs/{job_id}/finish", {"outcome": outcome})


def post_end(prefect: LocalPrefect, flow_run_id: str, job_id: str, word: str = "succeeded") -> None:
    """Tell of a job's end as a relay of webhooks would."""
    related = [
        {"prefect.resource.id": f"prefect.flow-run.{flow_run_id}", "prefect.resource.role": "flow-run"},
        {
            "prefect.resource.id": f"prefect.deployment.{prefect.run(flow_run_id)['deployment_id']}",
            "prefect.resource.role": "deployment",
        },
    ]
    event = {"id": str(uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": f"planasonix.job.{word}"}
    resource = {"prefect.resource.id": f"planasonix.job.{job_id}"}
    prefect.rest.post("events", [{**event, "resource": resource, "related": related, "payload": {}}])


def the_job_of(flow_run_id: str) -> str:
    """The job that the run's ledger names."""
    [entry] = records_of(prefect_client(), flow_run_id)
    return str(entry.record.run_id)


def a_pass(sandbox: SandboxProcess, **options: Any) -> Reconciled:
    client = Planasonix(sandbox.api_key, base_url=sandbox.url)
    source = PrefectSource(prefect_client(), of=client.config)
    with client:
        return run_pass(client, prefect_client(), source, **options)


@pytest.mark.parametrize("name", ["load", "aload"])
def test_nothing_runs_while_the_job_does_and_an_event_brings_the_run_to_its_end(
    here: LocalPrefect, sandbox: SandboxProcess, name: str
) -> None:
    flow_run_id = suspended(here, name)
    [job] = jobs(sandbox)
    assert job["status"] in ("queued", "running")
    finish(sandbox, job["id"])
    post_end(here, flow_run_id, job["id"])
    assert here.wait_run(flow_run_id) == "Completed"
    assert len(jobs(sandbox)) == 1
    assert here.states(flow_run_id).count("Suspended") == 1


def test_a_job_that_fails_meanwhile_fails_the_run_and_is_not_started_again_until_the_run_is_retried(
    here: LocalPrefect, sandbox: SandboxProcess
) -> None:
    flow_run_id = suspended(here)
    [job] = jobs(sandbox)
    finish(sandbox, job["id"], "failed")
    told = a_pass(sandbox, dry_run=True)
    assert [(each.flow_run_id, each.action) for each in told.resumed] == [(flow_run_id, "would_resume")]
    assert here.state(flow_run_id) == "Suspended"
    assert [each.action for each in a_pass(sandbox, dry_run=False).resumed] == ["resumed"]
    assert here.wait_run(flow_run_id) == "Failed"
    assert job["id"] in here.run(flow_run_id)["state"]["message"]
    assert len(jobs(sandbox)) == 1
    here.retry(flow_run_id)
    here.wait_run(flow_run_id, "Suspended")
    assert len(jobs(sandbox)) == 2
    finish(sandbox, jobs(sandbox)[1]["id"])
    # Each pass beside the other: whoever comes second finds the run awake.
    assert [each.action for each in a_pass(sandbox, dry_run=False).resumed] == ["resumed"]
    assert a_pass(sandbox, dry_run=False).resumed == []
    assert here.wait_run(flow_run_id) == "Completed"


def test_a_run_that_is_woken_too_early_sleeps_on(here: LocalPrefect, sandbox: SandboxProcess) -> None:
    flow_run_id = suspended(here)
    [job] = jobs(sandbox)
    assert here.resume(flow_run_id) == "ACCEPT"
    here.wait_until(lambda: here.states(flow_run_id).count("Suspended") == 2, "the second suspension", 90)
    finish(sandbox, job["id"])
    post_end(here, flow_run_id, job["id"])
    assert here.wait_run(flow_run_id) == "Completed"
    assert len(jobs(sandbox)) == 1


def test_the_worker_may_be_lost_while_the_run_sleeps(here: LocalPrefect, sandbox: SandboxProcess) -> None:
    flow_run_id = suspended(here)
    [worker] = here.workers
    here.lose_machine(worker)
    [job] = jobs(sandbox)
    finish(sandbox, job["id"])
    post_end(here, flow_run_id, job["id"])
    here.wait_run(flow_run_id, "Resuming")
    worker.start()
    assert here.wait_run(flow_run_id) == "Completed"
    assert len(jobs(sandbox)) == 1


def test_the_job_of_a_sleeping_run_that_is_cancelled_is_cancelled_at_once(
    here: LocalPrefect, sandbox: SandboxProcess
) -> None:
    flow_run_id = suspended(here)
    [job] = jobs(sandbox)
    began = time.monotonic()
    here.cancel(flow_run_id)
    here.wait_until(lambda: sandbox.control("GET", "counts")["cancels"], "the job's cancel", 60, every_seconds=0.1)
    seconds = time.monotonic() - began
    print(f"cancelled {seconds:.1f} s after the run")
    assert seconds < 60
    assert jobs(sandbox)[0]["id"] == job["id"]
    assert sandbox.control("GET", "counts")["cancels"] == 1


def test_an_orphan_of_a_cancelled_run_is_cancelled_by_reconcile_and_a_dry_run_leaves_it(
    here: LocalPrefect, sandbox: SandboxProcess
) -> None:
    # A job of nobody's first: the ids of a sandbox that was reset begin anew, and the ledger remembers the last ones.
    with Planasonix(sandbox.api_key, base_url=sandbox.url) as client:
        client.connections.sync("conn_hr_people")
    # No automation cleans up after this flow.
    flow_run_id = suspended(here, "aload")
    here.cancel(flow_run_id)
    dry = a_pass(sandbox, grace_seconds=0.0)
    assert [found.run_id for found in dry.found.to_cancel] == [jobs(sandbox)[1]["id"]]
    assert sandbox.control("GET", "counts")["cancels"] == 0
    assert a_pass(sandbox, grace_seconds=600.0, dry_run=False).found.counts.get("orphan") is None
    a_pass(sandbox, grace_seconds=0.0, dry_run=False)
    assert sandbox.control("GET", "counts")["cancels"] == 1


def test_the_scheduled_reconciler_wakes_a_run_and_cancels_an_orphan(
    here: LocalPrefect, sandbox: SandboxProcess
) -> None:
    # A job of nobody's first: the ids of a sandbox that was reset begin anew, and the ledger remembers the last ones.
    with Planasonix(sandbox.api_key, base_url=sandbox.url) as client:
        client.connections.sync("conn_hr_people")
    asleep = suspended(here, "aload", connection_id="conn_shop_orders")
    given_up = suspended(here, "aload", connection_id="conn_shop_inventory")
    finish(sandbox, the_job_of(asleep))
    here.cancel(given_up)
    reconciler = here.deployment_id(f"{RECONCILE}/local")
    here.rest.patch(f"deployments/{reconciler}", {"parameters": {"dry_run": False, "grace_seconds": 0}})
    every = {"schedule": {"interval": 15}, "active": True}
    [schedule] = here.rest.post(f"deployments/{reconciler}/schedules", [every])
    try:
        assert here.wait_run(asleep) == "Completed"
        here.wait_until(lambda: sandbox.control("GET", "counts")["cancels"], "the orphan's cancel", 120)
    finally:
        here.rest.delete(f"deployments/{reconciler}/schedules/{schedule['id']}")
    assert sandbox.control("GET", "counts")["cancels"] == 1
    assert {job["id"]: job["status"] for job in jobs(sandbox)}[the_job_of(given_up)] in ("cancelling", "cancelled")
    assert len(jobs(sandbox)) == 3
    done = [run for run in here.runs(deployment_id=reconciler) if run["state_type"] == "COMPLETED"]
    assert done
    assert all(run["auto_scheduled"] for run in done)


def test_two_jobs_sleep_together_and_wake_for_the_last_or_for_each(here: LocalPrefect, sandbox: SandboxProcess) -> None:
    last = suspended(here, "load_two".replace("_", "-"))
    finish(sandbox, jobs(sandbox)[0]["id"])
    assert a_pass(sandbox, dry_run=False).resumed == []
    finish(sandbox, jobs(sandbox)[1]["id"])
    assert [each.flow_run_id for each in a_pass(sandbox, dry_run=False).resumed] == [last]
    assert here.wait_run(last) == "Completed"
    first = suspended(here, "load-two", return_when="first")
    finish(sandbox, jobs(sandbox)[3]["id"])
    assert [each.flow_run_id for each in a_pass(sandbox, dry_run=False).resumed] == [first]
    assert here.wait_run(first) == "Completed"
    assert len(jobs(sandbox)) == 4


MANY = 50
# So many processes at once that the server's SQLite keeps up, and does not answer that it is locked.
AT_ONCE = 5


@pytest.fixture
def few_at_once(here: LocalPrefect) -> Iterator[None]:
    """A limit of the worker's pool; a run that is suspended holds none of its slots."""
    here.rest.patch("work_pools/local", {"concurrency_limit": AT_ONCE})
    yield
    here.rest.patch("work_pools/local", {"concurrency_limit": None})


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.timeout(1800)
def test_fifty_runs_sleep_without_a_process_and_are_woken_by_events_and_by_one_pass(
    here: LocalPrefect, sandbox: SandboxProcess
) -> None:
    with Planasonix(sandbox.api_key, base_url=sandbox.url) as client:
        known = [one.id for one in client.connections.list()]
    sandbox.control("PATCH", "switches", {"busy": "parallel"})
    load = here.deployment_id("load/local")
    runs = [here.start_run(load, {"connection_id": known[number % len(known)]}) for number in range(MANY)]
    for flow_run_id in runs:
        here.wait_run(flow_run_id, "Suspended", timeout_seconds=900)
    here.wait_no_process()
    assert len(jobs(sandbox)) == MANY
    for job in jobs(sandbox):
        finish(sandbox, job["id"])
    job_of = {flow_run_id: the_job_of(flow_run_id) for flow_run_id in runs}
    assert sorted(job_of.values()) == sorted(job["id"] for job in jobs(sandbox))
    told, untold = runs[: MANY // 2], runs[MANY // 2 :]
    for flow_run_id in told:
        post_end(here, flow_run_id, job_of[flow_run_id])
    for flow_run_id in told:
        here.wait_until(lambda one=flow_run_id: here.state(one) != "Suspended", "an event to wake the run", 60)
    calls = sandbox.control("GET", "counts")["calls"]
    assert {each.flow_run_id for each in a_pass(sandbox, dry_run=False).resumed} == set(untold)
    print(f"one pass over {MANY} runs: {sandbox.control('GET', 'counts')['calls'] - calls} calls of the API")
    for flow_run_id in runs:
        assert here.wait_run(flow_run_id, timeout_seconds=900) == "Completed"
        assert the_job_of(flow_run_id) == job_of[flow_run_id]
    assert len(jobs(sandbox)) == MANY
    assert sandbox.control("GET", "counts")["cancels"] == 0
