"""Webhook, receiver, inbox, sensor: each in a process of its own beside a real Dagster, and one of them killed."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from planasonix import Planasonix
from planasonix.webhooks import Inbox, sign
from scripts.dagster_local import LocalDagster
from scripts.local.sandbox import SandboxProcess
from tests.dagster.conftest import sandbox_variables

# A minute of a real daemon; the sensor's rules are held without one in test_inbox_sensor.py.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

SECRET = f"whsec_canary_{secrets.token_hex(16)}"
IN_A_BODY = f"canary-of-a-body-{secrets.token_hex(16)}"
SENSOR = "planasonix_inbox_sensor"
ORDERS, INVENTORY = "conn_shop_orders", "conn_shop_inventory"
DETACHED, WAITING = "ads_meta/meta_ads/ads", "hr_people/hr/workers"
DEFINITIONS = """
import dagster as dg
from dagster_planasonix import (
    PlanasonixWorkspace,
    build_planasonix_assets_definitions,
    build_planasonix_inbox_sensor,
    planasonix_event_tags,
)
from dagster_planasonix.targets import target_metadata

workspace = PlanasonixWorkspace(
    api_key=dg.EnvVar("PLANASONIX_API_KEY"),
    base_url=dg.EnvVar("PLANASONIX_BASE_URL"),
    inbox_url=dg.EnvVar("PLANASONIX_INBOX_URL"),
    poll_interval_seconds=600,
)
tables = {"conn_shop_orders": "public.orders", "conn_shop_inventory": "inventory.products"}
specs = [dg.AssetSpec(each, metadata=target_metadata(each, None, table)) for each, table in tables.items()]
waiting = build_planasonix_assets_definitions(workspace=workspace, connection_selector=["conn_hr_people"])
detached = build_planasonix_assets_definitions(
    workspace=workspace, connection_selector=["conn_ads_meta"], execution="detached"
)
reload = dg.define_asset_job("reload", selection=waiting)

@dg.asset(deps=["conn_shop_orders"], automation_condition=dg.AutomationCondition.eager())
def report():
    pass

@dg.asset_sensor(asset_key=dg.AssetKey("conn_shop_inventory"), job=reload, minimum_interval_seconds=1)
def after_inventory(context, entry):
    yield dg.RunRequest(run_key=context.cursor, tags=planasonix_event_tags(entry.asset_materialization))

