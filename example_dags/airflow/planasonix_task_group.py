"""Many connections side by side, some with settings of their own, and one task that reads what all of them loaded."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_planasonix.task_groups import planasonix_syncs

with DAG("planasonix_task_group", schedule=None, tags=["planasonix"], doc_md=__doc__):

    @task
    def summary(outcomes: list[dict]) -> dict[str, int]:
        """Rows by connection."""
        return {outcome["connection_id"]: outcome["rows_loaded"] for outcome in outcomes}

    outcomes = planasonix_syncs(
        "sources",
        [
            "conn_hubspot_marketing",
            "conn_jira_delivery",
            # What differs from one connection to the next; `name` is what the UI shows.
            {"connection_id": "conn_product_mongo", "name": "Product events", "timeout_seconds": 1800},
        ],
        max_active=2,
        deferrable=True,
        retries=2,
    )
    summary(outcomes)
