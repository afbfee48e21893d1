"""The tables of a run's outcome, put to the assets that they are.

The one rule for steps, the sensor and reconcile: each asset gets what the run tells of its table, also where several
assets stand for the same one. A name of the results goes to the table that it fits (`targets.table_matcher`), and among
several names that fit one table the nearest counts. Where that leaves a choice, no asset gets the rows of any, and the
asset says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.targets import Fit, TableAsset, table_matcher

if TYPE_CHECKING:
    from planasonix.runs import Outcome, TableOutcome
    from planasonix.runs.outcome import TableState

_SHOWN = 5


@dataclass(frozen=True)
class TableResult:
    """What one run did to one asset, or to one of its partitions. `table` bears the asset's own table name.

    `doubt`: why the state is unknown although the results were read. `ended_badly`: the run did not succeed, and no
    table of it bears the blame; then each of them has to tell it, as nothing else does where no step waits for the run.
    """

    asset: TableAsset
    table: TableOutcome
    outcome: Outcome
    partition: str | None = None
    doubt: str | None = None
    ended_badly: bool = False

    @property
    def is_loaded(self) -> bool:
        """Whether the asset is up to date by it: a table without changes is as fresh as a loaded one."""
        return self.table.state in ("loaded", "no_change")

    @property
    def why_unknown(self) -> str:
        """For people: what is missing to know the state, as a clause."""
        unread = any(warning.code == "results_not_read" for warning in self.outcome.warnings)
        return self.doubt or ("not all results could be read" if unread else "the results do not tell")


def uncounted(result: TableResult) -> TableResult:
    """The same without its rows, for a run over several partitions: how many are whose, the API does not tell."""
    return replace(result, table=replace(result.table, rows_loaded=None))


@dataclass(frozen=True)
class _Told:
    """What an outcome tells of one table, and by which `names` of its results."""

    table: TableOutcome
    names: frozenset[str] = frozenset()
    doubt: str | None = None


def table_results(
    outcome: Outcome,
    tables: Mapping[dg.AssetKey, TableAsset],
    selected: Collection[dg.AssetKey] | None = None,
    *,
    partition: str | None = None,
) -> list[TableResult]:
    """One result for each selected asset of the outcome's connection, in the order of `tables`; None selects all.

    What a table is of which the results say nothing, the outcome tells if it was read with that table among its
    `expected_tables`; else it is unknown, or failed if the run did.
    """
    ours = _of_connection(outcome, tables)
    told = _told_of(outcome, ours.values())
    ended_badly = not outcome.succeeded and not _has_culprit(outcome, told.values())
    return [
        TableResult(asset, told[asset.table].table, outcome, partition, told[asset.table].doubt, ended_badly)
        for key, asset in ours.items()
        if selected is None or key in selected
    ]


def not_reported(
    outcome: Outcome, tables: Mapping[dg.AssetKey, TableAsset], selected: Collection[dg.AssetKey]
) -> list[str]:
    """The tables that the run loaded though no selected asset is them: a sync loads the whole connection."""
    ours = _of_connection(outcome, tables)
    told = _told_of(outcome, ours.values())
    names = {name for key, asset in ours.items() if key in selected for name in told[asset.table].names}
    return [table.name for table in outcome.tables if table.state == "loaded" and table.name not in names]


def not_loaded(
    outcome: Outcome, tables: Mapping[dg.AssetKey, TableAsset], selected: Collection[dg.AssetKey]
) -> list[str]:
    """The tables that the run did not load and no selected asset is: other assets of `tables`, or what the results
    name as failed.
    """
    ours = _of_connection(outcome, tables)
    told = _told_of(outcome, ours.values())
    others = [
        result.asset.table
        for result in table_results(outcome, ours, ours.keys() - set(selected))
        if not result.is_loaded
    ]
    known = {name for each in told.values() for name in each.names}
    unknown = [
        table.name for table in outcome.tables if table.state == "failed" and table.reported and table.name not in known
    ]
    return list(dict.fromkeys([*others, *unknown]))


def _has_culprit(outcome: Outcome, told: Iterable[_Told]) -> bool:
    """Whether some table was not loaded, which explains the bad end. A sync loads the whole connection: so any that we
    know and it does not name, selected or not.
    """
    tables = list(outcome.tables)
    if outcome.kind == "job" and outcome.status != "cancelled":
        tables += [each.table for each in told]
    return any(table.state in ("failed", "unknown") for table in tables)


def _of_connection(outcome: Outcome, tables: Mapping[dg.AssetKey, TableAsset]) -> dict[dg.AssetKey, TableAsset]:
    return {key: asset for key, asset in tables.items() if asset.connection_id == outcome.connection_id}


def _told_of(outcome: Outcome, assets: Iterable[TableAsset]) -> dict[str, _Told]:
    """By table, for each that one of the assets stands for."""
    from planasonix.runs import TableOutcome

    tables = dict.fromkeys(asset.table for asset in assets)
    match = table_matcher(tables)
    fitting: dict[str, list[tuple[Fit, TableOutcome]]] = {}
    expected: dict[str, TableOutcome] = {}
    for table in outcome.tables:
        if not table.reported:
            expected[table.name] = table
            continue
        fit = match(table.name)
        for name in fit.tables:
            fitting.setdefault(name, []).append((fit, table))
    # Of a run that never began, or of which nothing could be read, the outcome lists nothing.
    absent: TableState = "unknown" if outcome.succeeded else "failed"
    return {
        name: _nearest(name, fitting[name])
        if name in fitting
        else _Told(expected.get(name) or TableOutcome(name, absent, reported=False))
        for name in tables
    }


def _nearest(name: str, fitting: list[tuple[Fit, TableOutcome]]) -> _Told:
    """What the names that fit one table tell of it: the one that fits best, if it is one, and fits no other table."""
    from planasonix.runs import TableOutcome

    step = min(fit.step for fit, _ in fitting)
    near = [(fit, table) for fit, table in fitting if fit.step == step]
    names = frozenset(table.name for _, table in near)
    for fit, table in near:
        if len(fit.tables) > 1:
            others = _listed(each for each in fit.tables if each != name)
            return _Told(
                TableOutcome(name, "unknown"), names, f"the results name {table.name!r}, which may be {others} as well"
            )
    states = {table.state for _, table in near}
    if len(near) == 1:
        return _Told(replace(near[0][1], name=name), names)
    if len(states) == 1:
        # Whichever of them it is. How many rows, they do not tell.
        return _Told(TableOutcome(name, near[0][1].state), names)
    return _Told(TableOutcome(name, "unknown"), names, f"the results name {_listed(names)}, any of which it may be")


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
