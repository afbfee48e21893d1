"""Each DAG run loads its own day again. `airflow backfill create` then loads any past range, each day once."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronDataIntervalTimetable

from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator

with DAG(
    "planasonix_data_interval",
    # Not "@daily": in Airflow 3 a plain cron schedule gives runs without a data interval.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2},
    tags=["planasonix"],
    doc_md=__doc__,
):
    # Neither start_at nor end_at: the run's data interval, start included, end excluded.
    PlanasonixBackfillOperator(
        task_id="reload_day",
        connection_id="conn_shop_inventory",
        tables=["inventory.products", "inventory.stock_levels"],
        deferrable=True,
    )
