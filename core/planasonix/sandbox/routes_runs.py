"""Starting work: sync and backfill."""

from __future__ import annotations

from typing import Any

from . import views
from .calls import Call, Route
from .connections import Connection
from .jobs import SYNC
from .reading import (
    PRIORITIES,
    choice,
    json_object,
    not_found,
    object_field,
    required_instant,
    text,
    texts,
)
from .replies import Answer, Refusal, invalid
from .state import State

MAX_METADATA_KEYS = 100


def find_connection(call: Call, identifier: str) -> Connection:
    connection = call.state.connections.get(identifier)
    if connection is None:
        raise not_found("connection", identifier)
    return connection


def _busy(state: State, what: str, extra: dict[str, Any]) -> Refusal:
    message = f"Another {what} of this connection is active"
    if not state.switches.telling_conflicts:
        return Refusal(409, message)
    return Refusal(409, message, code="connection_busy", extra=extra)


def sync(call: Call) -> Answer:
    state = call.state
    connection = find_connection(call, call.params["connectionId"])
    body = json_object(call.body, required=False)
    pipeline_id = text(body, "pipeline_id")
    priority = choice(body, "priority", PRIORITIES)
    metadata = object_field(body, "metadata", most=MAX_METADATA_KEYS)
    active = state.jobs.active(connection.id, SYNC)
    if state.switches.busy == "409" and active is not None:
        raise _busy(state, "sync", {"existing_job_id": active.id})
    job = state.start_sync(
        connection,
        pipeline_id=pipeline_id,
        priority=priority,
        metadata=metadata,
        idempotency_key=call.idempotency_key,
    )
    return Answer(202, views.started_job(job, state), {"job_started": job.id})


def backfill(call: Call) -> Answer:
    state = call.state
    connection = find_connection(call, call.params["connectionId"])
    body = json_object(call.body)
    start = required_instant(body, "start_at")
    end = required_instant(body, "end_at")
    tables = texts(body, "tables")
    priority = choice(body, "priority", PRIORITIES)
    metadata = object_field(body, "metadata", most=MAX_METADATA_KEYS)
    if start >= end:
        raise invalid("end_at", "not_after_start_at", "end_at must be later than start_at")
    if state.switches.unknown_tables == "reject":
        known = connection.qualified_tables()
        for name in tables or ():
            if name not in known:
                raise invalid("tables", "unknown_table", f"The connection has no table {name}")
    active = state.backfills.active(connection.id)
    if state.switches.busy == "409" and active is not None:
        raise _busy(state, "backfill", {"existing_backfill_id": active.id})
    record = state.start_backfill(
        connection,
        start=start,
        end=end,
        tables=tables,
        priority=priority,
        metadata=metadata,
        idempotency_key=call.idempotency_key,
    )
    return Answer(202, views.started_backfill(record, state), {"backfill_started": record.id})


ROUTES = [
    Route("POST", "/api/v1/connections/{connectionId}/sync", "connections.sync", "pipelines:run", sync),
    Route(
        "POST",
        "/api/v1/connections/{connectionId}/backfill",
        "connections.backfill",
        "pipelines:run",
        backfill,
    ),
]
