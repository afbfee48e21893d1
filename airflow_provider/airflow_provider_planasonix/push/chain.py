"""Loops are cut (G9): a task of a DAG that an event started knows how many runs events have started before it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import AirflowFailException
from airflow_provider_planasonix.push import options
from airflow_provider_planasonix.push.event_filter import MARK
from planasonix.errors import FeedbackLoopError, redact

if TYPE_CHECKING:
    from planasonix.runs import Provenance
    from planasonix.webhooks import Act, Event

log = logging.getLogger(__name__)


def deeper(provenance: Provenance, context: Any) -> Provenance:
    """The provenance with its depth in a chain of events; the same one for a DAG run that no event started.

    Raises `AirflowFailException` at `[planasonix] max_event_depth`: a retry would find the same.
    """
    events = triggering_events(context)
    if not events:
        return provenance
    most = int(options.number("max_event_depth", options.DEFAULT_MAX_EVENT_DEPTH, least=0.0))
    try:
        depths = [_depth_below(event, depth, provenance, most) for event, depth in events]
    except FeedbackLoopError as error:
        raise AirflowFailException(str(error)) from error
    return replace(provenance, depth=max(provenance.depth, *depths))


def note_started(context: Any, kind: str, run_id: str) -> None:
    """Tell the inbox which run these events have started: not every tenant sends a job's metadata back."""
    events = triggering_events(context)
    if events:
        ti: Any = context["ti"]
        mapped = {} if ti.map_index is None or ti.map_index < 0 else {"map_index": ti.map_index}
        action = _action({"dag_id": ti.dag_id, "task_id": ti.task_id, **mapped})
        _with_inbox(lambda loops: [loops.started(loops.enter(event, action), kind, run_id) for event, _ in events])


def triggering_events(context: Any) -> list[tuple[Event, int]]:
    """The events of watchers that this DAG run was started by, each with the depth that its body told."""
    found: list[tuple[Event, int]] = []
    by_asset: Any = context.get("triggering_asset_events") or {}
    for asset_events in by_asset.values():
        for asset_event in asset_events:
            payload = (getattr(asset_event, "extra", None) or {}).get("payload")
            if isinstance(payload, dict) and MARK in payload:
                found.append((_event(payload), int(payload.get("depth") or 0)))
    return found


def _depth_below(event: Event, depth: int, provenance: Provenance, most: int) -> int:
    from planasonix.webhooks import guard

    act: Act | None = _with_inbox(lambda loops: loops.enter(event, _action(provenance.details), depth=depth), most)
    return guard(event, most, depth=depth) if act is None else act.depth


def _with_inbox(use: Any, max_depth: int = 1_000_000) -> Any:
    """What `use` makes of the inbox's guard; None where there is no inbox in reach, which stops no task."""
    url = options.inbox_url()
    if url is None:
        return None
    from planasonix.webhooks import Inbox, LoopGuard

    try:
        with Inbox.open(url) as inbox:
            return use(LoopGuard(inbox, max_depth=max_depth))
    except FeedbackLoopError:
        raise
    except Exception as error:
        log.warning("the inbox does not tell which event started what: %s", redact(repr(error)))
        return None


def _action(details: Mapping[str, Any]) -> str:
    """Of one task: the same in all its tries."""
    names = ("dag_id", "task_id", "map_index")
    return ".".join(str(details[name]) for name in names if name in details)[-200:]


def _event(payload: dict[str, Any]) -> Event:
    from planasonix.webhooks import Event

    finished_at = payload.get("finished_at")
    return Event(
        event_id=payload["event_id"],
        type=payload["type"],
        kind=payload["kind"],
        object_id=payload["id"],
        connection_id=payload["connection_id"],
        status=payload["status"],
        occurred_at=None if finished_at is None else datetime.fromisoformat(finished_at),
        payload={name: payload[name] for name in ("job_id", "backfill_id") if payload.get(name)},
    )
