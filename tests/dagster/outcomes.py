"""Outcomes and assets for tests, as plain data."""

from __future__ import annotations

from typing import Any

import dagster as dg

from dagster_planasonix.targets import TableAsset
from planasonix.runs import Outcome, RunWarning, TableOutcome

CONNECTION = "conn_shop_orders"


def outcome(*tables: TableOutcome, **changes: Any) -> Outcome:
    """A job of the shop's orders that succeeded."""
    values: dict[str, Any] = {
        "kind": "job",
        "id": "job_1",
        "connection_id": CONNECTION,
        "status": "succeeded",
        "api_status": "succeeded",
        "tables": tables,
        "duration_seconds": 4.5,
        "finished_at": "2026-01-05T10:00:04Z",
        "link": "https://app.example/jobs/job_1",
    }
    return Outcome(**values | changes)


def loaded(name: str, rows: int | None = 7, checksum: str | None = None) -> TableOutcome:
    return TableOutcome(name, "loaded", rows, checksum)


def warning(code: str | None, message: str) -> RunWarning:
    return RunWarning(code, message)


def assets(*names: str, connection_id: str = CONNECTION) -> dict[dg.AssetKey, TableAsset]:
    """An asset for each table, under the table's plain name."""
    listed = [TableAsset(dg.AssetKey([name.split(".")[-1]]), connection_id, "shop_orders", name) for name in names]
    return {asset.asset_key: asset for asset in listed}


def shown(event: Any) -> dict[str, Any]:
    """The plain values of an event's metadata."""
    return {name: value.value for name, value in event.metadata.items()}
