"""What is known of a workspace without asking it: its connections and their tables, as plain data.

Definitions are built from this in each process that Dagster starts, so it is cheap to read: named tuples, one pass.
It holds nothing that a connection is configured with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from planasonix.errors import ConfigurationError

VERSION = 1
REFRESH = "Run `dg utils refresh-defs-state` where the API can be reached, and ship its result with the code."


class ColumnState(NamedTuple):
    """A column, its type in the words of the database."""

    name: str
    type: str | None = None
    nullable: bool | None = None


class TableState(NamedTuple):
    """A table. `columns` is None where they were not asked for."""

    schema: str | None
    name: str
    columns: tuple[ColumnState, ...] | None = None

    @property
    def qualified_name(self) -> str:
        """As job results and backfills name it: `public.orders`."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


class ConnectionState(NamedTuple):
    """A connection. `tables` is None while they were not asked for; views are never among them.

    `status`, `paused` and `schedule` (cron text) are not in the published body of a connection (facts §1.5): None
    where the server does not say.
    """

    id: str
    name: str | None
    type: str | None = None
    status: str | None = None
    paused: bool | None = None
    schedule: str | None = None
    schedule_timezone: str | None = None
    tables: tuple[TableState, ...] | None = None

    @property
    def label(self) -> str:
        """For messages: name and id."""
        return f"{self.name} ({self.id})" if self.name and self.name != self.id else self.id


class WorkspaceState(NamedTuple):
    """Connections as they were at `fetched_at` (aware, UTC)."""

    fetched_at: datetime
    base_url: str
    connections: tuple[ConnectionState, ...]
    version: int = VERSION

    def age_hours(self, now: datetime | None = None) -> float:
        """Hours since the API was asked; never below zero."""
        seconds = ((now or datetime.now(UTC)) - self.fetched_at).total_seconds()
        return max(0.0, seconds / 3600)

    def to_json(self) -> str:
        """One text, the same for the same content, that `state_from_json` reads."""
        head = {
            "version": self.version,
            "fetched_at": self.fetched_at.isoformat(timespec="seconds"),
            "base_url": self.base_url,
        }
        # A table a line: the file may be checked in, and its changes are read by people.
        connections = ",\n".join(map(_connection_text, self.connections))
        return f'{_text(head)[:-1]}, "connections": [\n{connections}\n]}}'


def write_state(path: str | Path, state: WorkspaceState) -> None:
    """Write the file whole or not at all: another process may be reading it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    draft.write_text(state.to_json() + "\n", encoding="utf-8")
    draft.replace(target)


def read_state(path: str | Path, *, remedy: str = REFRESH) -> WorkspaceState:
    """The state in a file. Raises `ConfigurationError` if there is none, or one that this version cannot read.

    `remedy` is what the error tells to do.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"There is no state at {path}.", field="state", hint=remedy) from None
    return state_from_json(text, where=str(path), remedy=remedy)


def state_from_json(text: str, *, where: str = "the state", remedy: str = REFRESH) -> WorkspaceState:
    """The way back from `WorkspaceState.to_json`. Raises `ConfigurationError` for another version or another thing."""
    try:
        data = json.loads(text)
        version = data["version"]
    except (ValueError, TypeError, KeyError):
        raise ConfigurationError(f"{where} is not a Planasonix state.", field="state", hint=remedy) from None
    if version != VERSION:
        raise ConfigurationError(
            f"{where} has version {version!r}, this dagster-planasonix reads version {VERSION}.",
            field="state",
            hint=remedy,
        )
    try:
        return WorkspaceState(
            fetched_at=datetime.fromisoformat(data["fetched_at"]).astimezone(UTC),
            base_url=data["base_url"],
            connections=tuple(_connection(row) for row in data["connections"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            f"{where} cannot be read as a Planasonix state: {type(error).__name__}.", field="state", hint=remedy
        ) from None


_SAID_ONLY_IF_KNOWN = ("status", "paused", "schedule", "schedule_timezone")


def _connection_text(connection: ConnectionState) -> str:
    row: dict[str, Any] = {"id": connection.id, "name": connection.name, "type": connection.type}
    for name in _SAID_ONLY_IF_KNOWN:
        if (value := getattr(connection, name)) is not None:
            row[name] = value
    if connection.tables is None:
        return _text(row)
    tables = ",\n".join(f"  {_text(_table_row(each))}" for each in connection.tables)
    return f'{_text(row)[:-1]}, "tables": [\n{tables}\n]}}'


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _table_row(table: TableState) -> dict[str, Any]:
    row: dict[str, Any] = {"schema": table.schema, "name": table.name}
    if table.columns is not None:
        row["columns"] = [list(column) for column in table.columns]
    return row


def _connection(row: dict[str, Any]) -> ConnectionState:
    get = row.get
    tables = get("tables")
    return ConnectionState(
        row["id"],
        get("name"),
        get("type"),
        get("status"),
        get("paused"),
        get("schedule"),
        get("schedule_timezone"),
        None if tables is None else tuple(_tables(tables)),
    )


def _tables(rows: Iterable[dict[str, Any]]) -> Iterable[TableState]:
    for row in rows:
        columns = row.get("columns")
        yield TableState(
            row["schema"], row["name"], None if columns is None else tuple(ColumnState(*each) for each in columns)
        )
