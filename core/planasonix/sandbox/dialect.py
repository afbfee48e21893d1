"""The flat bodies that the vendor's own Airflow package expects, for clients that have to read both."""

from __future__ import annotations

from typing import Any

from .replies import Answer

_WORDS = {"succeeded": "completed"}
# The backend knows three words for a run (facts §4.1); none of them is published for a cancelled one.
_RUN_WORDS = {"succeeded": "success", "queued": "running"}


def vendor(operation: str, answer: Answer) -> Answer:
    """The same answer in the flat dialect: `job_id`, `completed`, `{jobs, total}`, `streams`, errors as plain text; for
    pipelines and runs that of the backend: bare lists, `success`, `endedAt`, `recordsWritten`.
    """
    body = answer.body
    if not isinstance(body, dict) or operation.startswith(("connections.list", "webhooks.")):
        return answer
    translate = _TRANSLATIONS.get(operation)
    if answer.status >= 400:
        flat = _error(body["error"])
    elif translate is not None:
        flat = translate(body)
    else:
        return answer
    return Answer(answer.status, flat, answer.effect, answer.content, answer.content_type)


def _error(error: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in error.items() if name.startswith("existing_")}
    return {"error": error["message"], **kept}


def _job(job: dict[str, Any]) -> dict[str, Any]:
    flat = {"job_id": job["id"], **{name: value for name, value in job.items() if name != "id"}}
    flat["status"] = _WORDS.get(flat["status"], flat["status"])
    return flat


def _backfill(backfill: dict[str, Any]) -> dict[str, Any]:
    return {"backfill_id": backfill["id"], **{k: v for k, v in backfill.items() if k != "id"}}


def _results(body: dict[str, Any]) -> dict[str, Any]:
    data = body["data"]
    total = sum(table["rows_loaded"] for table in data["tables"])
    return {
        "job_id": data["job_id"],
        "status": _WORDS.get(data["status"], data["status"]),
        "summary": {"total_rows_synced": total},
        "streams": data["tables"],
        "warnings": data["warnings"],
    }


def _page(body: dict[str, Any]) -> dict[str, Any]:
    rows = [_job(row) for row in body["data"]]
    return {"jobs": rows, "total": len(rows), "meta": body["meta"]}


def _run(run: dict[str, Any]) -> dict[str, Any]:
    flat = {
        "id": run["id"],
        "pipelineId": run["pipelineId"],
        "status": _RUN_WORDS.get(run["status"], run["status"]),
        "startedAt": run["startedAt"],
        "endedAt": run["finishedAt"],
    }
    if "metrics" in run:
        flat["recordsWritten"] = run["metrics"]["rowsWritten"]
        error = run["error"]
        flat["errorMessage"] = error.get("message") if isinstance(error, dict) else error
    return flat


def _pipelines(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in ("id", "name", "status")} for row in body["data"]]


_TRANSLATIONS = {
    "pipelines.list": _pipelines,
    "pipelines.run": lambda body: {"success": True, "message": "Pipeline run started", "runId": body["runId"]},
    "runs.get": _run,
    "runs.list": lambda body: {**body, "data": [_run(row) for row in body["data"]]},
    "connections.sync": lambda body: _job(body["data"]["job"]),
    "connections.backfill": lambda body: _backfill(body["data"]["backfill"]),
    "jobs.get": lambda body: _job(body["data"]),
    "jobs.list": _page,
    "jobs.results": _results,
    "jobs.cancel": lambda body: _job(body["data"]),
    "backfills.get": lambda body: _backfill(body["data"]),
}
