"""The scenarios against a real Dagster: its webserver, its daemon, its code server, and what these start."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from planasonix import Planasonix
from scripts.dagster_local import LocalDagster
from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess
from tests.scenarios.driver import Placed
from tests.scenarios.drivers.dagster import DagsterDriver
from tests.scenarios.drivers.dagster_project import definitions
from tests.scenarios.playing import cells, check, chosen
from tests.scenarios.scenario import Scenario
from tests.scenarios.stage import Stage

# A cell may wait for all that are played before it.
pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]

CANARY_KEY = os.environ.get("PLANASONIX_SANDBOX_API_KEY") or f"plnx_live_canary_{secrets.token_hex(16)}"
EMPTY = "import dagster as dg\n\ndefs = dg.Definitions()\n"


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    logs = tmp_path_factory.mktemp("sandbox")
    with SandboxProcess(free_port(), CANARY_KEY, logs) as sandbox:
        dagster = local_dagster(sandbox)

        def install(placed: Sequence[Placed]) -> None:
            dagster.define(definitions(placed, tables_of(sandbox, placed)))

        made = Stage(DagsterDriver(dagster, install), sandbox, chosen(request, Path(__file__)))
        with dagster:
            yield made
            assert dagster.files_with(CANARY_KEY) == [], "the API key stands in Dagster's logs or databases"
    assert [path for path in logs.rglob("*") if path.is_file() and CANARY_KEY.encode() in path.read_bytes()] == []


def local_dagster(sandbox: SandboxProcess) -> LocalDagster:
    """Not started yet: its definitions come with the stage."""
    return LocalDagster(
        EMPTY,
        environment_variables={
            "PLANASONIX_API_KEY": sandbox.api_key,
            "PLANASONIX_BASE_URL": sandbox.url,
            "PLANASONIX_JOB_URL_TEMPLATE": f"{sandbox.url}/#/{{kind}}s/{{id}}",
        },
    )


def tables_of(sandbox: SandboxProcess, placed: Sequence[Placed]) -> dict[str, list[str]]:
    """By connection: its tables without the views."""
    connections = {connection for one in placed for connection in one.connections}
    with Planasonix(sandbox.api_key, sandbox.url) as client:
        listed = {connection: client.connections.tables(connection) for connection in connections}
    return {
        connection: [
            f"{table.schema_name or found.schema_name}.{table.name}" for table in found.tables if not table.is_view
        ]
        for connection, found in listed.items()
    }


@pytest.mark.parametrize("scenario", cells(DagsterDriver, alone=False))
def test_beside_others(stage: Stage, scenario: Scenario, pytestconfig: pytest.Config) -> None:
    check(stage, scenario, pytestconfig)
