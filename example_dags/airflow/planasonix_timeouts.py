"""Deadlines. Past ours the job is cancelled and the task fails, in both modes; it survives retries and restarts."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

with DAG("planasonix_timeouts", schedule=None, tags=["planasonix"], doc_md=__doc__):
    PlanasonixSyncOperator(
        task_id="sync",
        connection_id="conn_bq_exports",
        # The job's own deadline, counted from its creation: a retry that finds the job running has what is left of it.
        timeout_seconds=2 * 3600,
        # Airflow's bound of one try. In a deferred task it ends the wait as well, and cancels the job.
        execution_timeout=timedelta(hours=3),
        # Left out, the pause follows the job's age, from 2 to 18 s. Shorter costs calls, longer is told later.
        poll_interval_seconds=10,
        retries=2,
        retry_delay=timedelta(minutes=5),
        deferrable=True,
    )
