"""The inbox in a SQLite file, for the processes of one machine.

Not on a network file system: the write-ahead log needs memory that all processes share.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Engine, event, literal_column
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DisconnectionError

from planasonix.errors import ConfigurationError
from planasonix.webhooks.inbox.address import Address

_BUSY_SECONDS = 10.0
_SWITCH_SECONDS = 20.0


class SqliteDialect:
    def options(self, address: Address) -> Mapping[str, Any]:
        return {"connect_args": {"timeout": _BUSY_SECONDS}, "pool_timeout": _BUSY_SECONDS}

    def prepare(self, engine: Engine, address: Address) -> None:
        path = str(address.path)

        def connected(connection: sqlite3.Connection, record: Any) -> None:
            # The driver would begin transactions by itself, and deferred ones, which fail where two become writers.
            connection.isolation_level = None
            switch_to_wal(connection, path)
            # Each commit is on the disk when it returns: that is when the sender is told that we have the event.
            connection.execute("PRAGMA synchronous = FULL")
            record.info["file"] = _file(path)

        def checked_out(connection: sqlite3.Connection, record: Any, proxy: Any) -> None:
            # A connection goes on writing into a file that was moved or deleted, and nobody would ever read it.
            if record.info.get("file") != _file(path):
                raise DisconnectionError("the file of the inbox is another one now")

        event.listen(engine, "connect", connected)
        event.listen(engine, "checkout", checked_out)

    def begin(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def lock_schema(self, connection: Connection) -> None:
        pass  # `begin` has the only writer's place

    def now(self) -> ColumnElement[float]:
        # 2440587.5 is 1970 as a Julian day; unixepoch('subsec') needs a newer SQLite than many systems have.
        return literal_column("(julianday('now') - 2440587.5) * 86400.0", Double)

    def insert(self, table: Any) -> Any:
        return insert(table)


def _file(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:  # gone, or in a folder that cannot be entered now
        return None
    return stat.st_dev, stat.st_ino


def switch_to_wal(connection: sqlite3.Connection, path: str) -> None:
    until = time.monotonic() + _SWITCH_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            # The switch needs the file for itself for a moment and does not wait for it, busy timeout or not.
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)
    if mode != "wal":
        raise ConfigurationError(
            f"The file system of {path} cannot hold an inbox: SQLite got no write-ahead log there.",
            field="inbox",
            hint="Use a local disk, or PostgreSQL.",
        )
