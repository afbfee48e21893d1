"""Definitions in Python: the process that loads the code location asks the API, and no other."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.dagster_local import LocalDagster
from scripts.local.sandbox import SandboxProcess

pytestmark = pytest.mark.live

DEFINITIONS = """
import dagster as dg
from dagster_planasonix import PlanasonixWorkspace, build_planasonix_assets_definitions, load_planasonix_asset_specs

workspace = PlanasonixWorkspace(api_key=dg.EnvVar("PLANASONIX_API_KEY"), base_url=dg.EnvVar("PLANASONIX_BASE_URL"))
specs = load_planasonix_asset_specs(workspace, connection_selector=["conn_hr_people"])
people = build_planasonix_assets_definitions(workspace=workspace, connection_selector=["conn_hr_people"])


@dg.asset(deps=[specs[0].key])
def downstream() -> None: ...


defs = dg.Definitions(assets=[*people, downstream])
"""


@pytest.mark.scenario
def test_no_process_of_a_run_asks_what_there_is(sandbox_process: SandboxProcess, local_dagster: LocalDagster) -> None:
    # The journal begins when Dagster has loaded everything. Two steps, each in a process of its own beside the run's.
    run_id = local_dagster.launch_assets("hr_people/hr/workers", "downstream")
    assert local_dagster.wait_run(run_id) == "SUCCESS"
    asked = Counter(entry["operation"] for entry in sandbox_process.control("GET", "journal")["entries"])
    assert asked["connections.sync"] == 1
    assert (asked["connections.list"], asked["connections.tables"]) == (0, 0)
