"""Each automation that the package builds is made on a real server, and does there what it is for."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from planasonix.errors import ConfigurationError
from prefect_planasonix import automations
from prefect_planasonix.automations import BAD_ENDS, ENDS
from scripts.prefect_local import LocalPrefect

# Minutes of real servers and workers; one cell of each promise runs at every landing.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

FLOWS = {"flows.py": "from prefect import flow\n\n@flow\ndef load(): ...\n\n@flow\ndef cleanup(flow_run_id): ...\n"}
OPTIONS = {"workers": 0}
LOAD, CLEANUP = "load/local", "cleanup/local"


@pytest.fixture(scope="module")
def here(local_prefect: LocalPrefect) -> Iterator[LocalPrefect]:
    """The client of this process speaks with that server; both flows are deployed, and nobody runs them."""
    for entrypoint in ("flows.py:load", "flows.py:cleanup"):
        local_prefect.deploy(entrypoint, pool=None)
    with temporary_settings({PREFECT_API_URL: f"{local_prefect.url}/api"}):
        yield local_prefect


def suspended_run(prefect: LocalPrefect) -> str:
    flow_run_id = prefect.start_run(prefect.deployment_id(LOAD))
    prefect.set_state(flow_run_id, "RUNNING", force=True)
    # As Prefect's own `suspend_flow_run` proposes it.
    state = {"type": "PAUSED", "name": "Suspended", "state_details": {"pause_reschedule": True, "pause_key": "x"}}
    answer = prefect.rest.post(f"flow_runs/{flow_run_id}/set_state", {"state": state, "force": False})
    assert answer["status"] == "ACCEPT"
    return flow_run_id


def related(prefect: LocalPrefect, flow_run_id: str, deployment: str = LOAD) -> list[dict[str, str]]:
    deployment_id = prefect.deployment_id(deployment)
    return [
        {"prefect.resource.id": f"prefect.flow-run.{flow_run_id}", "prefect.resource.role": "flow-run"},
        {"prefect.resource.id": f"prefect.deployment.{deployment_id}", "prefect.resource.role": "deployment"},
    ]


def post_event(
    prefect: LocalPrefect, name: str, resource: dict[str, str], related: list[dict[str, str]], **payload: str
) -> None:
    body = {"id": str(uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": name, "payload": payload}
    prefect.rest.post("events", [{**body, "resource": resource, "related": related}])


def cleanups_of(prefect: LocalPrefect, flow_run_id: str) -> list[dict[str, Any]]:
    runs = prefect.runs(deployment_id=prefect.deployment_id(CLEANUP))
    return [run["parameters"] for run in runs if flow_run_id in run["parameters"]["flow_run_id"]]


def test_the_end_of_a_job_resumes_the_suspended_run_that_the_event_names(here: LocalPrefect) -> None:
    made = automations.resume_on_event(LOAD).create()
    assert isinstance(made.id, UUID)
    told, other = suspended_run(here), suspended_run(here)
    for name in ("planasonix.job.started", "planasonix.job.progressed"):
        post_event(here, name, {"prefect.resource.id": "planasonix.job.job_1"}, related(here, other))
    post_event(here, "planasonix.job.failed", {"prefect.resource.id": "planasonix.job.job_1"}, related(here, told))
    assert here.wait_run(told, "Resuming", timeout_seconds=30) == "Resuming"
    assert here.state(other) == "Suspended"


def test_with_a_cleanup_the_run_is_looked_at_before_it_is_resumed(here: LocalPrefect) -> None:
    automations.resume_on_event(CLEANUP, cleanup_deployment=CLEANUP, name="asking").create()
    gate = suspended_run(here)
    end = {"prefect.resource.id": "planasonix.job.job_3"}
    post_event(here, "planasonix.job.succeeded", end, related(here, gate, deployment=CLEANUP))
    here.wait_until(lambda: cleanups_of(here, gate), "the cleanup to be started", 30)
    assert cleanups_of(here, gate) == [{"flow_run_id": f"prefect.flow-run.{gate}", "has_news": True}]
    assert here.state(gate) == "Suspended"


def test_each_end_of_each_kind_of_run_resumes(here: LocalPrefect) -> None:
    automations.resume_on_event(LOAD).create()
    runs = {name: suspended_run(here) for name in sorted(ENDS)}
    for name, flow_run_id in runs.items():
        post_event(here, name, {"prefect.resource.id": f"{name}.1"}, related(here, flow_run_id))
    for flow_run_id in runs.values():
        here.wait_run(flow_run_id, "Resuming", timeout_seconds=30)


def test_an_event_about_another_deployment_resumes_nothing(here: LocalPrefect) -> None:
    automations.resume_on_event(LOAD).create()
    told, other = suspended_run(here), suspended_run(here)
    end = {"prefect.resource.id": "planasonix.job.job_2"}
    post_event(here, "planasonix.job.succeeded", end, related(here, other, deployment=CLEANUP))
    post_event(here, "planasonix.job.succeeded", end, related(here, told))
    here.wait_run(told, "Resuming", timeout_seconds=30)
    assert here.state(other) == "Suspended"


def test_who_makes_an_automation_again_has_one_and_a_paused_one_stays_paused(here: LocalPrefect) -> None:
    first = automations.resume_on_event(CLEANUP, name="mine").create()
    here.rest.patch(f"automations/{first.id}", {"enabled": False})
    second = asyncio.run(automations.resume_on_event(LOAD, name="mine").acreate())
    assert second.id == first.id
    stored = here.rest.get(f"automations/{first.id}")
    assert stored["enabled"] is False
    assert here.deployment_id(LOAD) in json.dumps(stored["trigger"])
    assert len([each for each in here.rest.post("automations/filter") if each["name"] == "mine"]) == 1


def test_a_suspended_run_that_is_cancelled_is_cleaned_up(here: LocalPrefect) -> None:
    asyncio.run(automations.cleanup_on_cancel(LOAD, CLEANUP).acreate())
    flow_run_id = suspended_run(here)
    here.cancel(flow_run_id)
    here.wait_until(lambda: cleanups_of(here, flow_run_id), "the cleanup to be started", 10)
    assert cleanups_of(here, flow_run_id) == [{"flow_run_id": f"prefect.flow-run.{flow_run_id}"}]


def test_a_run_without_a_sign_of_life_is_looked_at_and_one_that_was_suspended_is_not(here: LocalPrefect) -> None:
    automations.zombie(LOAD, CLEANUP, silent_seconds=10).create()
    dead = here.start_run(here.deployment_id(LOAD))
    here.set_state(dead, "RUNNING", force=True)
    asleep = here.start_run(here.deployment_id(LOAD))
    here.set_state(asleep, "RUNNING", force=True)
    for flow_run_id in (dead, asleep):
        post_event(
            here,
            "prefect.flow-run.heartbeat",
            {"prefect.resource.id": f"prefect.flow-run.{flow_run_id}"},
            related(here, flow_run_id)[1:],
        )
    here.set_state(asleep, "PAUSED", "Suspended", force=True)
    here.wait_until(lambda: cleanups_of(here, dead), "the dead run to be noticed", 60)
    assert cleanups_of(here, dead) == [{"flow_run_id": f"prefect.flow-run.{dead}", "is_silent": True}]
    assert cleanups_of(here, asleep) == []


class _Inbox(BaseHTTPRequestHandler):
    received: list[dict[str, Any]] = []  # noqa: RUF012 - one server for the test

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.received.append(json.loads(self.rfile.read(length)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_an_alert_tells_of_a_job_that_did_not_end_well(here: LocalPrefect) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    server = HTTPServer(("127.0.0.1", 0), _Inbox)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        block = CustomWebhookNotificationBlock(
            name="inbox",
            url=f"http://127.0.0.1:{server.server_port}/",
            json_data={"subject": "{{subject}}", "body": "{{body}}"},
        )
        block_id = asyncio.run(block.asave("inbox", overwrite=True))
        automations.alert(block_id, LOAD).create()
        job = {"prefect.resource.id": "planasonix.job.job_9", "prefect.resource.name": "shop_orders"}
        of_run = related(here, str(uuid4()))
        post_event(here, "planasonix.job.succeeded", job, of_run)
        post_event(here, "planasonix.job.failed", job, of_run, error_message="the warehouse is full")
        here.wait_until(lambda: _Inbox.received, "the alert", 30)
    finally:
        server.shutdown()
    [told] = _Inbox.received
    assert told["subject"] == "planasonix.job.failed: shop_orders"
    assert "error_message: the warehouse is full" in told["body"]


def test_bad_input_is_refused_before_anything_is_made(here: LocalPrefect) -> None:
    made = len(here.rest.post("automations/filter"))
    with pytest.raises(ConfigurationError, match="flow/deployment") as no_name:
        automations.resume_on_event("load")
    assert no_name.value.field == "deployment"
    with pytest.raises(ConfigurationError, match="no deployment 'load/nightly'") as missing:
        automations.cleanup_on_cancel(LOAD, "load/nightly").create()
    assert missing.value.field == "cleanup_deployment"
    with pytest.raises(ConfigurationError, match="silent_seconds"):
        automations.zombie(LOAD, CLEANUP, silent_seconds=1)
    with pytest.raises(ConfigurationError, match="id of a saved block"):
        automations.alert("slack/alerts")
    assert len(here.rest.post("automations/filter")) == made
    assert BAD_ENDS < ENDS
