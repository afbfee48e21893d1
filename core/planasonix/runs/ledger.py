"""Where records live. Each plugin brings the orchestrator's own store; these two serve scripts, the CLI and tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from planasonix.errors import ConfigurationError, ConflictError
from planasonix.runs.record import Record

if TYPE_CHECKING:
    import sqlite3


class Ledger(Protocol):
    """One slot of a store: the record of one task instance, step or call.

    `write` returns only when the record is durable: the POST comes after it.
    """

    def read(self) -> Record | None: ...
    def write(self, record: Record) -> None: ...

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        """Those of `run_ids` that other slots of this store own. A store that cannot tell answers with none."""
        ...


class MemoryLedger:
    """A slot in this process: for scripts that need no memory beyond it, and tests."""

    def __init__(self) -> None:
        self._record: Record | None = None

    def read(self) -> Record | None:
        return self._record

    def write(self, record: Record) -> None:
        self._record = record

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        return frozenset()


class SqliteLedger:
    """A slot in a SQLite file, shared safely by processes of one machine (not on a network file system).

    `path` is the file, made when missing; `slot` names the wish's owner, for example `"nightly/orders"`.
    """

    def __init__(self, path: str | Path, slot: str) -> None:
        self._path = str(path)
        self._slot = slot
        self._seen: str | None = None
        with self._connect() as db:
            db.execute("CREATE TABLE IF NOT EXISTS ledger (slot TEXT PRIMARY KEY, run_id TEXT, record TEXT NOT NULL)")
            db.execute("CREATE INDEX IF NOT EXISTS ledger_run_id ON ledger (run_id)")

    def read(self) -> Record | None:
        with self._connect() as db:
            row = db.execute("SELECT record FROM ledger WHERE slot = ?", (self._slot,)).fetchone()
        self._seen = None if row is None else row[0]
        return None if self._seen is None else Record.from_dict(json.loads(self._seen))

    def write(self, record: Record) -> None:
        """Raises `ConflictError` when another process wrote to the slot since this one last read or wrote it."""
        owned_id = record.run_id if record.owned else None
        text = json.dumps(record.to_dict())
        with self._connect() as db:
            if self._seen is None:
                done = db.execute(
                    "INSERT INTO ledger (slot, run_id, record) VALUES (?, ?, ?) ON CONFLICT (slot) DO NOTHING",
                    (self._slot, owned_id, text),
                )
            else:
                done = db.execute(
                    "UPDATE ledger SET run_id = ?, record = ? WHERE slot = ? AND record = ?",
                    (owned_id, text, self._slot, self._seen),
                )
        if done.rowcount != 1:
            raise ConflictError(
                f"Another process works on the ledger slot {self._slot!r}.",
                status_code=409,
                hint="Run one process for each slot at a time; start this one again when the other has ended.",
            )
        self._seen = text

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        with self._connect() as db:
            return frozenset(
                run_id
                for run_id in run_ids
                if db.execute("SELECT 1 FROM ledger WHERE run_id = ? AND slot <> ?", (run_id, self._slot)).fetchone()
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
