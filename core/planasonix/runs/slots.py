"""The SQLite file behind `SqliteLedger` and `SqliteBook`: one row a slot, written only by whom saw its last text."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planasonix.errors import ConfigurationError, ConflictError

if TYPE_CHECKING:
    import sqlite3


_WRITE = "_write"
"""Makes each text unlike any other: else two processes that write the same entry would both think that they won."""


class SqliteSlots:
    """The slots of one file, as this process last saw them. Shared safely by processes of one machine, not over a
    network file system.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        self._seen: dict[str, str] = {}
        with self._connect() as db:
            db.execute("CREATE TABLE IF NOT EXISTS ledger (slot TEXT PRIMARY KEY, run_id TEXT, record TEXT NOT NULL)")
            db.execute("CREATE INDEX IF NOT EXISTS ledger_run_id ON ledger (run_id)")

    def read(self, slot: str) -> dict[str, Any] | None:
        with self._connect() as db:
            row = db.execute("SELECT record FROM ledger WHERE slot = ?", (slot,)).fetchone()
        if row is None:
            self._seen.pop(slot, None)
            return None
        self._seen[slot] = row[0]
        entry: dict[str, Any] = json.loads(row[0])
        entry.pop(_WRITE, None)
        return entry

    def write(self, slot: str, entry: dict[str, Any]) -> None:
        """Raises `ConflictError` when another process wrote to the slot since this one last read or wrote it."""
        owned_id = entry.get("run_id") if entry.get("owned") else None
        text = json.dumps({**entry, _WRITE: secrets.token_hex(8)})
        seen = self._seen.get(slot)
        with self._connect() as db:
            if seen is None:
                done = db.execute(
                    "INSERT INTO ledger (slot, run_id, record) VALUES (?, ?, ?) ON CONFLICT (slot) DO NOTHING",
                    (slot, owned_id, text),
                )
            else:
                done = db.execute(
                    "UPDATE ledger SET run_id = ?, record = ? WHERE slot = ? AND record = ?",
                    (owned_id, text, slot, seen),
                )
        if done.rowcount != 1:
            raise ConflictError(
                f"Another process works on the ledger slot {slot!r}.",
                status_code=409,
                hint="Run one process for each slot at a time; start this one again when the other has ended.",
            )
        self._seen[slot] = text

    def owned_elsewhere(self, run_ids: Iterable[str], *, slot: str) -> frozenset[str]:
        """Those of `run_ids` that a slot other than this one owns."""
        with self._connect() as db:
            return frozenset(
                run_id
                for run_id in run_ids
                if db.execute("SELECT 1 FROM ledger WHERE run_id = ? AND slot <> ?", (run_id, slot)).fetchone()
            )

    def _connect(self) -> _Session:
        return _Session(self._path)


class _Session:
    """One short connection: committed on success, rolled back on error, closed in any case."""

    def __init__(self, path: str) -> None:
        import sqlite3  # here, because a DAG file that imports an operator never needs it

        try:
            self._db = sqlite3.connect(path, timeout=30.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"The ledger {path} cannot be used: {error}.",
                field="path",
                hint="Give a file in a folder that exists and can be written, and that is no other kind of file.",
            ) from error

    def __enter__(self) -> sqlite3.Connection:
        return self._db

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._db.commit()
            else:
                self._db.rollback()
        finally:
            self._db.close()
