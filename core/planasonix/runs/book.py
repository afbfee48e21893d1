"""Many named entries of one owner: what a wish of several jobs remembers.

A staged backfill keeps a *header* entry, which is no record, and an entry for each stage: `Record.to_dict()` and some
fields of its own. Whoever can read a ledger's record can so read a stage's entry (`Record.from_dict` leaves the rest
alone), and an entry without `operation` is no record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from planasonix.runs.slots import SqliteSlots


class Book(Protocol):
    """The JSON-ready entries of one owner (a task instance, a script's name), each under its name.

    `write` returns only when the entry is durable: a POST comes after it.
    """

    def read(self, name: str) -> dict[str, Any] | None: ...
    def write(self, name: str, entry: dict[str, Any]) -> None: ...

    def claimed(self, run_ids: Iterable[str], *, besides: str) -> frozenset[str]:
        """Those of `run_ids` that an entry of this store other than `besides` owns, the entries of other owners
        included. A store that cannot tell answers with none.
        """
        ...


class MemoryBook:
    """A book in this process: for scripts that need no memory beyond it, and tests."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def read(self, name: str) -> dict[str, Any] | None:
        text = self._texts.get(name)
        return None if text is None else json.loads(text)

    def write(self, name: str, entry: dict[str, Any]) -> None:
        self._texts[name] = json.dumps(entry)

    def claimed(self, run_ids: Iterable[str], *, besides: str) -> frozenset[str]:
        others = [json.loads(text) for name, text in self._texts.items() if name != besides]
        owned = {entry.get("run_id") for entry in others if entry.get("owned")}
        return frozenset(run_ids) & owned


class SqliteBook:
    """A book in a SQLite file, the same file and table as `SqliteLedger`: the slot is `owner/name`.

    `path` is the file, made when missing; `owner` names the wish's owner, for example `"history/orders"`. Shared
    safely by processes of one machine (not on a network file system).
    """

    def __init__(self, path: str | Path, owner: str) -> None:
        self._slots = SqliteSlots(path)
        self._owner = owner

    def read(self, name: str) -> dict[str, Any] | None:
        return self._slots.read(self._slot(name))

    def write(self, name: str, entry: dict[str, Any]) -> None:
        """Raises `ConflictError` when another process wrote the entry since this one last read or wrote it."""
        self._slots.write(self._slot(name), entry)

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes of this machine from working as this owner; raises `ConflictError` where one does.

        Released when the process dies, however it does.
        """
        return self._slots.held(self._owner)

    def claimed(self, run_ids: Iterable[str], *, besides: str) -> frozenset[str]:
        return self._slots.owned_elsewhere(run_ids, slot=self._slot(besides))

    def _slot(self, name: str) -> str:
        return f"{self._owner}/{name}"
