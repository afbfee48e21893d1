"""A night with Planasonix: one sync that everything waits for, several side by side, and a window loaded again.

Needs an Airflow connection `planasonix_default` (type Planasonix: host, API key). The sandbox's connections
(`planasonix sandbox`) have these ids.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronDataIntervalTimetable, task

from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

with DAG(
    dag_id="planasonix_nightly",
    # Not "@daily": in Airflow 3 that gives runs without a data interval, which the backfill below takes as its window.
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2},
    tags=["planasonix"],
    doc_md=__doc__,
):
    # Waits in the triggerer: no worker is held, however long the sync takes.
    orders = PlanasonixSyncOperator(
        task_id="sync_orders",
        connection_id="conn_shop_orders",
        expected_tables=["public.orders", "public.order_items"],
        deferrable=True,
    )

    # One task instance, one job and one retry for each connection.
    others = PlanasonixSyncOperator.partial(task_id="sync_others", deferrable=True).expand(
        connection_id=["conn_crm_accounts", "conn_support_tickets", "conn_partner_sftp"]
    )

    # No window given: the run's data interval, half-open. An Airflow backfill of this DAG loads each day once.
    reload_day = PlanasonixBackfillOperator(task_id="reload_day", connection_id="conn_billing_stripe", deferrable=True)

    @task
    def count_rows(outcomes: list[dict]) -> int:
        """Add up what the mapped syncs loaded; each outcome is a plain dict."""
        return sum(outcome["rows_loaded"] or 0 for outcome in outcomes)

    orders >> others >> reload_day
    count_rows(others.output)
