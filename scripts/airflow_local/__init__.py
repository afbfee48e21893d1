"""A real Airflow on this machine: separate processes, own home, quick intervals.

Used by the live tests of the provider and by `make demo`. Standard library only, because the demo drives it
from an environment in which Airflow is not installed.
"""

from scripts.airflow_local.cluster import Intervals, LocalAirflow
from scripts.airflow_local.errors import AirflowTimeout, DagImportFailed, RestError
from scripts.airflow_local.metadata import Run, TaskRow
from scripts.local.errors import ComponentDied

__all__ = [
    "AirflowTimeout",
    "ComponentDied",
    "DagImportFailed",
    "Intervals",
    "LocalAirflow",
    "RestError",
    "Run",
    "TaskRow",
]
