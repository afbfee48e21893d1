"""Records as the API shows them: documented keys, in the documented order, and nothing else in the strict profile."""

from __future__ import annotations

from typing import Any

from .backfills import Backfill
from .clock import to_text
from .connections import Connection
from .jobs import Job
from .listing import status_at
from .samples import keys_of, project
from .state import State

_SYNC_POST = "/api/v1/connections/{connectionId}/sync"
_BACKFILL_POST = "/api/v1/connections/{connectionId}/backfill"
_JOB, _JOBS = "/api/v1/jobs/{jobId}", "/api/v1/jobs"
_BACKFILL, _BACKFILLS = "/api/v1/backfills/{backfillId}", "/api/v1/backfills"
_RESULTS, _CANCEL = "/api/v1/jobs/{jobId}/results", "/api/v1/jobs/{jobId}/cancel"
_CONNECTION, _CONNECTIONS = "/api/connections/{id}", "/api/connections"

STARTED_JOB = keys_of("POST", _SYNC_POST, "data", "job")
STARTED_BACKFILL = keys_of("POST", _BACKFILL_POST, "data", "backfill")
JOB = keys_of("GET", _JOB, "data")
METRICS = keys_of("GET", _JOB, "data", "metrics")
JOB_ROW = keys_of("GET", _JOBS, "data", 0)
RESULTS = keys_of("GET", _RESULTS, "data")
RESULT_TABLE = keys_of("GET", _RESULTS, "data", "tables", 0)
CANCELLED = keys_of("POST", _CANCEL, "data")
BACKFILL = keys_of("GET", _BACKFILL, "data")
BACKFILL_ROW = keys_of("GET", _BACKFILLS, "data", 0)
CONNECTION = keys_of("GET", _CONNECTION)
CONNECTION_ROW = keys_of("GET", _CONNECTIONS, "data", 0)
CREATED_CONNECTION = keys_of("POST", _CONNECTIONS)


def _row_values(job: Job) -> dict[str, Any]:
    """What a list shows; apart, because lists are read a hundred rows at a time."""
    return {
        "id": job.id,
        "type": job.type,
        "status": job.status,
        "connection_id": job.connection_id,
        "pipeline_id": job.pipeline_id,
        "created_at": to_text(job.created),
        "started_at": to_text(job.started),
    }


def _job_values(job: Job) -> dict[str, Any]:
    ended = job.finished is not None and job.started is not None
    return _row_values(job) | {
        "queued_at": to_text(job.created),
        "finished_at": to_text(job.finished),
        "duration_seconds": round((job.finished or 0) - (job.started or 0)) if ended else None,
        "cancel_requested_at": to_text(job.cancel_requested),
        "error": job.error,
    }


def started_job(job: Job, state: State) -> dict[str, Any]:
    return {"data": {"job": project(_job_values(job), STARTED_JOB)}}


def job(job: Job, state: State) -> dict[str, Any]:
    values = _job_values(job) | {"metrics": project(job.metrics(state.now), METRICS)}
    data = project(values, JOB)
    if state.switches.echo_metadata:
        data["metadata"] = job.metadata
    return {"data": data}


def job_row(job: Job, state: State) -> dict[str, Any]:
    row = project(_row_values(job), JOB_ROW)
    if state.switches.list_staleness_seconds:
        then = state.now - state.switches.list_staleness_seconds
        row["status"] = status_at(job, then) or "queued"
        row["started_at"] = to_text(job.started) if job.started is not None and job.started <= then else None
    return row


def results(job: Job, state: State) -> dict[str, Any]:
    tables: list[dict[str, Any]] = []
    for name, rows, checksum in job.loaded(state.now):
        table = project({"name": name, "rows_loaded": rows, "checksum": checksum}, RESULT_TABLE)
        if state.switches.table_status:
            table["status"] = "succeeded"
        tables.append(table)
    if state.switches.table_status and job.status == "failed":
        listed = {table["name"] for table in tables}
        missing = [name for name, _, _ in job.tables if name not in listed]
        tables += [{"name": name, "rows_loaded": 0, "checksum": None, "status": "failed"} for name in missing]
    values = {
        "job_id": job.id,
        "status": job.status,
        "tables": tables,
        "warnings": job.warnings if job.is_terminal else [],
    }
    return {"data": project(values, RESULTS)}


def cancelled(job: Job, state: State) -> dict[str, Any]:
    return {"data": project(_job_values(job), CANCELLED)}


def _backfill_values(backfill: Backfill, state: State) -> dict[str, Any]:
    return {
        "id": backfill.id,
        "connection_id": backfill.connection_id,
        "status": backfill.status,
        "start_at": to_text(backfill.start),
        "end_at": to_text(backfill.end),
        "tables": backfill.tables,
        "progress_percent": backfill.progress_percent(state.now),
        "error": backfill.error,
        "job_ids": [job.id for job in backfill.jobs],
        "created_at": to_text(backfill.created),
        "updated_at": to_text(backfill.updated(state.now)),
    }


def started_backfill(backfill: Backfill, state: State) -> dict[str, Any]:
    return {"data": {"backfill": project(_backfill_values(backfill, state), STARTED_BACKFILL)}}


def backfill(backfill: Backfill, state: State) -> dict[str, Any]:
    values = _backfill_values(backfill, state) | {"rows_processed": backfill.rows_processed(state.now)}
    data = project(values, BACKFILL)
    if state.switches.echo_metadata:
        data["metadata"] = backfill.metadata
    return {"data": data}


def backfill_row(backfill: Backfill, state: State) -> dict[str, Any]:
    row = project(_backfill_values(backfill, state), BACKFILL_ROW)
    if state.switches.list_staleness_seconds:
        row["status"] = status_at(backfill, state.now - state.switches.list_staleness_seconds) or "running"
    return row


def connection(connection: Connection, keys: tuple[str, ...]) -> dict[str, Any]:
    values = {
        "id": connection.id,
        "name": connection.name,
        "type": connection.type,
        "credentialId": connection.credential_id,
        "config": connection.config,
        "createdAt": to_text(connection.created),
        "updatedAt": to_text(connection.updated),
    }
    return project(values, keys)
