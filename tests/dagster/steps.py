"""Assets of the shop's tables around `sync_and_poll`, and what a run of them told."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from dagster_planasonix.checks import check_specs
from dagster_planasonix.run_config import PlanasonixRunConfig
from dagster_planasonix.targets import target_metadata
from dagster_planasonix.workspace import PlanasonixWorkspace

KEY = "plnx_live_canary_51c0"
CONNECTION = "conn_shop_orders"


def workspace_of(served: Any, **fields: Any) -> PlanasonixWorkspace:
    defaults = {
        "api_key": KEY,
        "base_url": served.url,
        "job_url_template": f"{served.url}/#/{{kind}}s/{{id}}",
        "poll_interval_seconds": 0.05,
    }
    return PlanasonixWorkspace(**defaults | fields)


def spec_of(table: str, connection_id: str = CONNECTION, **attributes: Any) -> dg.AssetSpec:
    metadata = target_metadata(connection_id, "shop", table)
    return dg.AssetSpec(table.split(".")[-1], metadata=metadata, **attributes)


def shop(
    workspace: PlanasonixWorkspace,
    *tables: str,
    specs: Sequence[dg.AssetSpec] = (),
    checks: bool = True,
    partitions_def: dg.PartitionsDefinition | None = None,
    columns: bool = False,
    op: dict[str, Any] | None = None,
    **options: Any,
) -> dg.AssetsDefinition:
    """An op of a connection's tables, any of which may be selected."""
    specs = [*specs, *(spec_of(table, partitions_def=partitions_def) for table in tables)]
    policy = None if partitions_def is None else dg.BackfillPolicy.single_run()

    @dg.multi_asset(
        name="shop",
        specs=specs,
        check_specs=[each for spec in specs for each in check_specs(spec.key)] if checks else None,
        **{"can_subset": True, "backfill_policy": policy} | (op or {}),
    )
    def load(context: dg.AssetExecutionContext, config: PlanasonixRunConfig):
        events = workspace.sync_and_poll(context, config=config, **options)
        yield from events.fetch_column_metadata() if columns else events

    return load


def materialize(*assets: Any, **arguments: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(list(assets), **{"raise_on_error": False} | arguments)


def days(start: str, end: str | None = None) -> dict[str, str]:
    """The tags of a run over a range of partitions."""
    return {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end or start}


def materialized(result: dg.ExecuteInProcessResult) -> dict[Any, dict[str, Any]]:
    """The plain metadata of each materialization, by asset, or by asset and partition. Each must be there once."""
    told: dict[Any, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        name = event.materialization.asset_key.to_user_string()
        key = name if event.partition is None else (name, event.partition)
        assert key not in told, f"{key} has two materializations"
        told[key] = {name: value.value for name, value in event.materialization.metadata.items()}
    return told


def observed(result: dg.ExecuteInProcessResult) -> dict[Any, Any]:
    """The observations of tables (not of the ledger), by asset, or by asset and partition."""
    told: dict[Any, Any] = {}
    for event in result.get_asset_observation_events():
        seen = event.asset_observation_data.asset_observation
        name = seen.asset_key.to_user_string()
        if not name.startswith("planasonix/"):
            told[name if seen.partition is None else (name, seen.partition)] = seen
    return told


def checked(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    return {
        (each.asset_key.to_user_string(), each.check_name): each.passed for each in result.get_asset_check_evaluations()
    }


def failure_of(result: dg.ExecuteInProcessResult) -> Any:
    """The failure of the one step that failed: `description`, `metadata`, `allow_retries` as Dagster stored them."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data


def backfills_of(served: Any) -> list[dict[str, Any]]:
    """The bodies of the backfill requests that took effect, in order."""
    return [entry.body for entry in served.journal if entry.operation == "connections.backfill" and entry.status == 202]
