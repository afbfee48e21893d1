"""Whether an asset's events already tell of a run: what makes telling it twice harmless.

Dagster stores the events of a tick before its cursor. A daemon that dies in between evaluates the sensor again from the
old cursor, and some of the same events are stored already. The event log is asked then, not a memory of ours: it also
knows what steps and reconcile have told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import dagster as dg

from dagster_planasonix.events import AssetEvent

TOLD_BY = "planasonix/told_by"
DAGSTER_RUN = "planasonix/dagster_run_id"
"""The metadata of an event that no step wrote: who did, and for a job of Dagster's, which run had started it."""

_SKEW_SECONDS = 3600.0
_EVENTS_AT_MOST = 1_000
"""Of one asset since the run was created."""


class Told:
    """What the event log has of one run. `created_at` is the run's, in seconds since the epoch."""

    def __init__(self, instance: dg.DagsterInstance, kind: str, run_id: str, created_at: float) -> None:
        self._instance = instance
        self._name = f"planasonix/{kind}_id"
        self._run_id = run_id
        self._since = created_at - _SKEW_SECONDS

    def untold(self, events: Sequence[AssetEvent], *, one_writer: bool = False) -> list[AssetEvent]:
        """The events of those assets, or partitions of assets, of which the log has none of this run.

        `one_writer`: nobody but this sensor tells of the run, and in this order, so that the first asset speaks for all
        if it has none. Checks go with their asset.
        """
        loads = [event for event in events if not isinstance(event, dg.AssetCheckEvaluation)]
        if one_writer and loads and not self._partitions(loads[0].asset_key):
            return list(events)
        told = {key: self._partitions(key) for key in dict.fromkeys(event.asset_key for event in loads)}
        left = {id(event) for event in loads if event.partition not in told[event.asset_key]}
        keys = {event.asset_key for event in loads if id(event) in left}
        if one_writer:
            # Its writer may have died between the last of them and its checks.
            keys |= {event.asset_key for event in [each for each in loads if id(each) not in left][-1:]}
        return [
            event
            for event in events
            if (event.asset_key in keys if isinstance(event, dg.AssetCheckEvaluation) else id(event) in left)
        ]

    def has_all(self, expected: Mapping[dg.AssetKey, Collection[str | None]]) -> bool:
        """Whether the log has an event of this run for each of those partitions of each asset, and there is any."""
        return bool(expected) and all(self._partitions(key).issuperset(each) for key, each in expected.items())

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
