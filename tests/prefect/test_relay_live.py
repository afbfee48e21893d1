"""Webhook, receiver, inbox, relay, suspended run: each a process of its own, and some of them killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from planasonix.webhooks import Inbox
from prefect_planasonix.credentials import PlanasonixCredentials
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect

# Minutes of real servers and workers; one cell of each promise runs at every landing.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

SECRET = "whsec_relay_0123456789abcdef"
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


@contextmanager
def process(prefect: LocalPrefect, log: Path, *command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    with log.open("a") as out:
        started = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
            env=prefect.environment | variables,
        )
        try:
            yield started
        finally:
            started.kill()
            started.wait()
            assert started.stdout is not None
            started.stdout.close()


@contextmanager
def receiver(prefect: LocalPrefect, sandbox: SandboxProcess, inbox_url: str, log: Path) -> Iterator[Any]:
    command = ("-c", "from planasonix.cli import main; main()", "webhooks", "serve", "--port", "0", "--no-sweep")
    more = ("--scheme", "body", "--inbox", inbox_url)
    with process(prefect, log, *command, *more, PLANASONIX_WEBHOOK_SECRETS=SECRET) as started:
        assert started.stdout is not None
        url = started.stdout.readline().split()[-1]
        account = PlanasonixCredentials(api_key=SecretStr(sandbox.api_key), base_url=sandbox.url)
        made = account.ensure_webhook(url, secret=SecretStr(SECRET))
        assert account.ensure_webhook(url, secret=SECRET) == made
        yield started


def relay(prefect: LocalPrefect, inbox_url: str, log: Path, *options: str) -> Any:
    command = ("-m", "prefect_planasonix.relay", "--inbox", inbox_url, "--from-beginning", "--lease-seconds", "2")
    return process(prefect, log, *command, *options)


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
