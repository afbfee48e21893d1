"""The hooks on a real server with a process worker: who was killed or cancelled leaves no job behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from prefect_planasonix import PlanasonixCredentials
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect
from tests.prefect.conftest import CANARY_KEY

# Minutes of real servers and workers; the same is shown in one process by `test_hooks.py`.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

FLOWS = {
    "flows.py": """
import asyncio
import os
import time
from prefect import flow
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync, planasonix_hooks

@flow
def stuck():
    PlanasonixSync(credentials=PlanasonixCredentials.load("saved"), connection_id="conn_shop_orders").trigger()
    time.sleep(600)

@flow
async def astuck():
    credentials = await PlanasonixCredentials.aload("saved")
    await PlanasonixSync(credentials=credentials, connection_id="conn_shop_orders").atrigger()
    await asyncio.sleep(600)

@flow
def unsaved():
    credentials = PlanasonixCredentials(api_key=os.environ["KEY_OF_THE_FLOW"])
    PlanasonixSync(credentials=credentials, connection_id="conn_shop_orders").trigger()
    time.sleep(600)

for each in (stuck, astuck, unsaved):
    planasonix_hooks(each)
"""
}
# The hook of a worker that has the key itself cancels with it: `test_hooks.py`.
OPTIONS = {"environment_variables": {"PLANASONIX_API_KEY": "", "KEY_OF_THE_FLOW": CANARY_KEY}}


@pytest.fixture(scope="module")
def here(local_prefect: LocalPrefect) -> Iterator[LocalPrefect]:
    for name in ("stuck", "astuck", "unsaved"):
        local_prefect.deploy(f"flows.py:{name}")
    with temporary_settings({PREFECT_API_URL: f"{local_prefect.url}/api"}):
        yield local_prefect


@pytest.fixture
def sandbox(here: LocalPrefect, sandbox_process: SandboxProcess) -> Iterator[SandboxProcess]:
    """A tenant whose jobs do not end by themselves; its key is saved as a block."""
    sandbox_process.control("PUT", "clock/speed", {"speed": 0})
    PlanasonixCredentials(api_key=SecretStr(sandbox_process.api_key)).save("saved", overwrite=True)
    yield sandbox_process
    sandbox_process.control("PUT", "clock/speed", {"speed": 1})


def started(here: LocalPrefect, sandbox: SandboxProcess, name: str) -> str:
    flow_run_id = here.start_run(here.deployment_id(f"{name}/local"))
    here.wait_until(lambda: sandbox.control("GET", "jobs")["jobs"], "the job", 120, flow_run_id)
    here.wait_until(lambda: here.artifacts(flow_run_id, "planasonix-ledger-"), "the ledger", 60, flow_run_id)
    here.wait_until(
        lambda: "`job_" in here.artifacts(flow_run_id, "planasonix-ledger-")[0]["data"], "its id", 60, flow_run_id
    )
    return flow_run_id


def cancels(sandbox: SandboxProcess) -> int:
    return int(sandbox.control("GET", "counts")["cancels"])


@pytest.mark.parametrize("name", ["stuck", "astuck"])
def test_a_killed_run_leaves_no_job(here: LocalPrefect, sandbox: SandboxProcess, name: str) -> None:
    flow_run_id = started(here, sandbox, name)
    here.kill(here.flow_process(flow_run_id))
    assert here.wait_run(flow_run_id) == "Crashed"
    here.wait_until(lambda: cancels(sandbox), "the job's cancel", 60, flow_run_id)
    assert cancels(sandbox) == 1


@pytest.mark.parametrize("name", ["stuck", "astuck"])
def test_a_cancelled_run_leaves_no_job(here: LocalPrefect, sandbox: SandboxProcess, name: str) -> None:
    flow_run_id = started(here, sandbox, name)
    here.cancel(flow_run_id)
    assert here.wait_run(flow_run_id) == "Cancelled"
    here.wait_until(lambda: cancels(sandbox), "the job's cancel", 60, flow_run_id)
    assert cancels(sandbox) == 1


def test_without_a_saved_block_the_log_says_what_to_do(here: LocalPrefect, sandbox: SandboxProcess) -> None:
    flow_run_id = started(here, sandbox, "unsaved")
    here.kill(here.flow_process(flow_run_id))
    assert here.wait_run(flow_run_id) == "Crashed"
    told = "its credentials were not saved as a block, give planasonix_hooks(credentials=...)"
    here.wait_until(lambda: told in here.log(flow_run_id), "the line of the log", 60, flow_run_id)
    assert cancels(sandbox) == 0
