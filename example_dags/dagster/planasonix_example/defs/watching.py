"""Every morning: which jobs live on although their run has ended, and which ends nobody has seen. Only tells."""

import dagster as dg

from dagster_planasonix import build_planasonix_cancel_job, build_planasonix_reconcile_job, load_planasonix_asset_specs
from planasonix_example.account import CONNECTIONS, SNAPSHOT, workspace


@dg.definitions
def watching() -> dg.Definitions:
    specs = load_planasonix_asset_specs(workspace, connection_selector=CONNECTIONS, snapshot=SNAPSHOT)
    reconcile = build_planasonix_reconcile_job(workspace, specs)
    daily = dg.ScheduleDefinition(name="reconcile_daily", job=reconcile, cron_schedule="0 6 * * *")
    return dg.Definitions(jobs=[reconcile, build_planasonix_cancel_job(workspace)], schedules=[daily])