defs = dg.Definitions(
    assets=[*specs, *waiting, *detached, report],
    jobs=[reload],
    sensors=[
        build_planasonix_inbox_sensor(
            workspace,
            [*specs, *waiting, *detached],
            minimum_interval_seconds=1,
            sweep=True,
            sweep_interval_seconds=2,
        ),
        dg.AutomationConditionSensorDefinition("automation", target="*", minimum_interval_seconds=1),
        after_inventory,
    ],
)
"""


class Pushing:
    """The receiver, its inbox, and the tenant that delivers to it."""

    def __init__(self, sandbox: SandboxProcess, dagster: LocalDagster, receiver: subprocess.Popen[str], inbox_url: str):
        self.sandbox, self.dagster, self.receiver, self.inbox_url = sandbox, dagster, receiver, inbox_url
        assert receiver.stdout is not None
        self.url = receiver.stdout.readline().split()[-1]
        self.client = Planasonix(sandbox.api_key, base_url=sandbox.url)
        self.client.webhooks.create(self.url, ["job.succeeded", "job.failed"], SECRET)

    def synced(self, connection_id: str) -> str:
        """A job that somebody else started, and that has ended."""
        self.sandbox.control("PUT", f"connections/{connection_id}/script", {"outcome": "stuck"})
        job_id = self.client.connections.sync(connection_id).id
        self.finish(job_id)
        return job_id

    def finish(self, job_id: str) -> None:
        self.sandbox.control("POST", f"jobs/{job_id}/finish", {"outcome": "succeeded"})

    def post(self, body: bytes) -> int:
        """A delivery that is signed well."""
        request = urllib.request.Request(self.url, data=body, headers=sign(body, SECRET, timestamp=None))
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status

    def jobs(self, connection_id: str) -> list[dict[str, str]]:
        return self.sandbox.control("GET", f"jobs?connection_id={connection_id}")["jobs"]

    def is_looked_at(self, job_id: str) -> bool:
        entries = self.sandbox.control("GET", "journal?operation=jobs.get")["entries"]
        return any(entry["path"].endswith(job_id) for entry in entries)

    def told(self, asset_key: str) -> list[str]:
        return [str(event.metadata["planasonix/job_id"]) for event in self.dagster.materializations(asset_key)]

    def sources(self) -> set[str]:
        with Inbox.open(self.inbox_url) as inbox:
            return {stored.source for stored in inbox.read(0)}


@pytest.fixture(scope="module")
def pushing(_sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushing]:
    _sandbox.reset()
    folder = tmp_path_factory.mktemp("inbox")
    inbox_url, log = f"sqlite:///{folder}/inbox.db", folder / "receiver.log"
    variables = sandbox_variables(_sandbox) | {"PLANASONIX_INBOX_URL": inbox_url}
    with ExitStack() as stack:
        receiver = stack.enter_context(_receiving(inbox_url, log))
        dagster = stack.enter_context(LocalDagster(DEFINITIONS, dev=False, environment_variables=variables))
        made = Pushing(_sandbox, dagster, receiver, inbox_url)
        stack.enter_context(made.client)
        for sensor in (SENSOR, "automation", "after_inventory"):
            dagster.start_sensor(sensor)
        dagster.wait_until(lambda: dagster.sensor_state(SENSOR)["cursor"], "a first tick")
        yield made
        for canary in (_sandbox.api_key, SECRET, IN_A_BODY):
            assert dagster.files_with(canary) == [], "a secret stands in Dagster's logs or databases"
        assert not any(each in log.read_text() for each in (_sandbox.api_key, SECRET, IN_A_BODY))


def _receiving(inbox_url: str, log: Path) -> subprocess.Popen[str]:
    """Killed at the end, if it lives then."""
    program = str(Path(sys.executable).with_name("planasonix"))
    known = {name: value for name, value in os.environ.items() if not name.startswith("PLANASONIX_")}
    command = [program, "webhooks", "serve", "--port", "0", "--scheme", "body", "--no-sweep"]
    with log.open("w") as out:
        return _Killed(
            command,
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
            env=known | {"PLANASONIX_INBOX": inbox_url, "PLANASONIX_WEBHOOK_SECRETS": SECRET},
        )


class _Killed(subprocess.Popen[str]):
    def __exit__(self, *error: object) -> None:
        self.kill()
        super().__exit__(None, None, None)


def test_a_webhook_becomes_rows_and_its_downstream_follows(pushing: Pushing) -> None:
    """Poison before it in the stream stops nothing."""
    for body in (
        f'{{"id": "evt_odd", "type": 7, "data": "{IN_A_BODY}"}}',
        f'{{"id": "evt_of_nothing", "type": "job.succeeded", "job_id": "job_that_never_was", "note": "{IN_A_BODY}"}}',
    ):
        assert pushing.post(body.encode()) == 200
    job_id = pushing.synced(ORDERS)
    dagster = pushing.dagster
    [told] = dagster.wait_until(lambda: dagster.materializations(ORDERS), "the sensor to tell of the load")
    assert told.metadata["planasonix/job_id"] == job_id
    assert told.metadata["dagster/row_count"] > 0
    assert told.metadata["planasonix/told_by"] == SENSOR
    assert told.run_id == ""
    dagster.wait_until(lambda: dagster.materializations("report"), "the eager downstream", 120)
    assert pushing.told(ORDERS) == [job_id]


def test_a_detached_run_is_completed_by_its_event(pushing: Pushing) -> None:
    pushing.sandbox.control("PUT", "connections/conn_ads_meta/script", {"outcome": "stuck"})
    dagster = pushing.dagster
    run_id = dagster.launch_assets(DETACHED)
    assert dagster.wait_run(run_id) == "SUCCESS"
    [job] = pushing.jobs("conn_ads_meta")
    assert dagster.materializations(DETACHED) == []
    pushing.finish(job["id"])
    [told] = dagster.wait_until(lambda: dagster.materializations(DETACHED), "the sensor to tell of its end")
    assert told.metadata["planasonix/job_id"] == job["id"]
    assert told.metadata["planasonix/dagster_run_id"] == run_id


def test_what_an_event_starts_ends_with_an_event_and_tells_its_depth(pushing: Pushing) -> None:
    """The workspace polls every ten minutes."""
    pushing.sandbox.control("PUT", "connections/conn_hr_people/script", {"outcome": "stuck"})
    pushing.synced(INVENTORY)
    dagster = pushing.dagster
    [job] = dagster.wait_until(lambda: pushing.jobs("conn_hr_people"), "the run that the event starts", 120)
    assert job["metadata"]["planasonix_depth"] == 1
    dagster.wait_until(lambda: pushing.is_looked_at(job["id"]), "the step to wait")
    pushing.finish(job["id"])
    ended_at = time.monotonic()
    dagster.wait_until(lambda: dagster.materializations(WAITING), "the step to end", 60, every_seconds=0.2)
    assert time.monotonic() - ended_at < 15
    assert pushing.told(WAITING) == [job["id"]]


def test_with_the_receiver_killed_the_sweep_completes_it(pushing: Pushing) -> None:
    os.kill(pushing.receiver.pid, signal.SIGKILL)
    pushing.receiver.wait()
    before = len(pushing.told(ORDERS))
    job_id = pushing.synced(ORDERS)
    dagster = pushing.dagster
    dagster.wait_until(lambda: len(pushing.told(ORDERS)) > before, "the sweep to find it")
    time.sleep(5)  # a few more ticks, which must tell nothing again
    assert pushing.told(ORDERS).count(job_id) == 1
    assert pushing.sources() == {"webhook", "sweep"}
