"""A configured connection, and what can be looked up through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Column(NamedTuple):
    name: str
    type: str
    nullable: bool


@dataclass
class Connection:
    """One configured connection. `tables` maps plain names to the most rows an incremental sync finds."""

    id: str
    name: str
    type: str
    schema: str
    tables: dict[str, int]
    views: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    credential_id: str | None = None
    created: float = 0.0
    updated: float = 0.0
    habits: Mapping[str, Any] = field(default_factory=dict)

    def qualified_tables(self) -> list[str]:
        """The names that backfills and results use."""
        return [f"{self.schema}.{name}" for name in self.tables]


CATALOGS = (("main", ("default", "analytics", "sandbox")), ("hive_metastore", ("legacy",)))

_COLUMNS = {
    "orders": (
        Column("order_id", "BIGINT", False),
        Column("customer_id", "UUID", True),
        Column("amount_cents", "INTEGER", False),
        Column("ordered_at", "TIMESTAMPTZ", False),
    ),
    "order_items": (
        Column("order_id", "BIGINT", False),
        Column("line_no", "INTEGER", False),
        Column("sku", "TEXT", False),
        Column("quantity", "INTEGER", False),
        Column("discount_pct", "NUMERIC(8,4)", True),
    ),
}


def columns_of(table: str) -> tuple[Column, ...]:
    """The columns of a table or view of any connection."""
    if table in _COLUMNS:
        return _COLUMNS[table]
    return (
        Column(f"{table.removesuffix('s')}_id", "BIGINT", False),
        Column("name", "TEXT", True),
        Column("status", "TEXT", True),
        Column("updated_at", "TIMESTAMPTZ", False),
    )
