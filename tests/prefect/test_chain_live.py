"""A sync whose event runs a deployment that starts the sync again: cut at the set depth, with a message that tells."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from planasonix.webhooks import Inbox
from prefect_planasonix import automations
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect
from tests.prefect.push_processes import receiver, relay

# Minutes of real servers and workers; one cell of each promise runs at every landing.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

FLOWS = {
    "flows.py": """
import os
from prefect import flow
from prefect_planasonix import PlanasonixCredentials
from prefect_planasonix.tasks import start_sync

@flow
def again(planasonix_event: dict | None = None):
    account = PlanasonixCredentials(api_key=os.environ["PLANASONIX_API_KEY"])
    # Nobody in Prefect waits for it: its end comes by webhook alone.
    start_sync(account, "conn_shop_orders")
"""
}


def test_a_loop_by_webhook_relay_and_automation_ends(
    local_prefect: LocalPrefect, sandbox_process: SandboxProcess, tmp_path: Path
) -> None:
    local_prefect.deploy("flows.py:again")
    inbox_url = f"sqlite:///{tmp_path / 'inbox.db'}"
    log = tmp_path / "processes.log"
    with temporary_settings({PREFECT_API_URL: f"{local_prefect.url}/api"}):
        automations.run_on_event("again/local", connection_id="conn_shop_orders").create()
    with ExitStack() as stack:
        stack.enter_context(receiver(local_prefect, sandbox_process, inbox_url, log))
        stack.enter_context(relay(local_prefect, inbox_url, log))
        first = local_prefect.start_run(local_prefect.deployment_id("again/local"))
        assert local_prefect.wait_run(first) == "Completed", log.read_text()
        deployment_id = local_prefect.deployment_id("again/local")

        def failed() -> dict[str, Any] | None:
            runs = local_prefect.runs(deployment_id=deployment_id)
            return next((run for run in runs if run["state"]["name"] == "Failed"), None)

        stopped = local_prefect.wait_until(failed, "a run that fails", timeout_seconds=180)
    assert "3 runs in a row were started by events" in stopped["state"]["message"], stopped["state"]
    runs = local_prefect.runs(deployment_id=deployment_id)
    assert sorted(run["state"]["name"] for run in runs) == ["Completed"] * 4 + ["Failed"]
    jobs = [job for job in sandbox_process.control("GET", "jobs")["jobs"] if job["connection_id"] == "conn_shop_orders"]
    assert len(jobs) == 4, "a person's, and three that events started"
    events = [run["parameters"]["planasonix_event"] for run in runs if run["parameters"].get("planasonix_event")]
    assert sorted(event.get("depth", 0) for event in events) == [0, 1, 2, 3]
    assert {event["status"] for event in events} == {"succeeded"}
    assert all(event["rows_loaded"] > 0 for event in events)
    with Inbox.open(inbox_url) as inbox:
        assert inbox.dead_letters() == []
