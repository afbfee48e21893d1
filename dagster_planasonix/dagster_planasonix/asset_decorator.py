"""`@planasonix_assets`: an op of one's own around the tables of a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix.names import unique_name
from dagster_planasonix.specs import ConnectionSpecs, connection_specs
from dagster_planasonix.translator import DagsterPlanasonixTranslator
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace

POOL = "planasonix_{connection_id}"
"""One pool a connection, which Planasonix runs one sync of at a time. Without a limit in Dagster it limits nothing."""


def planasonix_assets(
    *,
    connection_id: str,
    workspace: PlanasonixWorkspace,
    translator: DagsterPlanasonixTranslator | None = None,
    name: str | None = None,
    group_name: str | None = None,
    partitions_def: dg.PartitionsDefinition | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = POOL,
    op_tags: Mapping[str, Any] | None = None,
    required_resource_keys: set[str] | None = None,
    freshness_from_schedule: bool = False,
    include_columns: bool = False,
    snapshot: str | Path | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Make the decorated function the op of a connection's tables, one asset each, of which any may be selected.

    :param connection_id: the Planasonix connection, not its name.
    :param workspace: where its tables are looked up when definitions are loaded.
    :param translator: makes the specs and checks.
    :param name: of the op; by default from the id.
    :param group_name: of all its assets, in the place of the translator's.
    :param partitions_def: of all its assets that the translator gave none. Time windows become backfills.
    :param backfill_policy: by default a single run for time windows, whose windows are backfilled one by one in it.
    :param retry_policy: a retry waits for the job that is there, or starts the next one after a failure.
    :param pool: Dagster's concurrency pool. `{connection_id}` in it is replaced; None for none.
    :param op_tags: for the executor, such as Kubernetes settings.
    :param required_resource_keys: of the function, besides its annotated arguments.
    :param freshness_from_schedule: a freshness policy from the connection's schedule, where the API tells one.
    :param include_columns: the columns of each table as metadata, by one call a table when definitions are loaded.
    :param snapshot: a file of `write_planasonix_snapshot` in the place of the API.

    Raises `ConfigurationError` when definitions are loaded: no such connection, one without tables, two tables with one
    asset key; `dagster.DagsterInvalidDefinitionError` as `dagster.multi_asset` does.

        @planasonix_assets(connection_id="conn_shop_orders", workspace=workspace)
        def shop(context: dg.AssetExecutionContext, planasonix: PlanasonixWorkspace):
            yield from planasonix.sync_and_poll(context)

        defs = dg.Definitions(assets=[shop], resources={"planasonix": workspace})
    """
    from dagster_planasonix.loading import load_state

    state = load_state(workspace, (connection_id,), snapshot=snapshot, include_columns=include_columns)
    found = connection_specs(state, translator, (connection_id,))
    if not found:
        raise ConfigurationError(
            f"The connection {connection_id} has no tables, so there is nothing to make assets of.",
            field="connection_id",
            hint="Views are left out. Look at GET /api/connections/{id}/tables, and whether this is a source.",
        )
    return multi_asset_of(
        found[0],
        name=name,
        group_name=group_name,
        partitions_def=partitions_def,
        backfill_policy=backfill_policy,
        retry_policy=retry_policy,
        pool=pool,
        op_tags=op_tags,
        required_resource_keys=required_resource_keys,
        freshness_from_schedule=freshness_from_schedule,
    )


def multi_asset_of(
    made: ConnectionSpecs,
    *,
    name: str | None = None,
    group_name: str | None = None,
    partitions_def: dg.PartitionsDefinition | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = POOL,
    op_tags: Mapping[str, Any] | None = None,
    required_resource_keys: set[str] | None = None,
    freshness_from_schedule: bool = False,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Dagster's decorator for one connection, with the knobs of its op: the one way to an op of ours."""
    connection, specs, check_specs = made
    if changes := _changes(group_name, partitions_def):
        specs = [spec.replace_attributes(**_where_unset(spec, changes)) for spec in specs]
    if freshness_from_schedule:
        from dagster_planasonix.freshness import with_freshness

        specs = with_freshness(specs, connection)
    if backfill_policy is None and any(
        isinstance(spec.partitions_def, dg.TimeWindowPartitionsDefinition) for spec in specs
    ):
        backfill_policy = dg.BackfillPolicy.single_run()
    return dg.multi_asset(
        name=name or unique_name(connection.id),
        specs=specs,
        check_specs=check_specs,
        can_subset=True,
        backfill_policy=backfill_policy,
        retry_policy=retry_policy,
        pool=None if pool is None else pool.replace("{connection_id}", unique_name(connection.id)),
        op_tags={"planasonix/connection_id": connection.id, **(op_tags or {})},
        required_resource_keys=required_resource_keys,
    )


def _changes(group_name: str | None, partitions_def: dg.PartitionsDefinition | None) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if group_name is not None:
        changes["group_name"] = group_name
    if partitions_def is not None:
        changes["partitions_def"] = partitions_def
    return changes


def _where_unset(spec: dg.AssetSpec, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A translator's partitions are one table's own; the group is asked for all of them."""
    return {name: value for name, value in changes.items() if name == "group_name" or getattr(spec, name) is None}
