"""Which events a run comes from: tags that its starter gives it, and the chain that its jobs carry on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix._compat import run_of
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster_planasonix.ledger import Owner
    from planasonix.runs import Provenance, RunHandle
    from planasonix.webhooks import Cause, StoredEvent

EVENT_TAG = "planasonix/event"


def planasonix_event_tags(*events: StoredEvent | dg.AssetMaterialization | dg.AssetObservation) -> dict[str, str]:
    """The tags of a run that these events start, so that loops are cut: the run's syncs and backfills then count as
    started by them, and fail with `FeedbackLoopError` where three runs in a row were started by events.

    `events`: those of an inbox, or what Dagster was told of a load. The tags hold ids and names, nothing of an event's
    body. With an inbox (`inbox_url` of the workspace) the chain is known across all that use it; without one only as
    far as an event of the inbox tells it itself. Raises `ConfigurationError` for an event that names no run.

        @dg.asset_sensor(asset_key=dg.AssetKey("orders"), job=reload)
        def after_orders(context, entry):
            yield dg.RunRequest(tags=planasonix_event_tags(entry.asset_materialization))
    """
    return {EVENT_TAG: json.dumps([_told_of(event) for event in events], separators=(",", ":"))}


def _told_of(event: Any) -> dict[str, Any]:
    from planasonix.webhooks import Cause

    if isinstance(event, dg.AssetMaterialization | dg.AssetObservation):
        cause = Cause.from_dict(_of_metadata({name: each.value for name, each in event.metadata.items()}))
    else:
        cause = Cause.from_dict(Cause.of(event).to_dict())
    if cause is None:
        raise ConfigurationError(
            "The event names no job or backfill of Planasonix.",
            field="events",
            hint="Give an event of the inbox, or a materialization or observation that this package has made.",
        )
    return cause.to_dict()


def _of_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """As the event of that end would tell it: both name the same end."""
    kind = "backfill" if "planasonix/backfill_id" in metadata else "job"
    run_id, status = metadata.get(f"planasonix/{kind}_id"), metadata.get("planasonix/status")
    return {
        "event_id": f"{run_id}:{status}",
        "type": f"{kind}.{status}",
        "kind": kind,
        "id": run_id,
        "connection_id": metadata.get("planasonix/connection_id"),
        "status": status,
        "finished_at": metadata.get("planasonix/finished_at"),
    }


class Chain:
    """What a step's request carries on of the events that its run comes from; nothing where the run has no such tag.

    `action` names the request, the same over tries. `tags` are the run's.
    """

    def __init__(self, tags: Mapping[str, str], action: str, inbox_url: str | None) -> None:
        self._text = tags.get(EVENT_TAG)
        self._action = action
        self._inbox_url = inbox_url
        self._causes: list[Cause] = []
        self._deepened: Provenance | None = None
        self._noted: set[str] = set()

    @classmethod
    def of(cls, context: Any, owner: Owner, target_id: str, inbox_url: str | None) -> Chain:
        """Of a step's request to this target."""
        action = "/".join(filter(None, ("dagster", owner.job_name, owner.step_key, target_id, owner.part)))
        return cls(run_of(context).tags, action, inbox_url)

    def deepened(self, provenance: Provenance) -> Provenance:
        """With the depth of what these events start. Raises `FeedbackLoopError` where that is too deep, and
        `ConfigurationError` for a tag that cannot be read: a chain that is cut by a typing error is none.
        """
        if self._text is None:
            return provenance
        if self._deepened is None:
            from planasonix.webhooks import deeper

            self._causes = _causes_of(self._text)
            self._deepened = deeper(provenance, self._causes, action=self._action, inbox_url=self._inbox_url)
        return replace(provenance, depth=self._deepened.depth, details=self._deepened.details)

    def started(self, handle: RunHandle) -> None:
        """Remember in the inbox that these events have started this run."""
        if self._causes and handle.owned and handle.id not in self._noted:
            from planasonix.webhooks import note_started

            self._noted.add(handle.id)
            note_started(self._causes, self._action, handle.kind, handle.id, inbox_url=self._inbox_url)


def _causes_of(text: str) -> list[Cause]:
    from planasonix.webhooks import Cause

    try:
        told: Any = json.loads(text)
    except ValueError:
        told = None
    causes = [Cause.from_dict(each) for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    found = [cause for cause in causes if cause is not None]
    if not found or len(found) != len(told):
        raise ConfigurationError(
            f"The run's tag {EVENT_TAG} tells of no event.",
            field=EVENT_TAG,
            hint="Make it with planasonix_event_tags(…), or leave it out where no event starts the run.",
        )
    return found
