"""Webhook, receiver, inbox, relay, suspended run: each a process of its own, and some of them killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from planasonix.webhooks import Inbox
from prefect_planasonix.relay import CONSUMER
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect
from tests.core.webhooks.postgres import PostgresServer
from tests.prefect.push_processes import SECRET, process, receiver, relay

# Minutes of real servers and workers; one cell of each promise runs at every landing.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

FLOWS = {
    "flows.py": """
import os
from prefect import flow
from prefect_planasonix import PlanasonixCredentials
from prefect_planasonix.deferred import run_sync_deferred

@flow
def load(connection_id: str = "conn_shop_orders"):
    account = PlanasonixCredentials(api_key=os.environ["PLANASONIX_API_KEY"])
    return run_sync_deferred(account, connection_id).rows_loaded
"""
}


@pytest.fixture
def inbox_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'inbox.db'}"


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> Iterator[SandboxProcess]:
    sandbox_process.control("PUT", "clock/speed", {"speed": 0})
    yield sandbox_process
    sandbox_process.control("PUT", "clock/speed", {"speed": 1})


def suspended(prefect: LocalPrefect, sandbox: SandboxProcess) -> tuple[str, str]:
    flow_run_id = prefect.start_run(prefect.deployment_id("load/local"))
    prefect.wait_run(flow_run_id, "Suspended")
    [job] = [each for each in sandbox.control("GET", "jobs")["jobs"] if each["status"] in ("queued", "running")]
    return flow_run_id, job["id"]


def ends_told(prefect: LocalPrefect, flow_run_id: str) -> list[str]:
    wanted = {"filter": {"event": {"prefix": ["planasonix.job."]}}, "limit": 50}
    found = prefect.rest.post("events/filter", wanted)["events"]
    ours = [each for each in found if any(flow_run_id in one["prefect.resource.id"] for one in each["related"])]
    return [each["event"] for each in ours if each["event"] != "planasonix.job.started"]


def test_a_webhook_resumes_the_run_a_killed_relay_is_followed_and_a_lost_webhook_swept(
    local_prefect: LocalPrefect, sandbox: SandboxProcess, inbox_url: str, tmp_path: Path
) -> None:
    local_prefect.deploy("flows.py:load")
    log = tmp_path / "processes.log"
    with ExitStack() as stack:
        receiving = stack.enter_context(receiver(local_prefect, sandbox, inbox_url, log))
        first = stack.enter_context(relay(local_prefect, inbox_url, log))
        stack.enter_context(relay(local_prefect, inbox_url, log, "--sweep", "--sweep-seconds", "2"))

        by_webhook, job_id = suspended(local_prefect, sandbox)
        sandbox.control("POST", f"jobs/{job_id}/finish", {"outcome": "succeeded"})
        assert local_prefect.wait_run(by_webhook) == "Completed", log.read_text()
        assert ends_told(local_prefect, by_webhook) == ["planasonix.job.succeeded"]

        # The one at work may be either: one of them goes on.
        first.kill()
        os.kill(receiving.pid, signal.SIGKILL)
        by_sweep, job_id = suspended(local_prefect, sandbox)
        sandbox.control("POST", f"jobs/{job_id}/finish", {"outcome": "succeeded"})
        assert local_prefect.wait_run(by_sweep) == "Completed", log.read_text()
        assert ends_told(local_prefect, by_sweep) == ["planasonix.job.succeeded"]
    with Inbox.open(inbox_url) as inbox:
        assert {"webhook", "sweep"} >= {stored.source for stored in inbox.read(0)} >= {"sweep"}
    assert SECRET not in log.read_text()
    assert sandbox.api_key not in log.read_text()
    assert local_prefect.files_with(SECRET) == []


KILLED_AFTER_ITS_EFFECT = """
import os, signal, sys
from prefect_planasonix import relay, relay_effect

effect = relay_effect.RelayEffect.__call__

def and_die(self, stored):
    effect(self, stored)
    if stored.event.status is not None:
        os.kill(os.getpid(), signal.SIGKILL)

relay_effect.RelayEffect.__call__ = and_die
sys.exit(relay.main(sys.argv[1:]))
"""


def test_a_relay_that_dies_between_its_effect_and_the_cursor_tells_and_resumes_once(
    local_prefect: LocalPrefect, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    """On PostgreSQL, where relays of several machines share an inbox."""
    local_prefect.deploy("flows.py:load")
    log = tmp_path / "processes.log"
    with ExitStack() as stack:
        server = PostgresServer()
        stack.callback(server.close)
        inbox_url = server.new_database()
        stack.enter_context(receiver(local_prefect, sandbox, inbox_url, log))
        options = ("--inbox", inbox_url, "--from-beginning", "--lease-seconds", "2")
        dying = stack.enter_context(process(local_prefect, log, "-c", KILLED_AFTER_ITS_EFFECT, *options))
        flow_run_id, job_id = suspended(local_prefect, sandbox)
        sandbox.control("POST", f"jobs/{job_id}/finish", {"outcome": "succeeded"})
        assert dying.wait(60) == -signal.SIGKILL, log.read_text()
        with Inbox.open(inbox_url) as inbox:
            [event] = [stored for stored in inbox.read(0) if stored.event.status is not None]
            assert inbox.cursor(CONSUMER) < event.seq
            stack.enter_context(relay(local_prefect, inbox_url, log))
            local_prefect.wait_until(lambda: inbox.cursor(CONSUMER) >= event.seq, "the second relay to go on")
        assert local_prefect.wait_run(flow_run_id) == "Completed", log.read_text()
        assert ends_told(local_prefect, flow_run_id) == ["planasonix.job.succeeded"]
    assert local_prefect.states(flow_run_id).count("Suspended") == 1
    assert local_prefect.states(flow_run_id).count("Resuming") == 1
    assert len(sandbox.control("GET", "jobs")["jobs"]) == 1
