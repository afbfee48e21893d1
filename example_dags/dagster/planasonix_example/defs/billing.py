"""Detached: the run submits the job and ends; the sensor tells of its end, and of the jobs that others start."""

import dagster as dg

from dagster_planasonix import build_planasonix_assets_definitions
from dagster_planasonix.sensors.polling import build_planasonix_polling_sensor
from planasonix_example.account import SNAPSHOT, workspace


@dg.definitions
def billing() -> dg.Definitions:
    assets = build_planasonix_assets_definitions(
        workspace=workspace,
        connection_selector=["conn_billing_stripe"],
        execution="detached",
        snapshot=SNAPSHOT,
    )
    sensor = build_planasonix_polling_sensor(workspace, assets, name="planasonix_billing")
    nightly = dg.ScheduleDefinition(
        name="billing_nightly", target=dg.AssetSelection.assets(*assets), cron_schedule="0 2 * * *"
    )
    return dg.Definitions(assets=assets, sensors=[sensor], schedules=[nightly])
