"""The assets that a sensor or reconcile speaks of: their tables, their partitions, and the checks they declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from dagster_planasonix.checks import check_specs
from dagster_planasonix.targets import TableAsset, tables_of
from planasonix.errors import ConfigurationError

WatchedAssets = Iterable[dg.AssetsDefinition | dg.AssetSpec]


@dataclass(frozen=True)
class Watched:
    """What the definitions say, read once. `partitions` has the partitioned assets only."""

    tables: Mapping[dg.AssetKey, TableAsset]
    partitions: Mapping[dg.AssetKey, dg.PartitionsDefinition]
    checks: tuple[dg.AssetCheckSpec, ...]

    @property
    def connection_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(asset.connection_id for asset in self.tables.values()))

    def of_connection(self, connection_id: str) -> dict[dg.AssetKey, TableAsset]:
        return {key: asset for key, asset in self.tables.items() if asset.connection_id == connection_id}


def watched_of(assets: WatchedAssets) -> Watched:
    """Of a spec alone the checks are the two that every table has: which bounds its definition sets, it does not tell.

    Raises `ConfigurationError` where none of them is a table of Planasonix, or what is given are no assets.
    """
    listed = list(assets)
    for each in listed:
        if not isinstance(each, dg.AssetsDefinition | dg.AssetSpec):
            raise ConfigurationError(
                f"assets must hold asset definitions or specs, got {type(each).__name__}.",
                field="assets",
                hint="Give what build_planasonix_assets_definitions or @planasonix_assets returned.",
            )
    tables = tables_of(listed)
    if not tables:
        raise ConfigurationError(
            "None of the assets is a table of Planasonix.",
            field="assets",
            hint="Give what build_planasonix_assets_definitions or load_planasonix_asset_specs returned.",
        )
    specs: list[dg.AssetSpec] = []
    checks: list[dg.AssetCheckSpec] = []
    for each in listed:
        if isinstance(each, dg.AssetSpec):
            specs.append(each)
        else:
            specs += each.specs
            checks += each.check_specs
    defined = {key for each in listed if isinstance(each, dg.AssetsDefinition) for key in each.keys}
    for key in dict.fromkeys(spec.key for spec in specs if spec.key in tables and spec.key not in defined):
        checks += check_specs(key)
    partitions = {
        spec.key: spec.partitions_def for spec in specs if spec.key in tables and spec.partitions_def is not None
    }
    return Watched(tables, partitions, tuple(checks))


def covered_partitions(
    partitions_def: dg.PartitionsDefinition,
    start_at: datetime,
    end_at: datetime,
    instance: dg.DagsterInstance | None = None,
) -> dict[str, tuple[datetime, datetime]] | None:
    """The partitions that lie within the half-open window as a whole, each with its own window, oldest first.

    Only those that are there by now: none before the definition's first or after its last one. Keys that are no time
    windows have one if they say so, as `2026-01-05` does: see `planasonix.runs.window_of_key`. `instance` is the one
    that keeps the keys of dynamic partitions. None where the definition does not tell its partitions of time.
    """
    if isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
        windows = _of_times(partitions_def, start_at, end_at)
    elif _tells_its_keys(partitions_def, instance):
        windows = _of_keys(partitions_def.get_partition_keys(dynamic_partitions_store=instance))
    else:
        return None
    inside = {key: window for key, window in windows.items() if start_at <= window[0] and window[1] <= end_at}
    return dict(sorted(inside.items(), key=lambda item: item[1]))


def _of_times(
    partitions_def: dg.TimeWindowPartitionsDefinition, start_at: datetime, end_at: datetime
) -> dict[str, tuple[datetime, datetime]]:
    first, last = partitions_def.get_first_partition_window(), partitions_def.get_last_partition_window()
    if first is None or last is None:
        return {}
    # The list knows no bounds, and would go through all that a window of many years holds.
    start_at, end_at = max(start_at, _utc(first)[0]), min(end_at, _utc(last)[1])
    if start_at >= end_at:
        return {}
    # It has those that begin within the window, and may have the one that its begin cuts.
    keys = partitions_def.get_partition_keys_in_time_window(dg.TimeWindow(start_at, end_at))
    return {key: _utc(partitions_def.time_window_for_partition_key(key)) for key in keys}


def _tells_its_keys(partitions_def: dg.PartitionsDefinition, instance: dg.DagsterInstance | None) -> bool:
    if isinstance(partitions_def, dg.DynamicPartitionsDefinition):
        return instance is not None
    return not isinstance(partitions_def, dg.MultiPartitionsDefinition)


def _of_keys(keys: Iterable[str]) -> dict[str, tuple[datetime, datetime]]:
    from planasonix.runs import window_of_key

    found: dict[str, tuple[datetime, datetime]] = {}
    for key in keys:
        try:
            found[key] = window_of_key(key)
        except ConfigurationError:
            continue
    return found


def _utc(window: dg.TimeWindow) -> tuple[datetime, datetime]:
    return (
        datetime.fromtimestamp(window.start.timestamp(), UTC),
        datetime.fromtimestamp(window.end.timestamp(), UTC),
    )
