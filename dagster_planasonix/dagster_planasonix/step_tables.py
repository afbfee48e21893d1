"""What a step is to load: the tables of its selected assets, by connection, and the checks to evaluate with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from dagster_planasonix.targets import CONNECTION_ID, TABLE, TableAsset, match_table, tables_of
from planasonix.errors import ConfigurationError


@dataclass(frozen=True)
class StepTables:
    """The assets of a step that are tables of one connection; `selected` are those to load, the rest is known only
    to tell whose a table in the results is.
    """

    connection_id: str
    connection_name: str | None
    tables: Mapping[dg.AssetKey, TableAsset]
    selected: tuple[dg.AssetKey, ...]

    @property
    def selected_tables(self) -> tuple[str, ...]:
        """The API's names of the tables to load, each once: several assets may be the same table."""
        return tuple(dict.fromkeys(self.tables[key].table for key in self.selected))


def step_tables(context: Any) -> list[StepTables]:
    """The step's connections, in the order in which its specs name them, with those tables that are selected.

    `context` is an `AssetExecutionContext` or the `OpExecutionContext` of an asset's step. Raises `ConfigurationError`
    where no selected asset is a table of Planasonix.
    """
    if not getattr(context, "has_assets_def", False):
        raise ConfigurationError(
            "sync_and_poll needs the context of an asset's step: this one loads no assets.",
            field="context",
            hint="Use it in @planasonix_assets, @dg.multi_asset or @dg.asset; in a plain op, use get_client().",
        )
    tables = tables_of(context)
    selected = [key for key in tables if key in context.selected_asset_keys]
    if not selected:
        raise _nothing_to_load(context)
    connections = dict.fromkeys(tables[key].connection_id for key in selected)
    return [_of_connection(connection_id, tables, selected) for connection_id in connections]


def only_tables(connections: Sequence[StepTables], names: Sequence[str]) -> list[StepTables]:
    """Of these, what is one of the tables named. Raises `ConfigurationError` for a name that is no selected asset's."""
    keys: set[dg.AssetKey] = set()
    for name in names:
        found = [
            asset for each in connections for asset in match_table(name, [each.tables[key] for key in each.selected])
        ]
        if len({(asset.connection_id, asset.table) for asset in found}) != 1:
            known = ", ".join(table for each in connections for table in each.selected_tables)
            raise ConfigurationError(
                f"tables names {name!r}, which is {'no table' if not found else 'more than one table'} of the "
                "selected assets.",
                field="tables",
                hint=f"Those are: {known}.",
            )
        keys.update(asset.asset_key for asset in found)
    fewer = [replace(each, selected=tuple(key for key in each.selected if key in keys)) for each in connections]
    return [each for each in fewer if each.selected]


def selected_checks(context: Any) -> list[dg.AssetCheckSpec]:
    """The specs of the step's checks that are selected, also those that other authors made."""
    return [spec for spec in context.assets_def.check_specs if spec.key in context.selected_asset_check_keys]


def requires_output(context: Any, key: dg.AssetKey) -> bool:
    """Whether Dagster takes the asset for loaded, or fails the step, when it is not said to be."""
    output = context.op_def.output_def_named(context.output_for_asset_key(key))
    return bool(output.is_required)


def _of_connection(
    connection_id: str, tables: Mapping[dg.AssetKey, TableAsset], selected: list[dg.AssetKey]
) -> StepTables:
    ours = {key: asset for key, asset in tables.items() if asset.connection_id == connection_id}
    name = next((asset.connection_name for asset in ours.values() if asset.connection_name), None)
    return StepTables(connection_id, name, ours, tuple(key for key in selected if key in ours))


def _nothing_to_load(context: Any) -> ConfigurationError:
    if context.selected_asset_check_keys and not context.selected_asset_keys:
        return ConfigurationError(
            "Only checks are selected, and these are evaluated from what a load tells.",
            field="selection",
            hint="Materialize the assets.",
        )
    return ConfigurationError(
        "No selected asset of this step says which table of Planasonix it is.",
        field="metadata",
        hint=f"Give each spec metadata={{{CONNECTION_ID!r}: 'conn_…', {TABLE!r}: 'public.orders'}}, or use "
        "@planasonix_assets.",
    )
