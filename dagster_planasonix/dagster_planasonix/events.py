"""What became of a run, as Dagster's events: no context, no API, so that steps and sensors tell the same story.

=====================  ==============================================================================================
a table that           gives
=====================  ==============================================================================================
was loaded             a materialization with its rows; also with zero rows
is absent from the     a materialization with zero rows: a sync that finds nothing new leaves the asset as fresh as one
results of a good run  that loads a row, and freshness and automation of Dagster look at materializations alone
failed                 an observation, and a failed `planasonix_status`
is unknown, because    an observation, and a `planasonix_status` that warns, or that fails if the run did not
results were not read  succeed
or their names fit
several tables
=====================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix.checks import evaluations_of
from dagster_planasonix.event_metadata import table_metadata
from dagster_planasonix.results import TableResult, table_results
from dagster_planasonix.targets import TableAsset

if TYPE_CHECKING:
    from planasonix.runs import Outcome

AssetEvent = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation
DATA_VERSION_TAG = "dagster/data_version"
_BY_USER_TAG = "dagster/data_version_is_user_provided"


def events_of(
    outcome: Outcome,
    tables: Mapping[dg.AssetKey, TableAsset],
    selected: Collection[dg.AssetKey] | None = None,
    *,
    partition: str | None = None,
    check_specs: Iterable[dg.AssetCheckSpec] | None = None,
    data_version_from_checksum: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> list[AssetEvent]:
    """The events of one ended run, for all `selected` assets of its connection (None: all of `tables`).

    `tables` are assets as `targets.tables_of` reads them; `partition` the key that the run loaded, for a partitioned
    asset. The outcome is one that was read with the tables among its `expected_tables`.
    `check_specs` are the checks to evaluate (see `checks.evaluations_of`), `data_version_from_checksum` makes
    the checksum of a table its data version, `metadata` is added to every materialization and observation. Returns,
    for each asset, a materialization or an observation, then its checks. Raises nothing.
    """
    specs = None if check_specs is None else list(check_specs)
    events: list[AssetEvent] = []
    for result in table_results(outcome, tables, selected, partition=partition):
        events.append(event_of(result, data_version_from_checksum=data_version_from_checksum, metadata=metadata))
        events += evaluations_of([result], specs)
    return events


def event_of(
    result: TableResult,
    *,
    data_version_from_checksum: bool = False,
    metadata: Mapping[str, Any] | None = None,
    rows: str | None = None,
) -> dg.AssetMaterialization | dg.AssetObservation:
    """The materialization of one table, or the observation that it has none. `rows`: see `table_metadata`."""
    shown = {**table_metadata(result.table, result.outcome, rows=rows), **(metadata or {})}
    key, partition = result.asset.asset_key, result.partition
    if not result.is_loaded:
        return dg.AssetObservation(key, description=_why(result), metadata=shown, partition=partition)
    checksum = result.table.checksum if data_version_from_checksum else None
    tags = {DATA_VERSION_TAG: checksum, _BY_USER_TAG: "true"} if checksum else None
    return dg.AssetMaterialization(key, metadata=shown, partition=partition, tags=tags)


def _why(result: TableResult) -> str:
    outcome = result.outcome
    name = f"Planasonix {outcome.kind} {outcome.id}"
    if result.table.state == "unknown":
        return f"Whether {name} loaded this table is not known: {result.why_unknown}."
    told = ": ".join(part for part in (outcome.error_code, outcome.error_message) if part)
    return f"{name} did not load this table: {told}" if told else f"{name} did not load this table."
