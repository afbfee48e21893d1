"""Pipelines and their runs: flat camelCase bodies, outside the v1 envelope."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from . import run_views
from .calls import Call, Route
from .listing import walk as walk_shelf
from .paging import cut_page
from .pipeline_runs import PipelineRun
from .pipelines import Pipeline
from .reading import instant, json_object, not_found, object_field, text
from .replies import Answer, Refusal, invalid
from .run_views import log_lines

READ, RUN = "pipelines:read", "pipelines:run"
STATUSES = ("queued", "running", "succeeded", "failed", "canceled")
MAX_VARIABLES = 100
_CURSOR = re.compile(r"crs_(\w+)_(\d{4,9})", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _pipeline(call: Call) -> Pipeline:
    pipeline = call.state.pipelines.get(call.params["id"])
    if pipeline is None:
        raise not_found("pipeline", call.params["id"])
    return pipeline


def _run(call: Call) -> PipelineRun:
    run = call.state.runs.get(call.params["id"])
    if run is None:
        raise not_found("run", call.params["id"])
    return run


def list_pipelines(call: Call) -> Answer:
    query = call.query
    project, folder = query.filter("projectId"), query.filter("folderId")
    search, status = query.filter("search"), query.filter("status")
    rows = [
        run_views.pipeline(each, run_views.PIPELINE_ROW)
        for each in call.state.pipelines.values()
        if project in (None, each.project_id)
        and folder in (None, each.folder_id)
        and status in (None, each.status)
        and (search is None or search.lower() in each.name.lower())
    ]
    return Answer(200, {"data": rows, "meta": {"total": len(rows)}})


def get_pipeline(call: Call) -> Answer:
    return Answer(200, run_views.pipeline(_pipeline(call), run_views.PIPELINE))


def run_pipeline(call: Call) -> Answer:
    state, pipeline = call.state, _pipeline(call)
    body = json_object(call.body, required=False)
    # The other dialect has another name for them; either overlooks what it does not know.
    name = "parameters" if state.switches.dialect == "vendor" else "variables"
    variables = object_field(body, name, most=MAX_VARIABLES)
    if state.switches.run_busy == "409" and state.runs.active(pipeline.id):
        raise Refusal(409, "Another run of this pipeline is active")
    run = state.start_run(
        pipeline,
        variables=variables,
        environment_id=text(body, "environmentId"),
        idempotency_key=call.idempotency_key,
    )
    return Answer(202, run_views.started_run(run), {"run_started": run.id})


def list_runs(call: Call) -> Answer:
    query, state = call.query, call.state
    pipeline_id, status = query.filter("pipelineId"), query.choice("status", STATUSES)
    since, until = query.instant("from"), query.instant("to")
    first, last = _date_range(query.one("dateRange"))

    def walk(below: int | None) -> Iterator[PipelineRun]:
        for run in walk_shelf(state, state.runs.shelf, below, status, pipeline_id):
            if run.id not in state.runs.hidden and _within(run, since, until) and _within(run, first, last):
                yield run

    rows, cursor = cut_page(
        walk,
        limit=query.limit(state.switches),
        cursor=query.one("cursor"),
        filters={name: str(query.one(name)) for name in ("pipelineId", "status", "from", "to", "dateRange")},
        now=state.now,
        switches=state.switches,
    )
    return Answer(200, {"data": [run_views.run_row(run, state) for run in rows], "meta": {"cursor": cursor}})


def _within(run: PipelineRun, since: float | None, until: float | None) -> bool:
    """Whether a run began within the bounds, both inclusive. One that is still queued did not, since its row shows
    no time at all.
    """
    if since is None and until is None:
        return True
    if run.started is None:
        return False
    return (since is None or run.started // 1 >= since // 1) and (until is None or run.started // 1 <= until // 1)


def _date_range(value: str | None) -> tuple[float | None, float | None]:
    """The bounds of `a..b`: days, both inclusive, or timestamps."""
    if value is None:
        return None, None
    first, dots, last = value.partition("..")
    if not dots:
        raise invalid("dateRange", "malformed", "dateRange must look like 2025-03-01..2025-03-27")
    return _bound(first, end=False), _bound(last, end=True)


def _bound(value: str, *, end: bool) -> float:
    if not _DAY.fullmatch(value):
        return instant(value, "dateRange")
    try:
        day = datetime.fromisoformat(value).replace(tzinfo=UTC)
        return ((day + timedelta(days=1) - timedelta(seconds=1)) if end else day).timestamp()
    except (ValueError, OverflowError):
        raise invalid("dateRange", "not_iso8601", "dateRange holds no real day") from None


def get_run(call: Call) -> Answer:
    return Answer(200, run_views.run(_run(call), call.state))


def nodes(call: Call) -> Answer:
    return Answer(200, run_views.nodes(_run(call), call.state))


def logs(call: Call) -> Answer:
    run, state, query = _run(call), call.state, call.query
    node_id, since, begin = query.filter("nodeId"), query.instant("since"), _begin(query.one("cursor"), run)
    every = log_lines(run, state.now)
    lines = [
        line
        for at, line in every[begin:]
        if node_id in (None, line["nodeId"]) and (since is None or at // 1 >= since // 1)
    ]
    if state.switches.run_logs == "url":
        content = f"https://logs.planasonix.invalid/{run.id}.txt?signature=0123456789abcdef"
    else:
        content = "".join(f"{line['ts']} {line['level']} {line['nodeId']} {line['message']}\n" for line in lines)
    if state.switches.run_logs != "lines":
        return Answer(200, content=content.encode(), content_type="text/plain; charset=utf-8")
    return Answer(200, {"runId": run.id, "lines": lines, "nextCursor": f"crs_{run.id}_{len(every):04}"})


def _begin(cursor: str | None, run: PipelineRun) -> int:
    """How many lines lie before the cursor."""
    if cursor is None:
        return 0
    found = _CURSOR.fullmatch(cursor)
    if found is None or found[1] != run.id:
        raise invalid("cursor", "invalid", "The cursor is malformed or belongs to another run")
    return int(found[2])


def cancel(call: Call) -> Answer:
    run, state = _run(call), call.state
    if run.is_terminal:
        raise Refusal(int(state.switches.ended_run_cancel), "The run has ended")
    seconds = run.plan.cancel_seconds
    stopped = state.runs.cancel(
        run,
        state.now,
        seconds=state.switches.cancel_seconds if seconds is None else seconds,
        outcome=run.plan.cancel_outcome or state.switches.cancel_outcome,
    )
    return Answer(200, run_views.cancelled(run), {"run_cancelled": run.id} if stopped else {})


ROUTES = [
    Route("GET", "/api/pipelines", "pipelines.list", READ, list_pipelines),
    Route("GET", "/api/pipelines/{id}", "pipelines.get", READ, get_pipeline),
    Route("POST", "/api/pipelines/{id}/run", "pipelines.run", RUN, run_pipeline),
    Route("GET", "/api/runs", "runs.list", READ, list_runs),
    Route("GET", "/api/runs/{id}", "runs.get", READ, get_run),
    Route("GET", "/api/runs/{id}/nodes", "runs.nodes", READ, nodes),
    Route("GET", "/api/runs/{id}/logs", "runs.logs", READ, logs),
    Route("DELETE", "/api/runs/{id}", "runs.cancel", RUN, cancel),
]
