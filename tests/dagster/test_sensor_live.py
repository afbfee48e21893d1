"""What no step waits for, in a real Dagster: foreign jobs while its daemon dies, detached runs, killed workers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from planasonix import Planasonix
from scripts.dagster_local import LocalDagster
from scripts.local.sandbox import SandboxProcess
from tests.dagster.conftest import sandbox_variables

pytestmark = [pytest.mark.live, pytest.mark.scenario]

CONNECTIONS = ("conn_shop_orders", "conn_shop_inventory", "conn_support_tickets", "conn_crm_accounts")
SENSOR = "planasonix_polling_sensor"
DEFINITIONS = f"""
import dagster as dg
from dagster_planasonix import (
    PlanasonixWorkspace,
    build_planasonix_assets_definitions,
    build_planasonix_polling_sensor,
    build_planasonix_reconcile_job,
)
from dagster_planasonix.targets import target_metadata

workspace = PlanasonixWorkspace(api_key=dg.EnvVar("PLANASONIX_API_KEY"), base_url=dg.EnvVar("PLANASONIX_BASE_URL"))
tables = {{
    "conn_shop_orders": "public.orders",
    "conn_shop_inventory": "inventory.products",
    "conn_support_tickets": "zendesk.tickets",
    "conn_crm_accounts": "salesforce.account",
}}
assert tuple(tables) == {CONNECTIONS!r}
specs = [dg.AssetSpec(each, metadata=target_metadata(each, None, table)) for each, table in tables.items()]
waiting = build_planasonix_assets_definitions(workspace=workspace, connection_selector=["conn_hr_people"])
detached = build_planasonix_assets_definitions(
    workspace=workspace, connection_selector=["conn_ads_meta"], execution="detached"
)

@dg.asset(deps=["conn_shop_orders"], automation_condition=dg.AutomationCondition.eager())
def report():
    pass

defs = dg.Definitions(
    assets=[*specs, *waiting, *detached, report],
    jobs=[build_planasonix_reconcile_job(workspace, waiting, apply=True, grace_seconds=0)],
    sensors=[
        build_planasonix_polling_sensor(workspace, [*specs, *waiting, *detached], minimum_interval_seconds=1),
        dg.AutomationConditionSensorDefinition("automation", target="*", minimum_interval_seconds=1),
    ],
)
"""


@pytest.fixture(scope="module")
def dagster(_sandbox: SandboxProcess) -> Iterator[LocalDagster]:
    """Its daemon is a process of its own, to be killed alone. The sensors are on."""
    _sandbox.reset()
    with LocalDagster(DEFINITIONS, dev=False, environment_variables=sandbox_variables(_sandbox)) as running:
        running.start_sensor(SENSOR)
        running.start_sensor("automation")
        running.wait_until(lambda: running.sensor_state(SENSOR)["cursor"], "a first tick")
        yield running
        assert running.files_with(_sandbox.api_key) == [], "the API key stands in Dagster's logs or databases"


@pytest.fixture(name="sandbox")
def shared_sandbox(_sandbox: SandboxProcess) -> SandboxProcess:
    """As the tests before have left it: Dagster's sensor remembers it so."""
    return _sandbox


@pytest.fixture
def client(sandbox: SandboxProcess) -> Planasonix:
    return Planasonix(sandbox.api_key, base_url=sandbox.url)


def test_foreign_jobs_are_materialized_once_though_the_daemon_dies(
    dagster: LocalDagster, sandbox: SandboxProcess, client: Planasonix
) -> None:
    sandbox.control("PATCH", "switches", {"busy": "parallel"})
    for each in CONNECTIONS:
        sandbox.control("PUT", f"connections/{each}/script", {"outcome": "stuck"})
    started: dict[str, list[str]] = {each: [] for each in CONNECTIONS}
    for number in range(9):
        for each in CONNECTIONS:
            job_id = client.connections.sync(each).id
            started[each].append(job_id)
            sandbox.control("POST", f"jobs/{job_id}/finish", {"outcome": "succeeded"})
        if number in (2, 6):
            # At whatever it is doing: evaluating, storing events, or storing the cursor.
            dagster.wait_until(lambda: _told(dagster) > 0, "a tick that tells of something")
            dagster.daemon.kill()
            time.sleep(0.5)
            dagster.daemon.start()
    dagster.wait_until(lambda: _told(dagster) >= 36, "all to be told", timeout_seconds=120)
    time.sleep(5)  # a few more ticks, which must tell nothing again
    for each in CONNECTIONS:
        told = Counter(str(event.metadata["planasonix/job_id"]) for event in dagster.materializations(each))
        assert told == Counter(started[each])
    dagster.wait_until(lambda: dagster.materializations("report"), "the downstream asset", timeout_seconds=90)


def test_a_detached_run_ends_at_once_and_its_end_is_told(dagster: LocalDagster, sandbox: SandboxProcess) -> None:
    asset = "ads_meta/meta_ads/ads"
    sandbox.control("PUT", "connections/conn_ads_meta/script", {"outcome": "stuck"})
    run_id = dagster.launch_assets(asset)
    assert dagster.wait_run(run_id) == "SUCCESS"
    [job] = sandbox.control("GET", "jobs?connection_id=conn_ads_meta")["jobs"]
    assert job["status"] in ("queued", "running")
    assert dagster.materializations(asset) == []
    sandbox.control("POST", f"jobs/{job['id']}/finish", {"outcome": "succeeded"})
    [told] = dagster.wait_until(lambda: dagster.materializations(asset), "the sensor to tell of its end")
    assert told.metadata["planasonix/job_id"] == job["id"]
    assert told.metadata["planasonix/dagster_run_id"] == run_id
    assert dagster.checks(asset, "planasonix_status")[0].passed is True


def test_the_job_of_a_killed_worker_ends_well_and_reconcile_tells_it_once(
    dagster: LocalDagster, sandbox: SandboxProcess
) -> None:
    asset = "hr_people/hr/workers"
    sandbox.control("PUT", "connections/conn_hr_people/script", {"outcome": "stuck"})
    run_id = dagster.launch_assets(asset)

    def jobs() -> list[dict[str, str]]:
        return sandbox.control("GET", "jobs?connection_id=conn_hr_people")["jobs"]

    dagster.wait_until(jobs, "the step to start its job", run_id=run_id)
    dagster.kill(dagster.step_worker(run_id))
    assert dagster.wait_run(run_id) == "FAILURE"
    [job] = jobs()
    sandbox.control("POST", f"jobs/{job['id']}/finish", {"outcome": "succeeded"})
    for _ in range(2):
        assert dagster.wait_run(dagster.launch_job("planasonix_reconcile")) == "SUCCESS"
        [told] = dagster.materializations(asset)
        assert told.metadata["planasonix/job_id"] == job["id"]
        assert told.metadata["planasonix/told_by"] == "planasonix_reconcile"
    assert len(jobs()) == 1


def _told(dagster: LocalDagster) -> int:
    return sum(len(dagster.materializations(each)) for each in CONNECTIONS)
