"""The ledger in Dagster's event log: what each step asked Planasonix for, written before the POST and after it.

Each entry is an `AssetObservation` that the step logs, under one asset key for all (`LEDGER_KEY`), with the slot as its
partition. Why there, and not elsewhere:

- `context.log_event` is public, returns when the event is stored, and what it wrote survives kill -9 of the step.
- The event log has an index by asset key and partition: a step reads its own few entries, however many steps and runs
  there are. Under the keys of the tables, a re-execution of one failed table would look in another place than the
  run of all tables wrote to; a step of a plain op has no table at all.
- Run tags are written without a lock: of four steps that write at once some lose theirs, and others' with it.

In the UI that key is an asset without a definition, whose events are the list of all jobs that Dagster started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from planasonix.errors import ConfigurationError
from planasonix.runs import Record, RunHandle

LEDGER_KEY = dg.AssetKey(["planasonix", "started_jobs"])
ENTRY = "planasonix/ledger"
TOLD = "told"
"""Stands in a request's last entry once the step has told all of its events."""
VERSION = 1
_PAGE = 200


@dataclass(frozen=True)
class Owner:
    """The step that keeps an entry, in plain data. Holds no secret.

    `asset_keys` are the assets that the step was to load, as `AssetKey.to_user_string()`; `partition_start` and
    `partition_end` are the first and last partition key of the run, None without partitions. `waits` is False for a
    step that only submits its job.
    """

    run_id: str
    root_run_id: str
    step_key: str
    job_name: str
    asset_keys: tuple[str, ...] = ()
    partition_start: str | None = None
    partition_end: str | None = None
    part: str = ""
    connection_name: str | None = None
    base_url: str | None = None
    organization_id: str | None = None
    waits: bool = True


@dataclass(frozen=True)
class LedgerEntry:
    """One entry as it was read back. `record` is None for an entry that names no single job (see `entry`).

    `timestamp` is when it was written, seconds since the epoch; `storage_id` its place in the event log; `slot` the
    name under which later entries of the same request stand. `entry` is what the run engine wrote, as plain data.
    """

    slot: str
    owner: Owner
    entry: dict[str, Any]
    record: Record | None
    timestamp: float
    storage_id: int

    @property
    def intent(self) -> str:
        return str(self.entry.get("intent") or "")

    @property
    def handle(self) -> RunHandle | None:
        """The job that the entry names, to wait for it or to cancel it; None while none is known."""
        if self.record is None or self.record.run_id is None:
            return None
        return RunHandle.of(self.record, reattached=True)

    @property
    def partition(self) -> str | None:
        """The one partition that the job was started for; None without assets or partitions, or for several."""
        owner = self.owner
        return owner.partition_start if owner.asset_keys and owner.partition_start == owner.partition_end else None


def observation(
    slot: str, owner: Owner, entry: dict[str, Any], *, description: str, shown: dict[str, Any] | None = None
) -> dg.AssetObservation:
    """The event that holds an entry: one JSON value for the program, and what a person wants to see."""
    kept: dict[str, Any] = {"version": VERSION, "slot": slot, "owner": _owner_data(owner), "entry": entry}
    return dg.AssetObservation(
        asset_key=LEDGER_KEY,
        partition=slot,
        description=description,
        metadata={**(shown or {}), ENTRY: dg.MetadataValue.json(kept)},
    )


def read_event(record: dg.EventLogRecord) -> LedgerEntry | None:
    """The entry that an event holds; None for an observation that is none of ours, or of a later version.

    Raises `ConfigurationError` where it is ours and damaged.
    """
    seen = record.asset_observation
    value = None if seen is None else seen.metadata.get(ENTRY)
    kept = getattr(value, "data", None)
    if not isinstance(kept, dict) or not isinstance(kept.get("version"), int) or kept["version"] > VERSION:
        return None
    entry, owner = kept.get("entry"), kept.get("owner")
    if not isinstance(entry, dict) or not isinstance(owner, dict):
        return None
    return LedgerEntry(
        slot=str(kept.get("slot")),
        owner=_owner_of(owner),
        entry=entry,
        record=Record.from_dict(entry) if "operation" in entry else None,
        timestamp=record.timestamp,
        storage_id=record.storage_id,
    )


