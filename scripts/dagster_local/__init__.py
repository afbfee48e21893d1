"""A real Dagster on this machine: separate processes, own home, quick intervals.

    with LocalDagster(SOURCE, environment_variables={"PLANASONIX_API_KEY": key}) as dagster:
        run_id = dagster.launch_assets("Orders/public/orders")
        assert dagster.wait_run(run_id) == "SUCCESS"

Used by the live tests of the plugin and by `make demo-dagster`. Standard library only, because the demo drives it from
an environment in which Dagster is not installed.
"""

from scripts.dagster_local.cluster import LocalDagster
from scripts.dagster_local.errors import DagsterTimeout, GraphQLError, LocalDagsterError
from scripts.dagster_local.events import AssetEvent, CheckEvent, Event
from scripts.local.errors import ComponentDied

__all__ = [
    "AssetEvent",
    "CheckEvent",
    "ComponentDied",
    "DagsterTimeout",
    "Event",
    "GraphQLError",
    "LocalDagster",
    "LocalDagsterError",
]
