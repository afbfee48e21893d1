"""Loops are cut (G9): a task of a DAG that an event started knows how many runs events have started before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import AirflowFailException
from airflow_provider_planasonix.push import options
from airflow_provider_planasonix.push.event_filter import MARK
from planasonix.errors import FeedbackLoopError

if TYPE_CHECKING:
    from planasonix.runs import Provenance
    from planasonix.watch import Kind
    from planasonix.webhooks import Cause


def deeper(provenance: Provenance, context: Any) -> Provenance:
    """The provenance with its depth in a chain of events; the same one for a DAG run that no event started.

    Raises `AirflowFailException` at `[planasonix] max_event_depth`: a retry would find the same.
    """
    causes = triggering_causes(context)
    if not causes:
        return provenance
    from planasonix.webhooks import causes as core

    most = int(options.number("max_event_depth", options.DEFAULT_MAX_EVENT_DEPTH, least=0.0))
    action = _action(provenance.details)
    try:
        return core.deeper(provenance, causes, action=action, inbox_url=options.inbox_url(), max_depth=most)
    except FeedbackLoopError as error:
        raise AirflowFailException(str(error)) from error


def note_started(context: Any, kind: Kind, run_id: str) -> None:
    """Tell the inbox which run these events have started: not every tenant sends a job's metadata back."""
    causes = triggering_causes(context)
    if causes:
        from planasonix.webhooks import causes as core

        ti: Any = context["ti"]
        mapped = {} if ti.map_index is None or ti.map_index < 0 else {"map_index": ti.map_index}
        action = _action({"dag_id": ti.dag_id, "task_id": ti.task_id, **mapped})
        core.note_started(causes, action, kind, run_id, inbox_url=options.inbox_url())


def triggering_causes(context: Any) -> list[Cause]:
    """The events of watchers that this DAG run was started by."""
    payloads = [
        payload
        for asset_events in (context.get("triggering_asset_events") or {}).values()
        for asset_event in asset_events
        if isinstance(payload := (getattr(asset_event, "extra", None) or {}).get("payload"), dict) and MARK in payload
    ]
    if not payloads:
        return []
    from planasonix.webhooks import Cause

    return [cause for cause in map(Cause.from_dict, payloads) if cause is not None]


def _action(details: Mapping[str, Any]) -> str:
    """Of one task: the same in all its tries."""
    names = ("dag_id", "task_id", "map_index")
    return ".".join(str(details[name]) for name in names if name in details)