def slot_entries(instance: dg.DagsterInstance, slot: str) -> list[LedgerEntry]:
    """All entries of one slot, newest first: questions of the event log's index.

    A job has three or four, the header of a range two for each partition and try. None is left out, because an older
    one may be all that tells whose wish it is. Raises `ConfigurationError` for a damaged one: to start anew beside it
    could be a second job.
    """
    return list(_of_slot(instance, slot))


def newest_entry(instance: dg.DagsterInstance, slot: str) -> LedgerEntry | None:
    """The newest entry of one slot, None where it has none. Raises as `slot_entries`."""
    return next(_of_slot(instance, slot), None)


def _of_slot(instance: dg.DagsterInstance, slot: str) -> Iterator[LedgerEntry]:
    before: int | None = None
    while True:
        wanted = dg.AssetRecordsFilter(LEDGER_KEY, asset_partitions=[slot], before_storage_id=before)
        page = instance.fetch_observations(wanted, limit=_PAGE).records
        yield from (entry for entry in map(read_event, page) if entry is not None)
        if len(page) < _PAGE:
            return
        before = page[-1].storage_id


def all_entries(
    instance: dg.DagsterInstance, *, since: float | None = None
) -> Iterator[LedgerEntry | ConfigurationError]:
    """Every entry of the instance, newest first; a damaged one as the error that reading it raised.

    `since` (seconds since the epoch) leaves out what was written before. Read in pages.
    """
    before: int | None = None
    while True:
        wanted = dg.AssetRecordsFilter(LEDGER_KEY, before_storage_id=before)
        page = instance.fetch_observations(wanted, limit=_PAGE).records
        for event in page:
            if since is not None and event.timestamp < since:
                return
            try:
                entry = read_event(event)
            except ConfigurationError as error:
                yield error
            else:
                if entry is not None:
                    yield entry
        if len(page) < _PAGE:
            return
        before = page[-1].storage_id


def started_runs(
    instance: dg.DagsterInstance,
    asset_keys: Sequence[dg.AssetKey] | None = None,
    since: float | None = None,
) -> dict[str, LedgerEntry]:
    """The jobs and backfills that Dagster asked for, by their id: each with the newest entry that names it.

    `asset_keys` leaves out the entries of steps that load none of them (an entry that names no assets is kept); `since`
    is in seconds since the epoch. Jobs of earlier generations are in it too. Jobs that were only waited for, because
    somebody else may have started them, are not.
    """
    wanted = None if asset_keys is None else {key.to_user_string() for key in asset_keys}
    found: dict[str, LedgerEntry] = {}
    for entry in all_entries(instance, since=since):
        if not isinstance(entry, LedgerEntry) or entry.record is None:
            continue
        if wanted is not None and entry.owner.asset_keys and not wanted.intersection(entry.owner.asset_keys):
            continue
        if entry.record.run_id is not None and entry.record.owned:
            found.setdefault(entry.record.run_id, entry)
        for earlier in entry.record.earlier_ids:
            found.setdefault(earlier, entry)
    return found


def owned_elsewhere(
    instance: dg.DagsterInstance, run_ids: Iterable[str], *, slot: str, since: float | None
) -> frozenset[str]:
    """Those of the ids that entries of other slots own."""
    wanted = frozenset(run_ids)
    if not wanted:
        return wanted
    owned: set[str] = set()
    for entry in all_entries(instance, since=since):
        if isinstance(entry, LedgerEntry) and entry.slot != slot and entry.entry.get("owned"):
            owned.add(str(entry.entry.get("run_id")))
    return wanted & owned


def _owner_data(owner: Owner) -> dict[str, Any]:
    data = {name: getattr(owner, name) for name in Owner.__dataclass_fields__}
    data["asset_keys"] = list(owner.asset_keys)
    return data


def _owner_of(data: dict[str, Any]) -> Owner:
    known = {name: data[name] for name in Owner.__dataclass_fields__ if name in data}
    try:
        known["asset_keys"] = tuple(known.get("asset_keys") or ())
        return Owner(**known)
    except TypeError as error:
        raise ConfigurationError(
            f"An entry of the ledger {LEDGER_KEY.to_user_string()} names no step: {error}.", field="ledger"
        ) from error
