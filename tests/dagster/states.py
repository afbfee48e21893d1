"""States of a workspace for tests, as plain data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dagster_planasonix.state import ConnectionState, TableState, WorkspaceState
from dagster_planasonix.translator import PlanasonixTableProps

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def connection(identifier: str = "conn_shop", *tables: str, **changes: Any) -> ConnectionState:
    """A connection named as its id without `conn_`. Its tables are qualified: `public.orders`."""
    listed = tuple(TableState(*table.split(".", 1)) for table in tables)
    values = {"name": identifier.removeprefix("conn_"), "type": "postgres", "tables": listed}
    return ConnectionState(**{"id": identifier, **values, **changes})


def state(*connections: ConnectionState, fetched_at: datetime = NOON) -> WorkspaceState:
    return WorkspaceState(fetched_at, "https://api.example", connections)


def props(table: str = "public.orders", **changes: Any) -> PlanasonixTableProps:
    made = connection("conn_shop", table, **changes)
    return PlanasonixTableProps(made, (made.tables or ())[0])
