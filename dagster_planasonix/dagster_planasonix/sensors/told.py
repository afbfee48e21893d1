"""Whether an asset's events already tell of a run: what makes telling it twice harmless.

Dagster stores the events of a tick before its cursor. A daemon that dies in between evaluates the sensor again from the
old cursor, and some of the same events are stored already. The event log is asked then, not a memory of ours: it also
knows what steps and reconcile have told.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.events import AssetEvent

if TYPE_CHECKING:
    from planasonix.runs import Record

TOLD_BY = "planasonix/told_by"
DAGSTER_RUN = "planasonix/dagster_run_id"
"""The metadata of an event that no step wrote: who did, and for a job of Dagster's, which run had started it."""

_SKEW_SECONDS = 3600.0
_EVENTS_AT_MOST = 1_000
"""Of one asset since the run was created."""


def since_when(created_at: float, clock_offset_seconds: float | None, record: Record | None = None) -> float:
    """When a run began by our own clock, in seconds since the epoch, or a moment before that.

    `created_at` is the API's stamp, `clock_offset_seconds` how far its clock is ahead of ours as far as that is known.
    The ledger's `record` tells of a run that we asked for, and when we saw another one at the latest.
    """
    if record is not None and record.owned and record.sent_at is not None:
        return record.sent_at
    seen_at = time.time() if record is None or record.named_at is None else record.named_at
    # A stamp in the future is one of a clock that nobody told us of.
    return min(created_at - (clock_offset_seconds or 0.0), seen_at)


class Told:
    """What the event log has of one run.

    `created_at`: when the run was asked for or created, in seconds since the epoch by our own clock. The API's may be
    hours ahead, and would leave out what is there; see `since_when`.
    """

    def __init__(self, instance: dg.DagsterInstance, kind: str, run_id: str, created_at: float) -> None:
        self._instance = instance
        self._name = f"planasonix/{kind}_id"
        self._run_id = run_id
        self._since = created_at - _SKEW_SECONDS

    def untold(self, events: Sequence[AssetEvent], *, by_sensors: bool = False) -> list[AssetEvent]:
        """The events of those assets, or partitions of assets, of which the log has none of this run.

        Each asset is asked for, as another writer may tell of some of them only: another sensor, a step, reconcile.
        `by_sensors`: nobody but sensors tells of the run, in this order. Checks go with their asset.
        """
        loads = [event for event in events if not isinstance(event, dg.AssetCheckEvaluation)]
        told = {key: self._partitions(key) for key in dict.fromkeys(event.asset_key for event in loads)}
        left = {id(event) for event in loads if event.partition not in told[event.asset_key]}
        keys = {event.asset_key for event in loads if id(event) in left}
        if by_sensors:
            # Its writer may have died between the last of them and its checks.
            keys |= {event.asset_key for event in [each for each in loads if id(each) not in left][-1:]}
        return [
            event
            for event in events
            if (event.asset_key in keys if isinstance(event, dg.AssetCheckEvaluation) else id(event) in left)
        ]

    def has_all(self, places: Mapping[dg.AssetKey, Collection[str | None]]) -> bool:
        """Whether the log has an event of this run for each of these partitions (None: the asset as a whole)."""
        return all(self._partitions(key).issuperset(partitions) for key, partitions in places.items())

    def _partitions(self, key: dg.AssetKey) -> frozenset[str | None]:
        """The partitions (None: as a whole) that an event of the asset names together with this run."""
        wanted = dg.AssetRecordsFilter(key, after_timestamp=self._since)
        found: set[str | None] = set()
        for fetch in (self._instance.fetch_materializations, self._instance.fetch_observations):
            for record in fetch(wanted, limit=_EVENTS_AT_MOST).records:
                event = record.asset_materialization or record.asset_observation
                value = None if event is None else event.metadata.get(self._name)
                if event is not None and value is not None and value.value == self._run_id:
                    found.add(event.partition)
        return frozenset(found)
