"""Whose run a listed one is: a step's, a detached one, somebody else's; read from the ledger, and only where needed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

import dagster as dg

from dagster_planasonix.ledger import LedgerEntry, all_entries
from planasonix.watch import Kind

_SKEW_SECONDS = 3600.0
"""How much a ledger's clock may differ from the API's."""
_JUST_NOW_SECONDS = 5.0
_LATE_SECONDS = 3600.0
"""A request whose answer was lost is not delivered later than this."""
_ORPHAN_ANSWER_SECONDS = 900.0
"""How long after its run's end a start without an answer may still be the owner of a job."""

Whose = Literal["step", "detached", "waited for", "in doubt", "other"]


@dataclass(frozen=True)
class Owned:
    """`entry` is the ledger's that names the run, where one does."""

    whose: Whose
    entry: LedgerEntry | None = None


@dataclass
class _Index:
    since: float
    loaded_at: float
    by_run: dict[str, LedgerEntry] = field(default_factory=dict[str, LedgerEntry])
    unanswered: list[LedgerEntry] = field(default_factory=list[LedgerEntry])


class Owners:
    """The ledger of one instance, for one tick. `base_url`: entries that name another API are left out."""

    def __init__(self, instance: dg.DagsterInstance, base_url: str | None = None) -> None:
        self._instance = instance
        self._base_url = base_url
        self._index: _Index | None = None
        self._finished: dict[str, bool] = {}

    def whose(self, connection_id: str, kind: Kind, run_id: str, created_at: float | None) -> Owned:
        """`created_at` is the run's, in seconds since the epoch by our clock; None where the API shows none."""
        index = self._loaded(created_at)
        entry = index.by_run.get(run_id)
        if entry is not None and entry.record is not None:
            if run_id in entry.record.earlier_ids:
                return Owned("step", entry)
            if entry.record.owned:
                return Owned("step" if entry.owner.waits else "detached", entry)
            # Somebody else's that a step waits for, and tells of: what it does not get to is told here.
            # Until its run is over, also after its end was noted: the events come a moment later.
            return Owned("other" if self._has_finished(entry.owner.run_id) else "waited for", entry)
        if any(self._may_be(each, connection_id, kind, created_at) for each in index.unanswered):
            return Owned("in doubt")
        return Owned("other")

    def _loaded(self, created_at: float | None) -> _Index:
        now = time.time()
        since = (now if created_at is None else created_at) - _SKEW_SECONDS
        index = self._index
        is_later = index is not None and created_at is not None and created_at > index.loaded_at - _JUST_NOW_SECONDS
        if index is None or since < index.since or is_later:
            # By whole hours: runs of all ages would read it again and again.
            index = self._index = self._load(min(since, now if index is None else index.since) // 3600.0 * 3600.0)
        return index

    def _load(self, since: float) -> _Index:
        index = _Index(since, time.time())
        newest: set[str] = set()
        for entry in all_entries(self._instance, since=since):
            if not isinstance(entry, LedgerEntry) or entry.record is None:
                continue
            if self._base_url is not None and entry.owner.base_url not in (None, self._base_url):
                continue
            record = entry.record
            if record.run_id is not None:
                index.by_run.setdefault(record.run_id, entry)
            for earlier in record.earlier_ids:
                index.by_run.setdefault(earlier, entry)
            if entry.slot not in newest and record.run_id is None and record.sent_at is not None:
                index.unanswered.append(entry)
            newest.add(entry.slot)
        return index

    def _may_be(self, entry: LedgerEntry, connection_id: str, kind: Kind, created_at: float | None) -> bool:
        """Whether the run may be the one that this start, which has had no answer, asked for."""
        record = entry.record
        if record is None or record.target_id != connection_id or record.kind != kind or record.sent_at is None:
            return False
        if created_at is not None and not -60.0 < created_at - record.sent_at < _LATE_SECONDS:
            return False
        if not self._has_finished(entry.owner.run_id):
            return True
        return time.time() - entry.timestamp < _ORPHAN_ANSWER_SECONDS

    def _has_finished(self, run_id: str) -> bool:
        if run_id not in self._finished:
            run = self._instance.get_run_by_id(run_id)
            self._finished[run_id] = run is None or run.is_finished
        return self._finished[run_id]
