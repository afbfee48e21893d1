"""Where reconcile finds ledgers: a SQLite file, or a source that a plugin brings.

A plugin registers a factory under the entry-point group `planasonix.ledgers`: its name is what `--source` takes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import quote

from planasonix.errors import ConfigurationError
from planasonix.runs.reconcile.findings import Entry, Owner, Unreadable
from planasonix.runs.record import Record
from planasonix.runs.slot_locks import is_held

GROUP = "planasonix.ledgers"


class LedgerSource(Protocol):
    """Reads the ledger entries of one orchestrator, and what became of their owners. It writes nothing."""

    def entries(self) -> Iterable[Entry | Unreadable]: ...

    def refresh(self, slot: str) -> Entry | None:
        """The entry as it is now, its owner asked again; None when it is gone."""
        ...

    def close(self) -> None: ...


SourceFactory = Callable[[float | None, Mapping[str, str]], LedgerSource]
"""Takes how many hours to look back (None: the source's own default) and the source's options."""


def source_named(name: str, since_hours: float | None, options: Mapping[str, str]) -> LedgerSource:
    """The source that an installed plugin offers under this name. Raises `ConfigurationError` where none does."""
    from importlib.metadata import entry_points  # here, because it reads the whole environment

    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise ConfigurationError(
            f"No installed plugin offers a ledger source {name!r} (found: {known}).",
            field="source",
            hint="Run this where the plugin is installed, for example airflow-provider-planasonix for 'airflow'.",
        )
    factory = cast(SourceFactory, found[name].load())
    return factory(since_hours, options)


def read_record(data: Any) -> Record | None:
    """The record that a stored entry holds, None for an entry that is something else (a header).

    Raises ValueError, TypeError or `ConfigurationError` for a damaged one. A record that does not say whether it may be
    cancelled without its owner is left alone.
    """
    if not isinstance(data, dict):
        raise ValueError("the entry is no JSON object")
    entry = cast(dict[str, Any], data)
    return Record.from_dict({"leave_running": True, **entry}) if "operation" in entry else None


class SqliteSource:
    """The file of `SqliteLedger` and `SqliteBook`.

    A script that holds its slot (`run_to_end`, `planasonix backfill`) is alive. Others cannot be asked: an owner
    counts as ended only past the deadline of its run, or when `owner_ended` names its slot, or the owner's part of it:
    `nightly` stands for `nightly/20260101`, and not for `nightly/eu/20260101`. `since_hours` leaves out what was sent
    earlier. Raises `ConfigurationError` for a file that is no ledger, or a name that is not in it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        owner_ended: Collection[str] = (),
        since_hours: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = Path(path)
        self._named = frozenset(owner_ended)
        self._since_hours = since_hours
        self._now = now
        slots = [slot for slot, _ in self._rows()]
        for name in self._named:
            if not any(_stands_for(name, slot) for slot in slots):
                raise ConfigurationError(
                    f"The ledger {self._path} has no slot {name!r}.",
                    field="owner_ended",
                    hint=f"Its slots: {', '.join(sorted(slots)[:20]) or 'none'}.",
                )

    def entries(self) -> list[Entry | Unreadable]:
        found = [self._entry(slot, text) for slot, text in self._rows()]
        return [entry for entry in found if entry is not None and not self._is_too_old(entry)]

    def refresh(self, slot: str) -> Entry | None:
        for _, text in self._rows(slot):
            entry = self._entry(slot, text)
            return entry if isinstance(entry, Entry) else None
        return None

    def close(self) -> None:
        """Nothing stays open."""

    def _entry(self, slot: str, text: str) -> Entry | Unreadable | None:
        try:
            record = read_record(json.loads(text))
        except (ValueError, TypeError, ConfigurationError) as error:
            return Unreadable(slot, str(error))
        if record is None:
            return None
        owner, told, ended_at = self._owner(slot, record)
        return Entry(slot, record, owner, told, ended_at)

    def _owner(self, slot: str, record: Record) -> tuple[Owner, str, float | None]:
        if any(is_held(str(self._path), name) for name in {slot, _owner_of(slot)}):
            # What the kernel says is newer than what a human said.
            return "alive", "at work: a process holds it", None
        if any(_stands_for(name, slot) for name in self._named):
            return "ended", "said to have ended", None
        if record.deadline_at is not None and record.deadline_at < self._now():
            return "ended", "past its deadline", record.deadline_at
        return "unknown", "a script that cannot be asked", None

    def _is_too_old(self, entry: Entry | Unreadable) -> bool:
        if self._since_hours is None or isinstance(entry, Unreadable) or entry.record.sent_at is None:
            return False
        return entry.record.sent_at < self._now() - self._since_hours * 3600.0

    def _rows(self, slot: str | None = None) -> list[tuple[str, str]]:
        import sqlite3  # here, because a DAG file never needs it

        try:
            # Read only: a wrong path must not make a file.
            with closing(sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=30.0)) as db:
                if slot is None:
                    return db.execute("SELECT slot, record FROM ledger ORDER BY slot").fetchall()
                return db.execute("SELECT slot, record FROM ledger WHERE slot = ?", (slot,)).fetchall()
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"The ledger {self._path} cannot be read: {error}.",
                field="ledger",
                hint="Give the file that a SqliteLedger or `planasonix backfill --ledger` wrote.",
            ) from error


def _stands_for(name: str, slot: str) -> bool:
    return slot == name or _owner_of(slot) == name


def _owner_of(slot: str) -> str:
    """The owner's part of a slot of `SqliteBook`: `owner/name`, where only the owner may hold a `/`."""
    return slot.rpartition("/")[0]
