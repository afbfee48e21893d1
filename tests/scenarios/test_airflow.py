"""The scenarios against a real Airflow, on PostgreSQL: SQLite suits neither two triggerers nor many tasks at once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.airflow_local import Intervals, LocalAirflow
from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess
from tests.scenarios.drivers.airflow import AirflowDriver
from tests.scenarios.playing import cells, check, chosen
from tests.scenarios.scenario import Scenario
from tests.scenarios.stage import Stage

# A cell may wait for all that are played before it.
pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]

CANARY_KEY = os.environ.get("PLANASONIX_SANDBOX_API_KEY") or f"plnx_live_canary_{secrets.token_hex(16)}"


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    port = free_port()
    connection = {
        "conn_type": "planasonix",
        "host": f"http://127.0.0.1:{port}",
        "password": CANARY_KEY,
        "extra": {"job_url_template": f"http://127.0.0.1:{port}/#/{{kind}}s/{{id}}"},
    }
    logs = tmp_path_factory.mktemp("sandbox")
    with (
        SandboxProcess(port, CANARY_KEY, logs) as sandbox,
        LocalAirflow(
            connections={"planasonix_default": connection},
            # Scenarios side by side keep two cores busy: nobody must count as dead for being slow.
            intervals=Intervals(task_heartbeat_timeout=25, health=25),
            parallelism=16,
            database="postgresql",
        ) as airflow,
    ):
        yield Stage(AirflowDriver(airflow, sandbox), sandbox, chosen(request, Path(__file__)))
        assert airflow.files_with(CANARY_KEY) == [], "the API key stands in Airflow's logs or database"
    assert [path for path in logs.rglob("*") if path.is_file() and CANARY_KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("scenario", cells(AirflowDriver, alone=False))
def test_beside_others(stage: Stage, scenario: Scenario, pytestconfig: pytest.Config) -> None:
    check(stage, scenario, pytestconfig)


@pytest.mark.parametrize("scenario", cells(AirflowDriver, alone=True))
def test_alone(stage: Stage, scenario: Scenario, pytestconfig: pytest.Config) -> None:
    check(stage, scenario, pytestconfig)
