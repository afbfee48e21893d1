"""The tables of a run's outcome, put to the assets that they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.targets import TableAsset, table_matcher

if TYPE_CHECKING:
    from planasonix.runs import Outcome, TableOutcome
    from planasonix.runs.outcome import TableState


@dataclass(frozen=True)
class TableResult:
    """What one run did to one asset, or to one of its partitions. `table` bears the asset's own table name."""

    asset: TableAsset
    table: TableOutcome
    outcome: Outcome
    partition: str | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the asset is up to date by it: a table without changes is as fresh as a loaded one."""
        return self.table.state in ("loaded", "no_change")


def table_results(
    outcome: Outcome,
    tables: Mapping[dg.AssetKey, TableAsset],
    selected: Collection[dg.AssetKey] | None = None,
    *,
    partition: str | None = None,
) -> list[TableResult]:
    """One result for each selected asset of the outcome's connection, in the order of `tables`; None selects all.

    Names are put to assets by `targets.match_table`. What a table is of which the results say nothing, the outcome
    tells if it was read with that table among its `expected_tables`; else it is unknown, or failed if the run did.
    """
    from planasonix.runs import TableOutcome

    ours = {key: asset for key, asset in tables.items() if asset.connection_id == outcome.connection_id}
    match = table_matcher(ours)
    found: dict[dg.AssetKey, TableOutcome] = {}
    for table in outcome.tables:
        asset = match(table.name)
        if asset is None:
            continue
        # A name that differs was read from the results. The asset's own may only have been expected.
        if table.name != asset.table or asset.asset_key not in found:
            found[asset.asset_key] = replace(table, name=asset.table)
    chosen = [asset for key, asset in ours.items() if selected is None or key in selected]
    # Of a run that never began, or of which nothing could be read, the outcome lists nothing.
    absent: TableState = "unknown" if outcome.succeeded else "failed"
    return [
        TableResult(asset, found.get(asset.asset_key) or TableOutcome(asset.table, absent), outcome, partition)
        for asset in chosen
    ]


def not_reported(
    outcome: Outcome, tables: Mapping[dg.AssetKey, TableAsset], selected: Collection[dg.AssetKey]
) -> list[str]:
    """The tables that the run loaded though no selected asset is them: a sync loads the whole connection."""
    match = table_matcher(asset for asset in tables.values() if asset.connection_id == outcome.connection_id)
    assets = {table.name: match(table.name) for table in outcome.tables if table.state == "loaded"}
    return [name for name, asset in assets.items() if asset is None or asset.asset_key not in selected]


def not_loaded(
    outcome: Outcome, tables: Mapping[dg.AssetKey, TableAsset], selected: Collection[dg.AssetKey]
) -> list[str]:
    """The tables that the run did not load and no selected asset is: other assets of `tables`, or what the results
    name as failed.
    """
    match = table_matcher(asset for asset in tables.values() if asset.connection_id == outcome.connection_id)
    others = {key: asset for key, asset in tables.items() if key not in selected}
    names = [result.asset.table for result in table_results(outcome, others) if not result.is_loaded]
    unknown = [table.name for table in outcome.tables if table.state == "failed" and match(table.name) is None]
    return [*names, *unknown]
