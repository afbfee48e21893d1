"""Which assets and partitions the events of a run that ended well are about, told from its request alone.

To know that all of them were told already, nobody needs to ask the API what the run loaded.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.sensors.watched import Watched, covered_partitions
from dagster_planasonix.targets import match_table

if TYPE_CHECKING:
    from dagster_planasonix.ledger import LedgerEntry


def expected_events(watched: Watched, connection_id: str, entry: LedgerEntry) -> dict[dg.AssetKey, set[str | None]]:
    """The watched assets that the entry's run was to load, each with its partitions (None: as a whole).

    An asset with partitions of which none lies within the run's window as a whole is told of without one.
    """
    body = {} if entry.record is None else json.loads(entry.record.body)
    tables = watched.of_connection(connection_id)
    keys = set(tables)
    if entry.owner.asset_keys:
        keys &= {dg.AssetKey.from_user_string(key) for key in entry.owner.asset_keys}
    if asked := body.get("tables"):
        keys &= {asset.asset_key for name in asked if (asset := match_table(name, tables)) is not None}
    return {key: _partitions(watched.partitions.get(key), body) for key in keys}


def _partitions(partitions_def: dg.PartitionsDefinition | None, body: dict[str, str]) -> set[str | None]:
    if partitions_def is None or "start_at" not in body or "end_at" not in body:
        return {None}
    window = datetime.fromisoformat(body["start_at"]), datetime.fromisoformat(body["end_at"])
    return set(covered_partitions(partitions_def, *window)) or {None}
