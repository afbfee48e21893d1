"""The reconciler as a deployment of a work pool, as its page tells: the package is all that the worker needs."""

from __future__ import annotations

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect
from scripts.prefect_local.settings import POOL
from tests.pages import ROOT, blocks

# Minutes of real servers and workers; one cell of each promise runs at every landing.
pytestmark = [pytest.mark.live, pytest.mark.scenario]

FLOWS: dict[str, str] = {}


def test_a_worker_runs_the_reconciler_and_the_cleanup(
    local_prefect: LocalPrefect, sandbox_process: SandboxProcess
) -> None:
    [code] = [code for code in blocks(ROOT / "docs" / "prefect" / "reconcile.md") if "work_pool_name" in code]
    names: dict[str, object] = {"__name__": "page"}
    with temporary_settings({PREFECT_API_URL: f"{local_prefect.url}/api"}):
        exec(compile(code.replace('"my-pool"', repr(POOL)), "page", "exec", dont_inherit=True), names)
        deploy = names["deploy"]
        assert callable(deploy)
        deploy()
    made = local_prefect.deployment_id("planasonix-reconcile/prod")
    [planned, *_] = local_prefect.wait_until(lambda: local_prefect.runs(deployment_id=made), "a scheduled run")
    assert planned["state"]["name"] in ("Scheduled", "Late", "Pending", "Running", "Completed")
    flow_run_id = local_prefect.start_run(made, {"credentials": None})
    assert local_prefect.wait_run(flow_run_id) == "Completed", local_prefect.dump(flow_run_id)
    [report] = local_prefect.artifacts(flow_run_id)
    assert report["key"] == "planasonix-reconcile"
    cleaned = local_prefect.start_run(
        local_prefect.deployment_id("planasonix-cleanup/prod"), {"flow_run_id": flow_run_id, "credentials": None}
    )
    assert local_prefect.wait_run(cleaned) == "Completed", local_prefect.dump(cleaned)
