"""The stages named one by one, and the same as a mapped task, where each is cleared and marked by itself."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.windows import stage_windows

with DAG("planasonix_partitions", schedule=None, default_args={"retries": 2}, tags=["planasonix"], doc_md=__doc__):
    PlanasonixBackfillOperator(
        task_id="load_incidents",
        connection_id="conn_lakehouse_dbx",
        # Half-open: the end of one may be the start of the next. Where two overlap, `overlap=` says what is meant.
        partitions=[
            ("2026-02-03T00:00:00Z", "2026-02-03T06:00:00Z"),
            ("2026-03-11T18:00:00Z", "2026-03-12T00:00:00Z"),
        ],
        max_active_stages=2,
        deferrable=True,
    )

    # One task instance a week: for the eye in the grid, and to be cleared by itself.
    PlanasonixBackfillOperator.partial(
        task_id="load_weeks",
        connection_id="conn_iot_telemetry",
        map_index_template="{{ task.start_at[:10] }}",
        max_active_tis_per_dagrun=1,
        deferrable=True,
    ).expand_kwargs(stage_windows("2026-01-05T00:00:00Z", "2026-01-19T00:00:00Z", "1w"))
