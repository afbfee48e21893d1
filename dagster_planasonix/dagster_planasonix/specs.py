"""The specs of a workspace's tables, from what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from dagster_planasonix.selection import ConnectionSelector, selected
from dagster_planasonix.state import ConnectionState, WorkspaceState
from dagster_planasonix.targets import CONNECTION_ID, TABLE, target_metadata
from dagster_planasonix.translator import DagsterPlanasonixTranslator, PlanasonixTableProps
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace


class ConnectionSpecs(NamedTuple):
    """What one op is made of."""

    connection: ConnectionState
    specs: list[dg.AssetSpec]
    check_specs: list[dg.AssetCheckSpec]


def load_planasonix_asset_specs(
    workspace: PlanasonixWorkspace,
    translator: DagsterPlanasonixTranslator | None = None,
    connection_selector: ConnectionSelector | None = None,
    *,
    snapshot: str | Path | None = None,
    include_columns: bool = False,
) -> Sequence[dg.AssetSpec]:
    """The specs of all tables of the selected connections, views left out.

    :param workspace: where to ask. Within one code location it is asked once: run workers and steps get the answer from
        Dagster.
    :param translator: makes the specs; the default one says what they look like.
    :param connection_selector: ids, a `ConnectionSelection`, or a function of a `ConnectionState`. None takes every
        connection, warehouses and buckets too.
    :param snapshot: a file that `write_planasonix_snapshot` wrote: then nothing is asked at all.
    :param include_columns: with the columns of each table, a call a table.

    Raises `ConfigurationError` for a selector that fits nothing, a missing snapshot, and two tables with one asset key;
    else what the API raises.

        specs = load_planasonix_asset_specs(workspace, connection_selector=["conn_shop_orders"])
    """
    from dagster_planasonix.loading import load_state

    state = load_state(workspace, connection_selector, snapshot=snapshot, include_columns=include_columns)
    return [spec for each in connection_specs(state, translator, connection_selector) for spec in each.specs]


def connection_specs(
    state: WorkspaceState,
    translator: DagsterPlanasonixTranslator | None = None,
    connection_selector: ConnectionSelector | None = None,
) -> list[ConnectionSpecs]:
    """The same from a state, connection by connection, those without tables left out. Raises as above."""
    if isinstance(translator, type):
        name = translator.__name__
        raise ConfigurationError(f"translator is the class {name}.", field="translator", hint=f"Pass {name}().")
    translator = translator or DagsterPlanasonixTranslator()
    made: list[ConnectionSpecs] = []
    for connection in selected(state.connections, connection_selector):
        specs: list[dg.AssetSpec] = []
        check_specs: list[dg.AssetCheckSpec] = []
        for table in connection.tables or ():
            props = PlanasonixTableProps(connection, table)
            spec = _with_target(translator.get_asset_spec(props), props)
            specs.append(spec)
            # The translator knows no key but the one it gave itself, and YAML may have changed it since.
            check_specs += [_of(spec.key, check) for check in translator.get_check_specs(props)]
        if specs:
            made.append(ConnectionSpecs(connection, specs, check_specs))
    refuse_ambiguous_keys(made)
    return made


def refuse_ambiguous_keys(made: Iterable[ConnectionSpecs]) -> None:
    """Raises `ConfigurationError` if two tables have one key, or keys that Dagster makes one name of."""
    seen: dict[str, tuple[dg.AssetSpec, ConnectionState]] = {}
    for connection, specs, _ in made:
        for spec in specs:
            # What Dagster names an output by: "a-b" and "a_b" are one to it, and it would not say so.
            name = "__".join(spec.key.path).replace("-", "_").replace(".", "_")
            before = seen.setdefault(name, (spec, connection))
            if before[0] is not spec:
                _refuse(before, (spec, connection))


def _refuse(one: tuple[dg.AssetSpec, ConnectionState], other: tuple[dg.AssetSpec, ConnectionState]) -> None:
    (spec, connection), (spec2, connection2) = one, other
    same = spec.key == spec2.key
    what = (
        f"have the same asset key {spec.key.to_user_string()}"
        if same
        else f"have the asset keys {spec.key.to_user_string()} and {spec2.key.to_user_string()}, one name to Dagster"
    )
    raise ConfigurationError(
        f"The tables {spec.metadata[TABLE]} of {connection.label} and {spec2.metadata[TABLE]} of {connection2.label} "
        f"{what}.",
        field="translator",
        hint="Give one of them another key, in get_asset_spec of a DagsterPlanasonixTranslator "
        "(`spec.replace_attributes(key=[props.connection_id, ...])`) or by `translation: {key: …}` in YAML; or select "
        "one connection only.",
    )


def _of(key: dg.AssetKey, check: dg.AssetCheckSpec) -> dg.AssetCheckSpec:
    return check if check.asset_key == key else check.replace_key(dg.AssetCheckKey(key, check.name))


def _with_target(spec: dg.AssetSpec, props: PlanasonixTableProps) -> dg.AssetSpec:
    """Without its target an asset could not be run: a translator may add metadata, and not take this away."""
    metadata = spec.metadata
    if metadata.get(CONNECTION_ID) == props.connection.id and metadata.get(TABLE) == props.qualified_name:
        return spec
    return spec.merge_attributes(
        metadata=target_metadata(props.connection_id, props.connection_name, props.qualified_name)
    )
