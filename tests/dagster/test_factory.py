"""`build_planasonix_assets_definitions` and `load_planasonix_asset_specs`, against a sandbox."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import dagster_planasonix as dp
from planasonix.errors import ConfigurationError
from planasonix.sandbox import Sandbox

KEY = "plnx_live_canary_71aa"
ORDERS = dg.AssetKey(["shop_orders", "public", "orders"])


class Workspace(dp.PlanasonixWorkspace):
    """Runs nothing: what an op is made of shows in what it would be told."""

    def sync_and_poll(self, context: Any, config: Any = None, **options: Any) -> Any:
        told = {"key": self.api_key, "options": str(options), "window": str((config.start_at, config.end_at))}
        for key in sorted(context.selected_asset_keys):
            yield dg.MaterializeResult(asset_key=key, metadata=told)

    def submit(self, context: Any, config: Any = None, **options: Any) -> Any:
        yield dg.AssetObservation(ORDERS, metadata={"submitted": True})


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    with Sandbox(api_keys=(KEY,)).serve() as running:
        yield running


@pytest.fixture
def workspace(served: Any) -> Workspace:
    served.reset()
    return Workspace(api_key=KEY, base_url=served.url)


def calls(served: Any) -> Counter[str]:
    return Counter(entry.operation for entry in served.journal)


def test_one_op_a_connection_and_one_asset_a_table(workspace: Workspace) -> None:
    made = dp.build_planasonix_assets_definitions(workspace=workspace)
    assert len(made) == 21
    shop = made[0]
    assert shop.op.name == "conn_shop_orders"
    assert len(shop.keys) == 5
    assert ORDERS in shop.keys
    assert not any("open_orders" in key.path for key in shop.keys)
    assert shop.can_subset
    dg.Definitions.validate_loadable(dg.Definitions(assets=made))


@pytest.mark.parametrize("bound", [True, False])
def test_it_runs_with_or_without_a_bound_resource(workspace: Workspace, bound: bool) -> None:
    made = dp.build_planasonix_assets_definitions(workspace=workspace, connection_selector=["conn_shop_orders"])
    result = dg.materialize(made, resources={"planasonix": workspace} if bound else None, selection=[ORDERS])
    assert result.success
    assert [event.asset_key for event in result.get_asset_materialization_events()] == [ORDERS]


def test_an_environment_variable_is_read_when_a_run_needs_it(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    workspace = Workspace(api_key=dg.EnvVar("MY_KEY"), base_url=served.url)
    made = dp.build_planasonix_assets_definitions(workspace=workspace, connection_selector=["conn_hr_people"])
    monkeypatch.setenv("MY_KEY", "plnx_live_rotated")
    (event, *_) = dg.materialize(made).get_asset_materialization_events()
    assert event.materialization.metadata["key"].value == "plnx_live_rotated"


def test_two_workspaces_need_no_two_resource_keys(served: Any, workspace: Workspace) -> None:
    other = Workspace(api_key=KEY, base_url=served.url, environment="other")
    first = dp.build_planasonix_assets_definitions(workspace=workspace, connection_selector="conn_hr_people")
    second = dp.build_planasonix_assets_definitions(
        workspace=other, connection_selector="conn_erp_sap", op_name_prefix="eu_"
    )
    assert second[0].op.name == "eu_conn_erp_sap"
    assert dg.materialize([*first, *second]).success


def test_every_knob_reaches_the_op(workspace: Workspace) -> None:
    retry, policy = dg.RetryPolicy(max_retries=2, delay=3), dg.BackfillPolicy.multi_run(7)
    (made,) = dp.build_planasonix_assets_definitions(
        workspace=workspace,
        connection_selector="conn_shop_orders",
        group_name="raw",
        partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
        backfill_policy=policy,
        retry_policy=retry,
        pool="api",
        op_tags={"dagster/priority": "3"},
    )
    assert made.op.retry_policy == retry
    assert made.op.pool == "api"
    assert made.op.tags["dagster/priority"] == "3"
    assert made.backfill_policy == policy
    assert {spec.group_name for spec in made.specs} == {"raw"}
    assert made.partitions_def == dg.DailyPartitionsDefinition("2026-01-01")


def test_the_defaults_of_the_knobs(workspace: Workspace) -> None:
    (made,) = dp.build_planasonix_assets_definitions(workspace=workspace, connection_selector="conn_shop_orders")
    assert made.op.pool == "planasonix_conn_shop_orders"
    assert made.op.tags["planasonix/connection_id"] == "conn_shop_orders"
    assert made.op.retry_policy is None
    (daily,) = dp.build_planasonix_assets_definitions(
        workspace=workspace,
        connection_selector="conn_shop_orders",
        partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
        pool=None,
    )
    assert daily.backfill_policy == dg.BackfillPolicy.single_run()
    assert daily.op.pool is None


def test_options_reach_the_run(workspace: Workspace) -> None:
    made = dp.build_planasonix_assets_definitions(
        workspace=workspace, connection_selector="conn_shop_orders", sync_options={"priority": "low"}
    )
    (event,) = dg.materialize(made, selection=[ORDERS]).get_asset_materialization_events()
    assert event.materialization.metadata["options"].value == "{'priority': 'low'}"


def test_a_window_may_be_asked_for_in_run_config(workspace: Workspace) -> None:
    made = dp.build_planasonix_assets_definitions(workspace=workspace, connection_selector="conn_shop_orders")
    window = {"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-01-08T00:00:00Z"}
    result = dg.materialize(made, selection=[ORDERS], run_config={"ops": {"conn_shop_orders": {"config": window}}})
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["window"].value == str(tuple(window.values()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sync_options": {"prioritie": "low"}}, "It knows .*priority"),
        ({"execution": "detached", "sync_options": {"partition_mode": "window"}}, "sync_options has 'partition_mode'"),
        ({"execution": "later"}, "execution is 'later'"),
        ({"sync_options": {"partition_mode": "windw"}}, "partition_mode must be one of each, window, got 'windw'"),
        ({"sync_options": {"max_active_partitions": 0}}, "max_active_partitions must be a whole number"),
        ({"sync_options": {"stop_after_failures": "3"}}, "stop_after_failures must be a whole number"),
    ],
)
def test_what_a_run_would_not_know_is_told_when_definitions_load(
    workspace: Workspace, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        dp.build_planasonix_assets_definitions(workspace=workspace, connection_selector="conn_hr_people", **options)
    assert re.search(message, str(caught.value))


def test_detached_submits(workspace: Workspace) -> None:
    made = dp.build_planasonix_assets_definitions(
        workspace=workspace, connection_selector="conn_shop_orders", execution="detached"
    )
    result = dg.materialize(made)
    assert result.success
    assert not result.get_asset_materialization_events()


def test_freshness_is_opt_in(workspace: Workspace, tmp_path: Path) -> None:
    state = dp.write_planasonix_snapshot(workspace, tmp_path / "state.json", ["conn_shop_orders"])
    scheduled = state._replace(connections=(state.connections[0]._replace(schedule="0 6 * * *"),))
    (tmp_path / "state.json").write_text(scheduled.to_json())

    def policies(**options: Any) -> set[bool]:
        (made,) = dp.build_planasonix_assets_definitions(
            workspace=workspace, snapshot=tmp_path / "state.json", **options
        )
        return {spec.freshness_policy is not None for spec in made.specs}

    assert policies() == {False}
    assert policies(freshness_from_schedule=True) == {True}
    # Loading an old partition would make the whole asset fresh.
    daily = dg.DailyPartitionsDefinition("2026-01-01")
    assert policies(freshness_from_schedule=True, partitions_def=daily) == {False}


def test_specs_and_columns(served: Any, workspace: Workspace) -> None:
    specs = dp.load_planasonix_asset_specs(workspace, connection_selector="conn_shop_orders", include_columns=True)
    assert specs[0].key == ORDERS
    assert all(spec.metadata["dagster/column_schema"].columns for spec in specs)
    assert calls(served)["connections.columns"] == 5


def test_a_snapshot_asks_nobody(served: Any, workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "planasonix.json"
    dp.write_planasonix_snapshot(workspace, path, ["conn_shop_orders", "conn_hr_people"])
    served.reset()
    offline = Workspace(api_key=dg.EnvVar("NOT_SET_ANYWHERE"))
    assert len(dp.load_planasonix_asset_specs(offline, snapshot=path)) == 7
    made = dp.build_planasonix_assets_definitions(
        workspace=offline, snapshot=str(path), connection_selector="conn_hr_people"
    )
    assert [each.op.name for each in made] == ["conn_hr_people"]
    assert not calls(served)
    assert KEY not in path.read_text()


def test_a_missing_snapshot_says_how_to_write_one(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="write_planasonix_snapshot"):
        dp.load_planasonix_asset_specs(workspace, snapshot=tmp_path / "gone.json")


def test_one_load_of_a_code_location_asks_once(served: Any, workspace: Workspace) -> None:
    """And the processes that Dagster starts for its runs ask not at all: they get what the load learned."""
    from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType
    from dagster._core.definitions.repository_definition import RepositoryLoadData

    def definitions() -> list[dg.AssetKey]:
        specs = dp.load_planasonix_asset_specs(workspace, connection_selector="conn_shop_orders")
        made = dp.build_planasonix_assets_definitions(
            workspace=workspace, connection_selector=["conn_shop_orders", "conn_hr_people"]
        )
        return [spec.key for spec in [*specs, *(spec for each in made for spec in each.specs)]]

    load = DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)
    with DefinitionsLoadContext.scoped(load):
        first = definitions()
    assert calls(served) == {"connections.list": 1, "connections.tables": 2}
    carried = load.get_pending_reconstruction_metadata()
    assert KEY not in repr(carried)
    served.reset()
    again = DefinitionsLoadContext(
        DefinitionsLoadType.RECONSTRUCTION, RepositoryLoadData({}, reconstruction_metadata=carried)
    )
    with DefinitionsLoadContext.scoped(again):
        assert definitions() == first
    assert not calls(served)


def test_workspaces_that_see_different_things_share_nothing(served: Any, workspace: Workspace) -> None:
    from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

    other = Workspace(api_key=KEY, base_url=served.url, organization_id="org_2")
    with DefinitionsLoadContext.scoped(DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)):
        for each in (workspace, other, workspace):
            dp.load_planasonix_asset_specs(each, connection_selector="conn_hr_people")
    assert calls(served)["connections.list"] == 2
