"""Which flow runs asked for a job: an index of Prefect's ledger, kept by reading what was written since the last look.

Prefect's API finds artifacts by their run and key, not by the job that they name.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prefect_planasonix.ledger import entries_since
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.reconcile_source import SINCE_HOURS

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from prefect_planasonix.reconcile_source import PrefectSource

_OVERLAP = timedelta(minutes=2)
"""What was written late, by a process whose clock or transaction was behind, is read again."""
_AT_MOST = 50_000


class Owners:
    """The entries of the ledger by their job. Starts with those of two days, and of all runs that are suspended."""

    def __init__(self, prefect: SyncPrefectClient, source: PrefectSource) -> None:
        self._prefect = prefect
        self._source = source
        self._found: dict[tuple[str, str], dict[str | None, LedgerEntry]] = {}
        self._read_to: datetime | None = None

    def of(self, kind: str, run_id: str) -> list[LedgerEntry]:
        """The newest entry of each flow run that names the job. Raises `LedgerError` where the API cannot be used."""
        self._refresh()
        return list(self._found.get((kind, run_id), {}).values())

    def _refresh(self) -> None:
        begun = datetime.now(UTC)
        if self._read_to is None:
            # A job may run for longer than anybody writes to the ledger.
            for _, entries in self._source.asleep():
                for entry in entries:
                    self._note(entry)
            self._read_to = begun - timedelta(hours=SINCE_HOURS)
        fresh = [
            entry
            for entry in entries_since(self._prefect, self._read_to - _OVERLAP)
            if isinstance(entry, LedgerEntry) and self._source.is_of_client(entry)
        ]
        for entry in reversed(fresh):
            self._note(entry)
        while len(self._found) > _AT_MOST:
            del self._found[next(iter(self._found))]
        self._read_to = begun

    def _note(self, entry: LedgerEntry) -> None:
        if entry.record.run_id is not None and entry.flow_run_id is not None:
            self._found.setdefault((entry.record.kind, entry.record.run_id), {})[entry.flow_run_id] = entry
