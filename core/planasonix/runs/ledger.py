"""Where records live. Each plugin brings the orchestrator's own store; these two serve scripts, the CLI and tests."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from planasonix.errors import ConfigurationError
from planasonix.runs.record import Record
from planasonix.runs.slots import SqliteSlots


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
        self._slots = SqliteSlots(path)
        self._slot = slot

    def read(self) -> Record | None:
        entry = self._slots.read(self._slot)
        if entry is None:
            return None
        try:
            return Record.from_dict(entry)
        except ConfigurationError as error:
            raise self._slots.damaged(self._slot, (error.message or "").rstrip(".")) from error

    def write(self, record: Record) -> None:
        """Raises `ConflictError` when another process wrote to the slot since this one last read or wrote it."""
        self._slots.write(self._slot, record.to_dict())

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes of this machine from working on the slot; raises `ConflictError` where one does.

        Released when the process dies, however it does.
        """
        return self._slots.held(self._slot)

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        return self._slots.owned_elsewhere(run_ids, slot=self._slot)
