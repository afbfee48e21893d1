"""A background task (`task.delay()`) outlives the flow that sent it: its job is its own."""

from __future__ import annotations

import pytest

from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect
from scripts.prefect_local.errors import PrefectTimeout

# Minutes of real servers and workers; one cell of each promise runs at every landing.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

SOURCE = """
import os
from prefect import flow, task
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync

@task
def load(connection_id="conn_shop_orders"):
    account = PlanasonixCredentials(api_key=os.environ["PLANASONIX_API_KEY"])
    run = PlanasonixSync(credentials=account, connection_id=connection_id, poll_interval_seconds=0.5).trigger()
    return run.wait_for_completion().status

# Prefect hands the context of the flow over with the parameters, and only then.
@flow
def send(names: list[str]):
    return str(load.delay(*names).task_run_id)
"""
FLOWS = {
    "flows.py": SOURCE,
    "background.py": "from prefect.task_worker import serve\nfrom flows import load\n\nserve(load)\n",
}


@pytest.fixture(scope="module")
def deployment_id(local_prefect: LocalPrefect) -> str:
    local_prefect.deploy("flows.py:send")
    local_prefect.run_file("background.py", "task worker")
    return local_prefect.deployment_id("send/local")


@pytest.mark.parametrize("names", [[], ["conn_shop_orders"]], ids=["without its context", "with it"])
def test_the_end_of_the_flow_neither_refuses_nor_cancels_it(
    deployment_id: str, local_prefect: LocalPrefect, sandbox_process: SandboxProcess, names: list[str]
) -> None:
    sandbox_process.control("PUT", "connections/conn_shop_orders/script", {"outcome": "stuck", "queue_seconds": 0})
    sent_by = local_prefect.start_run(deployment_id, {"names": names})
    assert local_prefect.wait_run(sent_by) == "Completed"
    [job] = local_prefect.wait_until(lambda: sandbox_process.control("GET", "jobs")["jobs"], "the task's job")
    [task_run] = local_prefect.task_runs(sent_by)
    # The wait looks at the state of its run every two seconds.
    with pytest.raises(PrefectTimeout):
        local_prefect.wait_until(
            lambda: sandbox_process.control("GET", "jobs")["jobs"][0]["status"] not in ("queued", "running"),
            "an end that must not come",
            timeout_seconds=8,
        )
    sandbox_process.control("POST", f"jobs/{job['id']}/finish", {"outcome": "succeeded"})

    def ended() -> str | None:
        state = local_prefect.rest.get(f"task_runs/{task_run['id']}")["state"]
        return state["name"] if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    assert local_prefect.wait_until(ended, "the background task's end", timeout_seconds=60) == "Completed"
    assert len(sandbox_process.control("GET", "jobs")["jobs"]) == 1
