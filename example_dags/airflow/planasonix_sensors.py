"""Wait for a job that another task started, and for one that nobody in Airflow did. A sensor cancels nothing."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from airflow_provider_planasonix.sensors.job import PlanasonixJobSensor

with DAG("planasonix_sensors", schedule=None, default_args={"retries": 2}, tags=["planasonix"], doc_md=__doc__):
    # Returns the job's handle at once, so that other work can go on beside the sync.
    start = PlanasonixSyncOperator(task_id="start", connection_id="conn_hr_people", wait_for_completion=False)

    # By that handle; an id does as well. Returns the outcome, as the operator would have.
    started_here = PlanasonixJobSensor(task_id="started_here", job_id=start.output, deferrable=True)

    # The first sync of the connection since then that succeeded, whoever started it: Planasonix's own schedule, or a
    # person.
    # With a data interval, `since="{{ data_interval_end }}"` is "tonight's". Both stay when the run is cleared, which
    # the run's start_date does not.
    started_by_anybody = PlanasonixJobSensor(
        task_id="started_by_anybody",
        connection_id="conn_hr_people",
        since="{{ dag_run.run_after }}",
        timeout=3600,
        deferrable=True,
    )
    start >> started_by_anybody
