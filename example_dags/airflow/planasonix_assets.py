"""What Planasonix loads starts what needs it: by table, by whatever was loaded, by day.

Needs an Airflow connection `planasonix_default` (type Planasonix: host, API key). The sandbox's connections have these
ids. A new DAG is paused, and a paused one is started by nothing: unpause the first three, then trigger
`planasonix_assets_load`, which starts the other two of them. Unpause the last two as well: they run each night,
or for days of your choice:
`airflow backfill create --dag-id planasonix_assets_days --from-date 2026-01-05 --to-date 2026-01-06`.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAlias, CronPartitionTimetable, PartitionedAssetTimetable, task

from airflow_provider_planasonix.assets import planasonix_table
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

# The same words in every DAG file make the same asset: planasonix://conn_shop_orders/public/orders
ORDERS = planasonix_table("conn_shop_orders", "public.orders")
CHARGES = planasonix_table("conn_billing_stripe", "stripe.charges")
LOADED = AssetAlias("planasonix_assets_loaded")

common = {"catchup": False, "tags": ["planasonix"]}

with DAG("planasonix_assets_load", schedule=None, default_args={"retries": 2}, **common):
    # The outlet says which table somebody waits for; the alias gets every table that was loaded.
    PlanasonixSyncOperator(
        task_id="sync_orders", connection_id="conn_shop_orders", outlets=[ORDERS, LOADED], deferrable=True
    )

with DAG("planasonix_assets_report", schedule=[ORDERS], **common):

    @task
    def report(triggering_asset_events) -> dict:
        """The newest event says what is there: rows, checksum, job, link; 0 rows where the table had no change."""
        return triggering_asset_events[ORDERS][-1].extra

    report()

with DAG("planasonix_assets_check", schedule=LOADED, **common):

    @task
    def check(triggering_asset_events) -> dict[str, int]:
        """Rows of each table that was loaded, whatever its name."""
        events = [event for asset, each in triggering_asset_events.items() if asset != LOADED for event in each]
        return {event.extra["table"]: event.extra["rows_loaded"] for event in events}

    check()

with DAG(
    "planasonix_assets_days",
    # Each night's run has the key of the day before, and loads that day. So does an Airflow backfill of this DAG.
    schedule=CronPartitionTimetable("0 0 * * *", timezone="Europe/Berlin", run_offset=-1, key_format="%Y-%m-%d"),
    default_args={"retries": 2},
    **common,
):
    PlanasonixBackfillOperator(
        task_id="load_day",
        connection_id="conn_billing_stripe",
        tables=["stripe.charges"],
        partition_timezone="Europe/Berlin",
        outlets=[CHARGES],
        deferrable=True,
    )

with DAG("planasonix_assets_daily_sums", schedule=PartitionedAssetTimetable(assets=CHARGES), **common):

    @task
    def sum_up(dag_run, triggering_asset_events) -> dict:
        """Runs once for each day that was loaded, and knows which."""
        return {"day": dag_run.partition_key, **triggering_asset_events[CHARGES][-1].extra}

    sum_up()
