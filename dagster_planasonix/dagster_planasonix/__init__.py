"""Planasonix for Dagster: assets, checks and sensors for the tables of Planasonix connections.

    import dagster as dg
    from dagster_planasonix import PlanasonixWorkspace, build_planasonix_assets_definitions

    workspace = PlanasonixWorkspace(api_key=dg.EnvVar("PLANASONIX_API_KEY"))
    defs = dg.Definitions(assets=build_planasonix_assets_definitions(workspace=workspace))

What not every file of definitions names is imported when it is asked for, as is the client and all that only a run
needs: each process that Dagster starts imports this package.
"""

from typing import TYPE_CHECKING

from dagster_planasonix.asset_decorator import planasonix_assets as planasonix_assets
from dagster_planasonix.asset_defs import build_planasonix_assets_definitions as build_planasonix_assets_definitions
from dagster_planasonix.loading import write_planasonix_snapshot as write_planasonix_snapshot
from dagster_planasonix.selection import ConnectionSelection as ConnectionSelection
from dagster_planasonix.specs import load_planasonix_asset_specs as load_planasonix_asset_specs
from dagster_planasonix.translator import DagsterPlanasonixTranslator as DagsterPlanasonixTranslator
from dagster_planasonix.translator import PlanasonixTableProps as PlanasonixTableProps
from dagster_planasonix.workspace import PlanasonixWorkspace as PlanasonixWorkspace
from planasonix._lazy import lazy_names

if TYPE_CHECKING:
    from dagster_planasonix.causes import planasonix_event_tags as planasonix_event_tags
    from dagster_planasonix.components.workspace_component.component import (
        PlanasonixWorkspaceComponent as PlanasonixWorkspaceComponent,
    )
    from dagster_planasonix.detached_cancel import build_planasonix_cancel_job as build_planasonix_cancel_job
    from dagster_planasonix.reconcile import build_planasonix_reconcile_job as build_planasonix_reconcile_job
    from dagster_planasonix.sensors.inbox_sensor import build_planasonix_inbox_sensor as build_planasonix_inbox_sensor
    from dagster_planasonix.sensors.polling import build_planasonix_polling_sensor as build_planasonix_polling_sensor

__all__ = [
    "ConnectionSelection",
    "DagsterPlanasonixTranslator",
    "PlanasonixTableProps",
    "PlanasonixWorkspace",
    "PlanasonixWorkspaceComponent",
    "build_planasonix_assets_definitions",
    "build_planasonix_cancel_job",
    "build_planasonix_inbox_sensor",
    "build_planasonix_polling_sensor",
    "build_planasonix_reconcile_job",
    "load_planasonix_asset_specs",
    "planasonix_assets",
    "planasonix_event_tags",
    "write_planasonix_snapshot",
]
_LAZY = {
    "causes": ("planasonix_event_tags",),
    "components.workspace_component.component": ("PlanasonixWorkspaceComponent",),
    "detached_cancel": ("build_planasonix_cancel_job",),
    "reconcile": ("build_planasonix_reconcile_job",),
    "sensors.inbox_sensor": ("build_planasonix_inbox_sensor",),
    "sensors.polling": ("build_planasonix_polling_sensor",),
}
__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    # `dg` looks for components among these.
    return sorted({*globals(), *(name for names in _LAZY.values() for name in names)})
