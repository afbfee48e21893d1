"""Days as partitions: each is a backfill of its own window, several of them in one run."""

import dagster as dg

from dagster_planasonix import build_planasonix_assets_definitions
from planasonix_example.account import SNAPSHOT, workspace

days = dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin")


@dg.definitions
def tickets() -> dg.Definitions:
    assets = build_planasonix_assets_definitions(
        workspace=workspace,
        connection_selector=["conn_support_tickets"],
        partitions_def=days,
        snapshot=SNAPSHOT,
    )
    return dg.Definitions(assets=assets)
