"""A shop's tables, synced as one op that may load any of them; a report of one's own follows by itself."""

from collections.abc import Iterable

import dagster as dg

from dagster_planasonix import DagsterPlanasonixTranslator, PlanasonixTableProps, planasonix_assets
from dagster_planasonix.checks import check_specs
from dagster_planasonix.run_config import PlanasonixRunConfig
from planasonix_example.account import SNAPSHOT, workspace


class Shop(DagsterPlanasonixTranslator):
    """Keys below `raw`, and a check that orders came at all."""

    def get_asset_spec(self, props: PlanasonixTableProps) -> dg.AssetSpec:
        return (
            super().get_asset_spec(props).replace_attributes(key=["raw", "shop", props.table_name], group_name="shop")
        )

    def get_check_specs(self, props: PlanasonixTableProps) -> Iterable[dg.AssetCheckSpec]:
        key = dg.AssetKey(["raw", "shop", props.table_name])
        return check_specs(key, min_rows=1) if props.table_name == "orders" else check_specs(key)


@planasonix_assets(
    connection_id="conn_shop_orders",
    workspace=workspace,
    translator=Shop(),
    name="shop",
    retry_policy=dg.RetryPolicy(max_retries=2, delay=10),
    snapshot=SNAPSHOT,
)
def shop(context: dg.AssetExecutionContext, config: PlanasonixRunConfig):
    # A window in the launchpad loads that window again; without one this is a sync.
    yield from workspace.sync_and_poll(context, config=config)


@dg.asset(deps=[["raw", "shop", "orders"]], group_name="shop", automation_condition=dg.AutomationCondition.eager())
def orders_report() -> dg.MaterializeResult:
    """Runs whenever orders were loaded, by whomever."""
    return dg.MaterializeResult(metadata={"note": "made of raw/shop/orders"})
