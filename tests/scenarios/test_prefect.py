"""The scenarios against a real Prefect: its server, `serve`, and the processes of flow runs."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect
from tests.scenarios.driver import Placed
from tests.scenarios.drivers import prefect_project as project
from tests.scenarios.drivers.prefect import PrefectDriver
from tests.scenarios.playing import cells, check, chosen
from tests.scenarios.scenario import Scenario
from tests.scenarios.stage import Stage

# A cell may wait for all that are played before it.
pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]

CANARY_KEY = os.environ.get("PLANASONIX_SANDBOX_API_KEY") or f"plnx_live_canary_{secrets.token_hex(16)}"


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    logs = tmp_path_factory.mktemp("sandbox")
    with SandboxProcess(free_port(), CANARY_KEY, logs) as sandbox, local_prefect(sandbox) as prefect:
        driver = PrefectDriver(prefect, lambda placed: install(driver, placed))
        yield Stage(driver, sandbox, chosen(request, Path(__file__)))
        assert prefect.files_with(CANARY_KEY) == [], "the API key stands in Prefect's logs, results or database"
    assert [path for path in logs.rglob("*") if path.is_file() and CANARY_KEY.encode() in path.read_bytes()] == []


def local_prefect(sandbox: SandboxProcess) -> LocalPrefect:
    """Without a worker: what a scenario kills is `serve`."""
    return LocalPrefect(
        workers=0,
        environment_variables={
            "PLANASONIX_API_KEY": sandbox.api_key,
            "PLANASONIX_BASE_URL": sandbox.url,
            "PLANASONIX_JOB_URL_TEMPLATE": f"{sandbox.url}/#/{{kind}}s/{{id}}",
        },
    )


def install(driver: PrefectDriver, placed: Sequence[Placed]) -> None:
    """Serve all flows, each with the automation that cleans up after its cancelled runs, and start the reconciler."""
    prefect = driver.prefect
    deferred = [one for one in placed if one.scenario.mode == "deferred"]
    if deferred:
        prefect.write("cleanup.py", project.CLEANUP_SERVED)
        prefect.serve("cleanup.py", "serve-cleanup")
        prefect.wait_deployed(project.CLEANUP)
    lost = [one for one in placed if one.scenario.exit == "lose machine"]
    prefect.write(project.FILE, project.source([one for one in placed if one not in lost]))
    prefect.serve(project.FILE)
    for number, one in enumerate(lost):
        # A machine of its own: the flow runs of others must not die with it.
        name = f"machine_{number}.py"
        prefect.write(name, project.source([one]))
        driver.own_serve[one.scenario.id] = prefect.serve(name, name.removesuffix(".py"))
    names = {
        one.scenario.id: [
            f"{project.flow_name(one.scenario, sibling)}/scenarios" for sibling, _ in enumerate(one.connections)
        ]
        for one in placed
    }
    for deployments in names.values():
        for deployment in deployments:
            prefect.wait_deployed(deployment, 240)
    watched = [name for one in deferred if one.scenario.exit != "waiters down" for name in names[one.scenario.id]]
    prefect.write("prepare.py", project.PREPARE)
    prefect.run_to_end("prepare.py", "prepare", *watched)
    if deferred:
        prefect.write(project.RECONCILER, project.LOOK_AFTER)
        driver.reconciler = prefect.run_file(project.RECONCILER, "reconciler")


@pytest.mark.parametrize("scenario", cells(PrefectDriver, alone=False))
def test_beside_others(stage: Stage, scenario: Scenario, pytestconfig: pytest.Config) -> None:
    check(stage, scenario, pytestconfig)


@pytest.mark.parametrize("scenario", cells(PrefectDriver, alone=True))
def test_alone(stage: Stage, scenario: Scenario, pytestconfig: pytest.Config) -> None:
    check(stage, scenario, pytestconfig)
