"""The columns of loaded tables, added to their materializations: the columns route names and types them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.state import ColumnState
from dagster_planasonix.targets import TableAsset
from dagster_planasonix.translator import column_schema

if TYPE_CHECKING:
    from dagster_planasonix.iterator import StepEvent
    from planasonix import Planasonix

COLUMN_SCHEMA = "dagster/column_schema"
_AT_A_TIME = 8
_PATIENCE_SECONDS = 60.0
"""For all tables together: a step whose data is loaded should not wait for what is only told about it."""


def with_columns(
    events: Iterable[StepEvent],
    *,
    tables: Callable[[], Mapping[dg.AssetKey, TableAsset]],
    client: Callable[[], Planasonix],
    log: dg.DagsterLogManager,
) -> Iterator[StepEvent]:
    """The events, in their order, each materialization with its table's columns. Raises what `events` raises."""
    lookup: _Lookup | None = None
    try:
        for event in events:
            if not isinstance(event, dg.MaterializeResult | dg.AssetMaterialization):
                yield event
                continue
            if lookup is None:
                lookup = _Lookup(tables(), client().with_options(deadline_seconds=_PATIENCE_SECONDS), log)
            schema = lookup.schema_of(event.asset_key)
            yield event if schema is None else _with_schema(event, schema)
    finally:
        if lookup is not None:
            lookup.close()


class _Lookup:
    """All tables at once, asked for when the first is needed; each is read once, however many partitions it has."""

    def __init__(self, tables: Mapping[dg.AssetKey, TableAsset], client: Planasonix, log: dg.DagsterLogManager) -> None:
        self._log = log
        self._tables = tables
        self._until = time.monotonic() + _PATIENCE_SECONDS
        self._pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="planasonix-columns")
        self._found: dict[dg.AssetKey, Future[dg.TableSchema | None]] = {
            key: self._pool.submit(_schema_of, client, table) for key, table in tables.items()
        }
        self._told: set[dg.AssetKey] = set()

    def schema_of(self, key: dg.AssetKey | None) -> dg.TableSchema | None:
        if key is None or (asked := self._found.get(key)) is None:
            return None
        try:
            return asked.result(max(0.0, self._until - time.monotonic()))
        except Exception as error:
            if key not in self._told:
                self._told.add(key)
                self._log.warning("the columns of %s could not be read: %r", self._tables[key].table, error)
            return None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _schema_of(client: Planasonix, table: TableAsset) -> dg.TableSchema | None:
    schema, _, name = table.table.rpartition(".")
    found = client.connections.columns(table.connection_id, name, schema=schema or None)
    columns = [ColumnState(column.name, column.type, column.nullable) for column in found.columns]
    return column_schema(columns) if columns else None


def _with_schema(
    event: dg.MaterializeResult | dg.AssetMaterialization, schema: dg.TableSchema
) -> dg.MaterializeResult | dg.AssetMaterialization:
    metadata = {**(event.metadata or {}), COLUMN_SCHEMA: schema}
    if isinstance(event, dg.AssetMaterialization):
        return event.with_metadata(metadata)
    return dg.MaterializeResult(
        asset_key=event.asset_key,
        metadata=metadata,
        check_results=event.check_results,
        data_version=event.data_version,
        tags=event.tags,
    )
