"""Jobs and backfills: list, get, results, cancel."""

from __future__ import annotations

from collections.abc import Iterator

from . import views
from .backfills import Backfill
from .calls import Call, Route
from .jobs import Job
from .listing import walk as walk_shelf
from .paging import cut_page
from .reading import not_found
from .replies import Answer, Refusal

JOB_STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")
BACKFILL_STATUSES = ("queued", "running", "completed", "failed", "cancelled")


def _find(call: Call) -> Job:
    job = call.state.jobs.get(call.params["jobId"])
    if job is None:
        raise not_found("job", call.params["jobId"])
    return job


def get_job(call: Call) -> Answer:
    return Answer(200, views.job(_find(call), call.state))


def list_jobs(call: Call) -> Answer:
    query = call.query
    filters = {
        "connection_id": query.filter("connection_id"),
        "pipeline_id": query.filter("pipeline_id"),
        "type": query.filter("type"),
        "status": query.choice("status", JOB_STATUSES),
    }
    since, until = query.instant("since"), query.instant("until")
    pipeline_id, job_type = filters["pipeline_id"], filters["type"]

    def walk(below: int | None) -> Iterator[Job]:
        shelf = call.state.jobs.shelf
        rows = walk_shelf(call.state, shelf, below, filters["status"], filters["connection_id"], since, until)
        for job in rows:
            if pipeline_id is not None and job.pipeline_id != pipeline_id:
                continue
            if job_type is not None and job.type != job_type:
                continue
            if job.id not in call.state.jobs.hidden:
                yield job

    given = {name: value for name, value in filters.items() if value is not None}
    given |= {"since": str(since), "until": str(until)}
    limit = query.limit(call.state.switches)
    rows, cursor = cut_page(
        walk,
        limit=limit,
        cursor=query.one("cursor"),
        filters=given,
        now=call.state.now,
        switches=call.state.switches,
    )
    data = [views.job_row(job, call.state) for job in rows]
    return Answer(200, {"data": data, "meta": {"page": {"limit": limit, "cursor": cursor}}})


def results(call: Call) -> Answer:
    job = _find(call)
    if not job.is_terminal and call.state.switches.results_before_end == "409":
        raise Refusal(409, "The job has not reached a terminal state")
    return Answer(200, views.results(job, call.state))


def cancel(call: Call) -> Answer:
    job, state = _find(call), call.state
    seconds = job.plan.cancel_seconds
    stopped = state.jobs.cancel(
        job,
        state.now,
        seconds=state.switches.cancel_seconds if seconds is None else seconds,
        outcome=job.plan.cancel_outcome or state.switches.cancel_outcome,
    )
    return Answer(200, views.cancelled(job, state), {"job_cancelled": job.id} if stopped else {})


def get_backfill(call: Call) -> Answer:
    backfill = call.state.backfills.get(call.params["backfillId"])
    if backfill is None:
        raise not_found("backfill", call.params["backfillId"])
    return Answer(200, views.backfill(backfill, call.state))


def list_backfills(call: Call) -> Answer:
    query = call.query
    connection_id = query.filter("connection_id")
    status = query.choice("status", BACKFILL_STATUSES)

    def walk(below: int | None) -> Iterator[Backfill]:
        return walk_shelf(call.state, call.state.backfills.shelf, below, status, connection_id)

    limit = query.limit(call.state.switches)
    rows, cursor = cut_page(
        walk,
        limit=limit,
        cursor=query.one("cursor"),
        filters={"connection_id": str(connection_id), "status": str(status)},
        now=call.state.now,
        switches=call.state.switches,
    )
    data = [views.backfill_row(backfill, call.state) for backfill in rows]
    return Answer(200, {"data": data, "meta": {"page": {"limit": limit, "cursor": cursor}}})


ROUTES = [
    Route("GET", "/api/v1/jobs", "jobs.list", "pipelines:read", list_jobs),
    Route("GET", "/api/v1/jobs/{jobId}", "jobs.get", "pipelines:read", get_job),
    Route("GET", "/api/v1/jobs/{jobId}/results", "jobs.results", "pipelines:read", results),
    Route("POST", "/api/v1/jobs/{jobId}/cancel", "jobs.cancel", "pipelines:run", cancel),
    Route("GET", "/api/v1/backfills", "backfills.list", "pipelines:read", list_backfills),
    Route("GET", "/api/v1/backfills/{backfillId}", "backfills.get", "pipelines:read", get_backfill),
]
