"""Planasonix for Prefect: native blocks, tasks and flows on the shared core."""

from prefect_planasonix.asset_keys import table_asset
from prefect_planasonix.blocks import PlanasonixBackfill, PlanasonixPipelineRun, PlanasonixSync
from prefect_planasonix.credentials import PlanasonixCredentials
from prefect_planasonix.hooks import planasonix_hooks
from prefect_planasonix.job_run import PlanasonixJobRun
from prefect_planasonix.options import RunOptions

__all__ = [
    "PlanasonixBackfill",
    "PlanasonixCredentials",
    "PlanasonixJobRun",
    "PlanasonixPipelineRun",
    "PlanasonixSync",
    "RunOptions",
    "planasonix_hooks",
    "table_asset",
]
