"""What the sandbox shows of itself, whatever the profile hides: for tests and for the live page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .backfills import Backfill
from .clock import to_text
from .connections import Connection
from .faults import Faults
from .jobs import Job
from .journal import Journal
from .pipeline_runs import PipelineRun
from .routes_webhooks import delivery_row
from .run_views import log_lines
from .run_views import nodes as node_views
from .state import State


def job(job: Job, state: State) -> dict[str, Any]:
    ended = job.finished is not None and job.started is not None
    return {
        "id": job.id,
        "type": job.type,
        "status": job.status,
        "is_terminal": job.is_terminal,
        "connection_id": job.connection_id,
        "connection_name": _name(job.connection_id, state),
        "pipeline_id": job.pipeline_id,
        "backfill_id": job.backfill_id,
        "priority": job.priority,
        "metadata": job.metadata,
        "idempotency_key": job.idempotency_key,
        "created_at": to_text(job.created),
        "started_at": to_text(job.started),
        "finished_at": to_text(job.finished),
        "cancel_requested_at": to_text(job.cancel_requested),
        "duration_seconds": round((job.finished or 0) - (job.started or 0)) if ended else None,
        "progress_percent": int(100 * job.share(state.now)),
        "metrics": job.metrics(state.now),
        "tables": [
            {"name": name, "rows_loaded": rows, "checksum": checksum} for name, rows, checksum in job.loaded(state.now)
        ],
        "expected_tables": [name for name, _, _ in job.tables],
        "warnings": job.warnings if job.is_terminal else [],
        "error": job.error,
        "history": [{"at": to_text(at), "status": status} for at, status in job.history],
    }


def backfill(backfill: Backfill, state: State) -> dict[str, Any]:
    return {
        "id": backfill.id,
        "status": backfill.status,
        "is_terminal": backfill.is_terminal,
        "connection_id": backfill.connection_id,
        "connection_name": _name(backfill.connection_id, state),
        "start_at": to_text(backfill.start),
        "end_at": to_text(backfill.end),
        "tables": backfill.tables,
        "priority": backfill.priority,
        "metadata": backfill.metadata,
        "idempotency_key": backfill.idempotency_key,
        "progress_percent": backfill.progress_percent(state.now),
        "rows_processed": backfill.rows_processed(state.now),
        "error": backfill.error,
        "jobs": [{"id": each.id, "status": each.status} for each in backfill.jobs],
        "created_at": to_text(backfill.created),
        "updated_at": to_text(backfill.updated(state.now)),
    }


def run(run: PipelineRun, state: State) -> dict[str, Any]:
    of = state.pipelines.get(run.pipeline_id)
    return {
        "id": run.id,
        "status": run.status,
        "is_terminal": run.is_terminal,
        "pipeline_id": run.pipeline_id,
        "pipeline_name": of.name if of else None,
        "trigger": run.trigger,
        "variables": run.variables,
        "environment_id": run.environment_id,
        "idempotency_key": run.idempotency_key,
        "queued_at": to_text(run.created),
        "started_at": to_text(run.started),
        "cancel_requested_at": to_text(run.cancel_requested),
        "finished_at": to_text(run.finished),
        "progress_percent": run.progress_percent(state.now),
        "metrics": run.metrics(state.now),
        "nodes": node_views(run, state)["nodes"],
        "log": [line for _, line in log_lines(run, state.now)],
        "error": run.error,
        "history": [{"at": to_text(at), "status": status} for at, status in run.history],
    }


_COUNTED = {
    "jobs_started": "job_started",
    "backfills_started": "backfill_started",
    "cancels": "job_cancelled",
    "runs_started": "run_started",
    "run_cancels": "run_cancelled",
}


def counts(journal: Journal, connection_id: str | None) -> dict[str, Any]:
    """The effects of all calls, or of those about one connection or pipeline; and all calls."""
    effects = {name: journal.effect_count(effect, connection_id) for name, effect in _COUNTED.items()}
    return effects | {"calls": sum(journal.calls.values()), "calls_by_operation": dict(journal.calls)}


def state(state: State, journal: Journal, faults: Faults, profile: str, limit: int) -> dict[str, Any]:
    recent = list(journal.entries)[-limit:] if limit else []
    deliveries = [
        {
            "webhook_id": hook_id,
            "created_at": to_text(each.created),
            **delivery_row(each),
            "flaw": each.flaw,
            "attempts": each.attempts,
        }
        for hook_id, rows in state.deliveries.by_webhook.items()
        for each in rows[-limit:]
    ]
    deliveries.sort(key=lambda row: row["id"], reverse=True)
    return {
        "profile": profile,
        "seed": state.seed,
        "clock": {"now": to_text(state.now), "speed": state.clock.speed},
        "totals": {
            "connections": len(state.connections),
            "jobs": len(state.jobs.shelf),
            "backfills": len(state.backfills.shelf),
            "runs": len(state.runs.shelf),
            "calls": sum(journal.calls.values()),
        },
        "switches": asdict(state.switches),
        "connections": [_connection(each, state) for each in state.connections.values()],
        "jobs": [job(each, state) for each in state.jobs.shelf.newest(limit)],
        "backfills": [backfill(each, state) for each in state.backfills.shelf.newest(limit)],
        "pipelines": [{"id": each.id, "name": each.name, "status": each.status} for each in state.pipelines.values()],
        "runs": [run(each, state) for each in state.runs.shelf.newest(limit)],
        "webhooks": [
            {"id": hook.id, "url": hook.url, "events": hook.events, "enabled": hook.enabled}
            for hook in state.webhooks.by_id.values()
        ],
        "deliveries": deliveries[:limit],
        "calls": [entry.to_dict() for entry in reversed(recent)],
        "faults": [rule.to_dict() for rule in faults.rules],
    }


def _connection(connection: Connection, state: State) -> dict[str, Any]:
    active = state.jobs.active(connection.id, "connection_sync")
    return {
        "id": connection.id,
        "name": connection.name,
        "type": connection.type,
        "schema": connection.schema,
        "tables": list(connection.tables),
        "views": connection.views,
        "active_job_id": active.id if active else None,
    }


def _name(connection_id: str, state: State) -> str | None:
    connection = state.connections.get(connection_id)
    return connection.name if connection else None
