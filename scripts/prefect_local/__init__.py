"""A real Prefect on this machine: separate processes, own home, quick intervals.

    with LocalPrefect({"flows.py": SOURCE}, environment_variables={"PLANASONIX_API_KEY": key}) as prefect:
        deployment_id = prefect.deploy("flows.py:load_orders")
        flow_run_id = prefect.start_run(deployment_id)
        assert prefect.wait_run(flow_run_id) == "Completed"

Used by the live tests of the package and by `make demo-prefect`. Standard library only, because the demo drives it from
an environment in which Prefect is not installed.
"""

from scripts.local.errors import ComponentDied
from scripts.prefect_local.cluster import LocalPrefect
from scripts.prefect_local.errors import LocalPrefectError, PrefectTimeout, RestError

__all__ = ["ComponentDied", "LocalPrefect", "LocalPrefectError", "PrefectTimeout", "RestError"]
