"""Events instead of polls: the billing tables as soon as a webhook tells of them, whoever loaded them; then the orders.

`planasonix webhooks serve` writes the webhooks into the inbox. Switch on either this sensor or the one of `billing.py`:
they tell the same.
"""

import dagster as dg

from dagster_planasonix import (
    build_planasonix_inbox_sensor,
    load_planasonix_asset_specs,
    planasonix_event_tags,
)
from planasonix_example.account import SNAPSHOT, workspace

reload = dg.define_asset_job("orders_after_billing", selection=[dg.AssetKey(["raw", "shop", "orders"])])


@dg.asset_sensor(asset_key=dg.AssetKey(["billing_stripe", "stripe", "charges"]), job=reload)
def after_billing(context, entry):
    # The tags cut a loop: three runs in a row may be started by events, the next one fails and says why.
    yield dg.RunRequest(run_key=context.cursor, tags=planasonix_event_tags(entry.asset_materialization))


@dg.definitions
def pushed() -> dg.Definitions:
    specs = load_planasonix_asset_specs(workspace, connection_selector=["conn_billing_stripe"], snapshot=SNAPSHOT)
    inbox = build_planasonix_inbox_sensor(
        workspace, specs, name="planasonix_inbox", inbox_url=dg.EnvVar("PLANASONIX_INBOX_URL"), sweep=True
    )
    return dg.Definitions(jobs=[reload], sensors=[inbox, after_billing])
