"""The flat bodies that the vendor's own Airflow package expects, for clients that have to read both."""

from __future__ import annotations

from typing import Any

from .replies import Answer

_WORDS = {"succeeded": "completed"}


def vendor(operation: str, answer: Answer) -> Answer:
    """The same answer in the flat dialect: `job_id`, `completed`, `{jobs, total}`, `streams`, errors as plain text."""
    body = answer.body
    if not isinstance(body, dict) or operation.startswith(("connections.list", "webhooks.")):
        return answer
    translate = _TRANSLATIONS.get(operation)
    if "error" in body and isinstance(body["error"], dict):
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


_TRANSLATIONS = {
    "connections.sync": lambda body: _job(body["data"]["job"]),
    "connections.backfill": lambda body: _backfill(body["data"]["backfill"]),
    "jobs.get": lambda body: _job(body["data"]),
    "jobs.list": _page,
    "jobs.results": _results,
    "jobs.cancel": lambda body: _job(body["data"]),
    "backfills.get": lambda body: _backfill(body["data"]),
}
