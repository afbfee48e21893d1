"""The polling sensor in a real Dagster whose daemon dies on the way: each foreign job is materialized once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from planasonix import Planasonix
from scripts.dagster_local import LocalDagster
from scripts.local.sandbox import SandboxProcess
from tests.dagster.conftest import sandbox_variables

pytestmark = pytest.mark.live

CONNECTIONS = ("conn_shop_orders", "conn_shop_inventory", "conn_support_tickets", "conn_crm_accounts")
SENSOR = "planasonix_polling_sensor"
DEFINITIONS = f"""
import dagster as dg
from dagster_planasonix import PlanasonixWorkspace, build_planasonix_polling_sensor
from dagster_planasonix.targets import target_metadata

workspace = PlanasonixWorkspace(api_key=dg.EnvVar("PLANASONIX_API_KEY"), base_url=dg.EnvVar("PLANASONIX_BASE_URL"))
tables = {{
    "conn_shop_orders": "public.orders",
    "conn_shop_inventory": "inventory.products",
    "conn_support_tickets": "zendesk.tickets",
    "conn_crm_accounts": "salesforce.account",
}}
specs = [dg.AssetSpec(each, metadata=target_metadata(each, None, table)) for each, table in tables.items()]

@dg.asset(deps=["conn_shop_orders"], automation_condition=dg.AutomationCondition.eager())
def report():
    pass

assert tuple(tables) == {CONNECTIONS!r}
defs = dg.Definitions(
    assets=[*specs, report],
    sensors=[
        build_planasonix_polling_sensor(workspace, specs, minimum_interval_seconds=1),
        dg.AutomationConditionSensorDefinition("automation", target="*", minimum_interval_seconds=1),
    ],
)
"""


@pytest.fixture
def dagster(_sandbox: SandboxProcess) -> Iterator[LocalDagster]:
    """Its daemon is a process of its own, to be killed alone."""
    with LocalDagster(DEFINITIONS, dev=False, environment_variables=sandbox_variables(_sandbox)) as running:
        yield running
        assert running.files_with(_sandbox.api_key) == [], "the API key stands in Dagster's logs or databases"


def test_foreign_jobs_are_materialized_once_though_the_daemon_dies(
    dagster: LocalDagster, sandbox_process: SandboxProcess
) -> None:
    client = Planasonix(sandbox_process.api_key, base_url=sandbox_process.url)
    sandbox_process.control("PATCH", "switches", {"busy": "parallel"})
    for each in CONNECTIONS:
        sandbox_process.control("PUT", f"connections/{each}/script", {"outcome": "stuck"})
    dagster.start_sensor(SENSOR)
    dagster.start_sensor("automation")
    dagster.wait_until(lambda: dagster.sensor_state(SENSOR)["cursor"], "a first tick")
    started: dict[str, list[str]] = {each: [] for each in CONNECTIONS}
    for number in range(9):
        for each in CONNECTIONS:
            job_id = client.connections.sync(each).id
            started[each].append(job_id)
            sandbox_process.control("POST", f"jobs/{job_id}/finish", {"outcome": "succeeded"})
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


def _told(dagster: LocalDagster) -> int:
    return sum(len(dagster.materializations(each)) for each in CONNECTIONS)
