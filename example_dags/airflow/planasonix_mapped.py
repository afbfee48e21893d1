"""The connections are known only at run time: one mapped task for each, with its own job, retry and log."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

with DAG("planasonix_mapped", schedule=None, default_args={"retries": 2}, tags=["planasonix"], doc_md=__doc__):

    @task
    def choose() -> list[str]:
        """In real life: from a configuration table, or from `PlanasonixHook().get_client().connections.list()`."""
        return ["conn_ads_google", "conn_ads_meta"]

    PlanasonixSyncOperator.partial(
        task_id="sync",
        deferrable=True,
        # The grid shows the connection instead of a number.
        map_index_template="{{ task.connection_id }}",
        # Deferred instances count here, unlike in pools and in `max_active_tasks`.
        max_active_tis_per_dagrun=5,
    ).expand(connection_id=choose())
