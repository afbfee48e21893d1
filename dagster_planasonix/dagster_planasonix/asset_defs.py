"""`build_planasonix_assets_definitions`: an op for each connection, without a line of one's own."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import dagster as dg

from dagster_planasonix.asset_decorator import POOL, multi_asset_of
from dagster_planasonix.names import unique_name
from dagster_planasonix.partitions import check_counts, check_mode
from dagster_planasonix.run_config import PlanasonixRunConfig
from dagster_planasonix.selection import ConnectionSelector
from dagster_planasonix.specs import connection_specs
from dagster_planasonix.state import WorkspaceState
from dagster_planasonix.translator import DagsterPlanasonixTranslator
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace

Execution: TypeAlias = Literal["wait", "detached"]
OpBody: TypeAlias = Callable[..., Iterable[Any]]


def build_planasonix_assets_definitions(
    *,
    workspace: PlanasonixWorkspace,
    translator: DagsterPlanasonixTranslator | None = None,
    connection_selector: ConnectionSelector | None = None,
    op_name_prefix: str = "",
    group_name: str | None = None,
    partitions_def: dg.PartitionsDefinition | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = POOL,
    op_tags: Mapping[str, Any] | None = None,
    execution: Execution = "wait",
    sync_options: Mapping[str, Any] | None = None,
    freshness_from_schedule: bool = False,
    include_columns: bool = False,
    snapshot: str | Path | None = None,
) -> Sequence[dg.AssetsDefinition]:
    """One op for each selected connection, one asset for each of its tables (not views), any of which may be selected.

    :param workspace: is used at run time too, so no resource has to be bound; it may have `dg.EnvVar` in its fields.
        One that you bind all the same, under `planasonix` as is usual, serves your own assets and sensors.
    :param translator: makes the specs and checks: see `DagsterPlanasonixTranslator`.
    :param connection_selector: ids, a `ConnectionSelection`, or a function of a `ConnectionState`, applied to the list
        before anything is asked of a connection. None takes every connection, warehouses and buckets too.
    :param op_name_prefix: before the names of the ops, which come from the connections' ids. For two workspaces.
    :param execution: `detached` starts the job and ends the run; the polling sensor completes it.
    :param sync_options: arguments for `workspace.sync_and_poll`, or `workspace.submit` where detached.

    The other parameters are those of `planasonix_assets`, for each op. Returns the definitions in the order of the
    connections; those without tables have none. Raises as `load_planasonix_asset_specs` does.

        workspace = PlanasonixWorkspace(api_key=dg.EnvVar("PLANASONIX_API_KEY"))
        assets = build_planasonix_assets_definitions(workspace=workspace, connection_selector=["conn_shop_orders"])
        defs = dg.Definitions(assets=assets)
    """
    from dagster_planasonix.loading import load_state

    state = load_state(workspace, connection_selector, snapshot=snapshot, include_columns=include_columns)
    return assets_of_state(
        state,
        op_body(workspace, execution, sync_options),
        translator=translator,
        connection_selector=connection_selector,
        op_name_prefix=op_name_prefix,
        group_name=group_name,
        partitions_def=partitions_def,
        backfill_policy=backfill_policy,
        retry_policy=retry_policy,
        pool=pool,
        op_tags=op_tags,
        freshness_from_schedule=freshness_from_schedule,
    )


def assets_of_state(
    state: WorkspaceState,
    body: OpBody,
    *,
    translator: DagsterPlanasonixTranslator | None = None,
    connection_selector: ConnectionSelector | None = None,
    op_name_prefix: str = "",
    **op_knobs: Any,
) -> list[dg.AssetsDefinition]:
    """The same from a state, asking nobody: what factory and component share. `op_knobs` as `multi_asset_of`."""
    with _no_collection():
        return [
            multi_asset_of(made, name=op_name_prefix + unique_name(made.connection.id), **op_knobs)(body)
            for made in connection_specs(state, translator, connection_selector)
        ]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Of many thousands of new objects all stay: to look among them for garbage, again and again, takes a sixth of the
    time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def op_body(workspace: PlanasonixWorkspace, execution: Execution, sync_options: Mapping[str, Any] | None) -> OpBody:
    """The function of an op of ours. The workspace comes by object: two of them need no two resource keys."""
    options = dict(sync_options or {})
    check_execution(execution)
    check_options(execution, options)

    def load(context: Any, config: PlanasonixRunConfig | None) -> Iterator[Any]:
        return run_step(context, workspace, execution, options, config)

    return taking_config(load)


def check_execution(execution: object) -> None:
    """Raises `ConfigurationError` for a word that is none of `Execution`: YAML and untyped code may say anything."""
    if execution not in get_args(Execution):
        raise ConfigurationError(
            f"execution is {execution!r}.", field="execution", hint=f"Use one of {', '.join(get_args(Execution))}."
        )


def check_options(execution: Execution, options: Mapping[str, Any]) -> None:
    """Raises `ConfigurationError` for an option that the run would not know, or would refuse: it would fail only at
    night.
    """
    if not options:
        return
    if execution == "wait":
        from dagster_planasonix.execution import sync_and_poll as run
    else:
        from dagster_planasonix.detached import submit as run

    known = [name for name in signature(run).parameters if name not in ("context", "workspace", "config")]
    for name in options:
        if name not in known:
            raise ConfigurationError(
                f"sync_options has {name!r}, which a run with execution {execution!r} does not know.",
                field="sync_options",
                hint=f"It knows {', '.join(known) or 'none'}.",
            )
    check_mode(options.get("partition_mode", "each"))
    counts = ("max_active_partitions", "stop_after_failures")
    check_counts(**{name: options[name] for name in counts if name in options})


def taking_config(load: Callable[[Any, PlanasonixRunConfig | None], Iterator[Any]]) -> OpBody:
    """The function as Dagster wants it, with a window in its run config.

    Dagster reads annotations as objects, and in this module they are texts: they are set by hand. `context` has none.
    """

    def body(context, config):
        yield from load(context, config)

    body.__annotations__["config"] = PlanasonixRunConfig
    return body


def run_step(
    context: Any,
    workspace: PlanasonixWorkspace,
    execution: Execution,
    options: Mapping[str, Any],
    config: PlanasonixRunConfig | None,
) -> Iterator[Any]:
    """Load what the step selected, with a workspace whose environment variables nobody has resolved yet."""
    with workspace.process_config_and_initialize_cm() as ready:
        call = ready.sync_and_poll if execution == "wait" else ready.submit
        yield from call(context, config=config, **options)
