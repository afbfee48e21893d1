"""`@planasonix_assets`: an own function around the tables of one connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

import dagster_planasonix as dp
from planasonix.errors import ConfigurationError
from planasonix.sandbox import Sandbox

KEY = "plnx_live_canary_0d9f"


@pytest.fixture(scope="module")
def workspace() -> Iterator[dp.PlanasonixWorkspace]:
    with Sandbox(api_keys=(KEY,)).serve() as served:
        yield dp.PlanasonixWorkspace(api_key=KEY, base_url=served.url)


def test_the_function_is_the_op(workspace: dp.PlanasonixWorkspace) -> None:
    seen = []

    @dp.planasonix_assets(connection_id="conn_hr_people", workspace=workspace)
    def people(context, planasonix: dg.ResourceParam[dp.PlanasonixWorkspace]):
        seen.append(planasonix.base_url)
        for key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key)

    assert people.op.name == "conn_hr_people"
    assert {key.path[-1] for key in people.keys} == {"workers", "positions"}
    assert "planasonix" in people.required_resource_keys
    assert dg.materialize([people], resources={"planasonix": workspace}, selection=["hr_people/hr/workers"]).success
    assert seen == [workspace.base_url]


def test_every_knob_reaches_the_op(workspace: dp.PlanasonixWorkspace) -> None:
    daily = dg.DailyPartitionsDefinition("2026-01-01")
    retry = dg.RetryPolicy(max_retries=4)

    @dp.planasonix_assets(
        connection_id="conn_hr_people",
        workspace=workspace,
        name="people",
        group_name="hr",
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(2),
        retry_policy=retry,
        pool="api_{connection_id}",
        op_tags={"team": "hr"},
        required_resource_keys={"planasonix"},
    )
    def people(context):
        yield from ()

    assert people.op.name == "people"
    assert people.partitions_def == daily
    assert people.backfill_policy == dg.BackfillPolicy.multi_run(2)
    assert people.op.retry_policy == retry
    assert people.op.pool == "api_conn_hr_people"
    assert people.op.tags["team"] == "hr"
    assert {spec.group_name for spec in people.specs} == {"hr"}
    assert "planasonix" in people.required_resource_keys


def test_the_translators_partitions_are_a_tables_own(workspace: dp.PlanasonixWorkspace) -> None:
    hourly = dg.HourlyPartitionsDefinition("2026-01-01-00:00")

    class Hourly(dp.DagsterPlanasonixTranslator):
        def get_asset_spec(self, props: dp.PlanasonixTableProps) -> dg.AssetSpec:
            spec = super().get_asset_spec(props)
            return spec.replace_attributes(partitions_def=hourly) if props.table_name == "workers" else spec

    @dp.planasonix_assets(
        connection_id="conn_hr_people",
        workspace=workspace,
        translator=Hourly(),
        partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
    )
    def people(context):
        yield from ()

    found: dict[str, Any] = {spec.key.path[-1]: spec.partitions_def for spec in people.specs}
    assert found == {"workers": hourly, "positions": dg.DailyPartitionsDefinition("2026-01-01")}


def test_a_connection_that_is_not_there_is_told_at_once(workspace: dp.PlanasonixWorkspace) -> None:
    with pytest.raises(ConfigurationError, match="No connection has id conn_hr"):
        dp.planasonix_assets(connection_id="conn_hr", workspace=workspace)
