"""Pipelines and their runs as the API shows them: documented keys, in the documented order."""

from __future__ import annotations

from typing import Any

from .clock import to_text
from .listing import status_at
from .pipeline_runs import NodeRun, PipelineRun
from .pipelines import Pipeline
from .samples import keys_of, project
from .state import State

_PIPELINES, _RUN_POST = "/api/pipelines", "/api/pipelines/{id}/run"
_RUNS, _RUN = "/api/runs", "/api/runs/{id}"
_NODES, _LOGS = "/api/runs/{id}/nodes", "/api/runs/{id}/logs"

PIPELINE_ROW = keys_of("GET", _PIPELINES, "data", 0)
# No sample shows a single pipeline as it is read; that of its creation has the graph.
PIPELINE = keys_of("POST", _PIPELINES)
STARTED_RUN = keys_of("POST", _RUN_POST)
RUN = keys_of("GET", _RUN)
METRICS = keys_of("GET", _RUN, "metrics")
RUN_ROW = keys_of("GET", _RUNS, "data", 0)
NODE = keys_of("GET", _NODES, "nodes", 0)
LINE = keys_of("GET", _LOGS, "lines", 0)
CANCELLED = keys_of("DELETE", _RUN)
CANCEL_MESSAGE = "Cancellation accepted; workers will stop after current safe point."


def pipeline(pipeline: Pipeline, keys: tuple[str, ...]) -> dict[str, Any]:
    values = {
        "id": pipeline.id,
        "name": pipeline.name,
        "projectId": pipeline.project_id,
        "folderId": pipeline.folder_id,
        "status": pipeline.status,
        "nodes": [{"id": node.id, "type": node.type, "config": node.config} for node in pipeline.nodes],
        "edges": pipeline.edges,
        "createdAt": to_text(pipeline.created),
        "updatedAt": to_text(pipeline.updated),
    }
    return project(values, keys)


def started_run(run: PipelineRun) -> dict[str, Any]:
    values = {
        "runId": run.id,
        "pipelineId": run.pipeline_id,
        "status": run.status,
        "queuedAt": to_text(run.created),
    }
    return project(values, STARTED_RUN)


def _duration_seconds(run: PipelineRun) -> int | None:
    return None if run.started is None or run.finished is None else round(run.finished - run.started)


def _values(run: PipelineRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "pipelineId": run.pipeline_id,
        "status": run.status,
        "startedAt": to_text(run.started),
        "finishedAt": to_text(run.finished),
        "durationSeconds": _duration_seconds(run),
        "error": run.error,
    }


def run(run: PipelineRun, state: State) -> dict[str, Any]:
    of = state.pipelines.get(run.pipeline_id)
    values = _values(run) | {
        "pipelineName": of.name if of else None,
        "trigger": {"type": run.trigger, "scheduleId": None},
        "metrics": project(run.metrics(state.now), METRICS),
    }
    return project(values, RUN)


def run_row(run: PipelineRun, state: State) -> dict[str, Any]:
    row = project(_values(run) | {"trigger": run.trigger}, RUN_ROW)
    if state.switches.list_staleness_seconds:
        then = state.now - state.switches.list_staleness_seconds
        row["status"] = status_at(run, then) or "queued"
        if run.started is not None and run.started > then:
            row["startedAt"] = None
        if run.finished is not None and run.finished > then:
            row["finishedAt"] = row["durationSeconds"] = None
    return row


def nodes(run: PipelineRun, state: State) -> dict[str, Any]:
    return {"runId": run.id, "nodes": [_node(each) for each in run.node_runs(state.now)]}


def _node(each: NodeRun) -> dict[str, Any]:
    metrics: dict[str, int] = {}
    if not each.node.is_source:
        metrics["rowsIn"] = each.rows
    if not each.node.is_sink:
        metrics["rowsOut"] = each.rows
    values = {
        "nodeId": each.node.id,
        "type": each.node.type,
        "status": each.status,
        "startedAt": to_text(each.started),
        "finishedAt": to_text(each.finished),
        "metrics": metrics,
    }
    return project(values, NODE)


def log_lines(run: PipelineRun, now: float) -> list[tuple[float, dict[str, Any]]]:
    """Every line so far, with its instant."""
    lines: list[tuple[float, dict[str, Any]]] = []

    def say(at: float, level: str, node_id: str, message: str) -> None:
        lines.append((at, project({"ts": to_text(at), "level": level, "nodeId": node_id, "message": message}, LINE)))

    for each in run.node_runs(now):
        if each.started is None:
            continue
        say(each.started, "info", each.node.id, f"Started {each.node.type}")
        if each.finished is None:
            continue
        if each.status == "succeeded":
            say(each.finished, "info", each.node.id, f"Completed: {each.rows} rows")
        elif each.status == "failed":
            error = run.error if isinstance(run.error, dict) else {}
            say(each.finished, "error", each.node.id, str(error.get("message") or "Failed"))
        else:
            say(each.finished, "warn", each.node.id, f"Stopped after {each.rows} rows")
    return lines


def cancelled(run: PipelineRun) -> dict[str, Any]:
    return project({"id": run.id, "status": "cancel_requested", "message": CANCEL_MESSAGE}, CANCELLED)
