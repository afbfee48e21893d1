"""The SQLite file behind `SqliteLedger` and `SqliteBook`: one row a slot, written only by whom saw its last text."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from planasonix.errors import ConfigurationError, ConflictError
from planasonix.runs.slot_locks import hold

if TYPE_CHECKING:
    import sqlite3


_WRITE = "_write"
"""Makes each text unlike any other: else two processes that write the same entry would both think that they won."""

_BUSY_SECONDS = 30.0
"""How long another process may keep the file locked: a write takes milliseconds."""


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
        try:
            entry = json.loads(row[0])
        except ValueError as error:
            raise self.damaged(slot, error) from error
        if not isinstance(entry, dict):
            raise self.damaged(slot, "it is no JSON object")
        return {name: value for name, value in cast("dict[str, Any]", entry).items() if name != _WRITE}

    def damaged(self, slot: str, why: object) -> ConfigurationError:
        """What a caller raises who cannot make sense of the slot's entry."""
        return ConfigurationError(
            f"The entry {slot!r} of the ledger {self._path} is damaged: {why}.",
            field="ledger",
            hint="Look at the connection's jobs for one that still runs; then restore the file, or delete that row of "
            "its table `ledger`.",
        )

    def held(self, slot: str) -> AbstractContextManager[None]:
        """Keep other processes of this machine from working on the slot; raises `ConflictError` where one does."""
        return hold(self._path, slot)

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

        self._path = path
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def __enter__(self) -> sqlite3.Connection:
        return self._db

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        import sqlite3

        try:
            if kind is None:
                self._db.commit()
            else:
                with suppress(sqlite3.Error):  # the first error is the one to tell
                    self._db.rollback()
        except sqlite3.Error as failed:
            raise self._unusable(failed) from failed
        finally:
            self._db.close()
        if isinstance(error, sqlite3.Error):
            raise self._unusable(error) from error

    def _unusable(self, error: object) -> ConfigurationError:
        return ConfigurationError(
            f"The ledger {self._path} cannot be used: {error}.",
            field="path",
            hint="Give a file in a folder that exists and can be written, on a disk with room; no other kind of file, "
            "and none that another program keeps locked.",
        )
