"""Every morning: find jobs whose task was given up while nobody was there to cancel them.

Needs an Airflow connection `planasonix_default`, and a user of Airflow's API who may read task instances: for example
`PLANASONIX_AIRFLOW_URL` (unless `[api] base_url` is set), `PLANASONIX_AIRFLOW_USERNAME` and
`PLANASONIX_AIRFLOW_PASSWORD` in the workers' environment, or a connection that is named by `airflow_conn_id`. It only
tells what it would cancel, until you set `apply`: here, or in the form of the Trigger button.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param, get_current_context, task

from airflow_provider_planasonix.reconcile_task import reconcile_airflow

with DAG(
    dag_id="planasonix_reconcile",
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    # Two at a time would only do the same work twice.
    max_active_runs=1,
    # Without dag_ids: all DAGs that the user may read.
    params={"apply": False, "dag_ids": Param([], type="array")},
    tags=["planasonix"],
    doc_md=__doc__,
):

    @task(retries=2)
    def reconcile() -> dict:
        """Fails only where a human is needed; what was cancelled stands in the log and in the return value."""
        params = get_current_context()["params"]
        return reconcile_airflow(apply=params["apply"], dag_ids=params["dag_ids"])

    reconcile()
