"""The events of a run that no step waits for.

==========================  ===========================================================================================
the asset                   gets
==========================  ===========================================================================================
without partitions          what `events.events_of` says: as if a step had loaded it
with them, of a backfill    a materialization for each partition that lies within the window as a whole; rows only where
that ended well             the window is exactly one partition, since the API tells none of a part of a window
with them, otherwise        an observation: which partitions it is about, nobody told. Never a materialization without
                            a partition: a backfill of Dagster's that sees one fails
with them, more than can    the same observation: in a run, each of its partitions is told
go through one message
not among the tables that   nothing
a backfill names
==========================  ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix.checks import evaluations_of
from dagster_planasonix.event_metadata import WINDOW_ROWS
from dagster_planasonix.events import AssetEvent, event_of
from dagster_planasonix.results import TableResult, table_results, uncounted
from dagster_planasonix.sensors.watched import Watched, covered_partitions
from dagster_planasonix.targets import TableAsset, table_matcher

if TYPE_CHECKING:
    from planasonix.runs import Outcome

PARTITIONS_AT_MOST = 1_000
"""Of one asset and run."""
EVENTS_AT_MOST = 5_000
"""Of all partitioned assets and one run: the events of a tick go through one message, which Dagster limits to 100 MB,
and each may have some kilobytes.
"""

_NO_WINDOW = "Which partitions this run loaded is not known: {} has no window."
_NO_PARTITION = "No partition lies within this window as a whole."
_NOT_TOLD = "Which partitions this run loaded is not known: their definition does not tell its keys as periods of time."
_TOO_MANY = "{} partitions lie within this window, more than are told of one run here: materialize them in a run."


def expected_tables(
    watched: Watched,
    connection_id: str,
    *,
    asked_tables: Collection[str] | None = None,
    selected: Collection[dg.AssetKey] | None = None,
) -> tuple[str, ...]:
    """The tables of which `run_events` will tell, so that the outcome accounts for each as it does for a step."""
    tables = watched.of_connection(connection_id)
    chosen = _chosen(tables, asked_tables, selected)
    asked = _asked(tables, asked_tables)
    # Of a name that fits several tables nobody knows which was asked for: then none of them is accounted for.
    sure = None if asked is None else {fit[0] for fit in asked if len(fit) == 1}
    named = (asset.table for key, asset in tables.items() if key in chosen)
    return tuple(dict.fromkeys(table for table in named if sure is None or table in sure))


def run_events(
    outcome: Outcome,
    watched: Watched,
    *,
    asked_tables: Collection[str] | None = None,
    selected: Collection[dg.AssetKey] | None = None,
    partition: str | None = None,
    instance: dg.DagsterInstance | None = None,
    metadata: Mapping[str, Any] | None = None,
    data_version_from_checksum: bool = False,
) -> list[AssetEvent]:
    """What the run means for the watched assets of its connection; see the table above.

    `asked_tables` are the tables that a backfill names, None for all; `selected` narrows the assets; `partition` is the
    one that the run was started for, where that is known: it is not looked for in the window then. `instance` keeps the
    keys of dynamic partitions. `metadata` is added to each event that is no check. Returns for each asset its events,
    then its checks. Raises what reading dynamic partitions raises.
    """
    tables = watched.of_connection(outcome.connection_id or "")
    keys = _chosen(tables, asked_tables, selected)
    at_most = _share(watched, keys)
    events: list[AssetEvent] = []
    for result in table_results(outcome, tables, keys):
        checked = result
        partitions_def = watched.partitions.get(result.asset.asset_key)
        if partitions_def is None:
            told: list[AssetEvent] = [
                event_of(result, data_version_from_checksum=data_version_from_checksum, metadata=metadata)
            ]
        else:
            covered = _covered(partitions_def, outcome.window_start, outcome.window_end, partition, instance)
            told = _partitioned(result, covered, metadata or {}, data_version_from_checksum, at_most)
            if covered and not _is_one(covered, outcome):
                checked = uncounted(result)
        events += [*told, *evaluations_of([checked], watched.checks)]
    return events


def _chosen(
    tables: Mapping[dg.AssetKey, TableAsset],
    asked_tables: Collection[str] | None,
    selected: Collection[dg.AssetKey] | None,
) -> frozenset[dg.AssetKey]:
    keys = frozenset(tables) if selected is None else frozenset(selected) & frozenset(tables)
    asked = _asked(tables, asked_tables)
    if asked is None:
        return keys
    names = {table for fit in asked for table in fit}
    return frozenset(key for key in keys if tables[key].table in names)


def _asked(
    tables: Mapping[dg.AssetKey, TableAsset], asked_tables: Collection[str] | None
) -> list[tuple[str, ...]] | None:
    """What each of the names may stand for; None where no table is named, which means all."""
    if not asked_tables:
        return None
    match = table_matcher(asset.table for asset in tables.values())
    return [match(name).tables for name in asked_tables]


def told_places(
    watched: Watched,
    connection_id: str,
    *,
    window: tuple[str | None, str | None],
    asked_tables: Collection[str] | None = None,
    selected: Collection[dg.AssetKey] | None = None,
    partition: str | None = None,
    instance: dg.DagsterInstance | None = None,
) -> dict[dg.AssetKey, list[str | None]]:
    """Of which partitions (None: an asset as a whole) `run_events` tells for a run that was asked for so."""
    keys = _chosen(watched.of_connection(connection_id), asked_tables, selected)
    places: dict[dg.AssetKey, list[str | None]] = {}
    for key in keys:
        partitions_def = watched.partitions.get(key)
        covered = None if partitions_def is None else _covered(partitions_def, *window, partition, instance)
        places[key] = list(covered) if covered and len(covered) <= _share(watched, keys) else [None]
    return places


def _covered(
    partitions_def: dg.PartitionsDefinition,
    start_at: str | None,
    end_at: str | None,
    partition: str | None,
    instance: dg.DagsterInstance | None,
) -> dict[str, tuple[datetime, datetime]] | None:
    if start_at is None or end_at is None:
        return {}
    window = datetime.fromisoformat(start_at), datetime.fromisoformat(end_at)
    if partition is not None:
        return {partition: window}
    return covered_partitions(partitions_def, *window, instance)


def _share(watched: Watched, keys: Collection[dg.AssetKey]) -> int:
    """How many partitions of each of these assets are told of."""
    return min(PARTITIONS_AT_MOST, EVENTS_AT_MOST // max(1, sum(key in watched.partitions for key in keys)))


def _partitioned(
    result: TableResult,
    covered: Mapping[str, tuple[datetime, datetime]] | None,
    metadata: Mapping[str, Any],
    versions: bool,
    at_most: int,
) -> list[AssetEvent]:
    outcome = result.outcome
    if outcome.window_start is None or outcome.window_end is None:
        return [_observed(result, metadata, _NO_WINDOW.format(f"{outcome.kind} {outcome.id}"))]
    if covered is None:
        return [_observed(result, metadata, _NOT_TOLD)]
    if not covered or len(covered) > at_most:
        why = _TOO_MANY.format(len(covered)) if covered else _NO_PARTITION
        return [_observed(result, metadata, why)]
    if _is_one(covered, outcome):
        [key] = covered
        return [event_of(_of(result, key), data_version_from_checksum=versions, metadata=metadata)]
    return [event_of(_of(result, key), metadata=metadata, rows=WINDOW_ROWS) for key in covered]


def _is_one(covered: Mapping[str, tuple[datetime, datetime]], outcome: Outcome) -> bool:
    """Whether the run's window is exactly one partition: only then its rows are that partition's."""
    ends = [end for window in covered.values() for end in window]
    return ends == [datetime.fromisoformat(each) for each in (outcome.window_start, outcome.window_end) if each]


def _of(result: TableResult, partition: str) -> TableResult:
    return replace(result, partition=partition)


def _observed(result: TableResult, metadata: Mapping[str, Any], why: str) -> dg.AssetObservation:
    seen = event_of(result, metadata=metadata, rows=WINDOW_ROWS)
    return dg.AssetObservation(result.asset.asset_key, description=why, metadata=seen.metadata)
