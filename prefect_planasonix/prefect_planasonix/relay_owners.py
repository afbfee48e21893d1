"""Which flow runs asked for a job: an index of Prefect's ledger, kept by reading what was written since the last look.

Prefect's API finds artifacts by their run and key, not by the job that they name.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prefect_planasonix.ledger import entries_since
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.reconcile_source import SINCE_HOURS

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from prefect_planasonix.reconcile_source import PrefectSource

_OVERLAP = timedelta(seconds=5)
_LONG_OVERLAP = timedelta(minutes=2)
"""What was written late, by a transaction that was behind, is read again: much only for a job that nobody seems to
have asked for, since among many ends each of them would read the entries of all."""
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
        self._refresh(_OVERLAP)
        if (kind, run_id) not in self._found:
            self._refresh(_LONG_OVERLAP)
        return list(self._found.get((kind, run_id), {}).values())

    def _refresh(self, overlap: timedelta) -> None:
        if self._read_to is None:
            # A job may run for longer than anybody writes to the ledger.
            for _, entries in self._source.asleep():
                for entry in entries:
                    self._note(entry)
            self._read_to = datetime.now(UTC) - timedelta(hours=SINCE_HOURS)
        found = entries_since(self._prefect, self._read_to - overlap)
        fresh = [entry for entry in found if isinstance(entry, LedgerEntry)]
        for entry in reversed(fresh):
            if self._source.is_of_client(entry):
                self._note(entry)
        while len(self._found) > _AT_MOST:
            del self._found[next(iter(self._found))]
        # By the server's clock, not by this one's.
        self._read_to = max((entry.updated for entry in fresh if entry.updated is not None), default=self._read_to)

    def _note(self, entry: LedgerEntry) -> None:
        if entry.flow_run_id is None:
            return
        for generation, run_id in enumerate(entry.record.earlier_ids):
            # A retry may have begun the next job before the event of this one comes.
            earlier = replace(entry, record=replace(entry.record, run_id=run_id, generation=generation))
            self._found.setdefault((entry.record.kind, run_id), {}).setdefault(entry.flow_run_id, earlier)
        if entry.record.run_id is not None:
            self._found.setdefault((entry.record.kind, entry.record.run_id), {})[entry.flow_run_id] = entry
