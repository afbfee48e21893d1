"""A DAG that runs whenever a sync of a connection has ended well, whoever started it: no schedule, no polling.

Needs `[planasonix] inbox_url` and a webhook to `<API server>/planasonix/webhooks`; see docs/airflow/events.md.
"""

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.triggers.event import PlanasonixEventTrigger

orders_loaded = Asset(
    "planasonix_orders_loaded",
    watchers=[
        AssetWatcher(
            name="orders",
            trigger=PlanasonixEventTrigger("conn_shop_orders", statuses="succeeded"),
        )
    ],
)

RETRY = {"retries": 6, "retry_delay": timedelta(seconds=5)}

with DAG("planasonix_events_report", schedule=[orders_loaded], default_args=RETRY):

    @task
    def report(triggering_asset_events=None) -> dict:
        """What the newest event says, and the rows that the API says of its job: an event itself proves nothing."""
        told = triggering_asset_events[orders_loaded][-1].extra["payload"]
        with PlanasonixHook().get_client() as client:
            tables = client.jobs.results(told["job_id"]).tables
        return {**told, "rows_loaded": sum(table.rows_loaded for table in tables)}

    report()
