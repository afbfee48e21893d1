"""The request of a staged backfill as a try began with it.

Each resumption of a deferred task renders the templates and parses the DAG anew. A window that moves meanwhile would
never be loaded: its last stage would always be another one.
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_planasonix.book import TaskStateBook
from planasonix.runs import BackfillRequest, Stage, StagedBackfill
from planasonix.runs.staged.windows import instant

_ENTRY = "asked"


def as_first_asked(book: TaskStateBook, attempt: str, asked: StagedBackfill) -> StagedBackfill:
    """`asked` as it was when this attempt began; the first call keeps it in the book."""
    kept = book.read(_ENTRY)
    if kept is None or kept.get("attempt") != attempt:
        request = asked.request
        kept = {
            "attempt": attempt,
            "connection_id": request.connection_id,
            "tables": None if request.tables is None else list(request.tables),
            "priority": request.priority,
            "stages": [[each.name, each.start_at.isoformat(), each.end_at.isoformat()] for each in asked.stages],
        }
        book.write(_ENTRY, kept)
        return asked
    stages = tuple(Stage(name, instant("stage", start), instant("stage", end)) for name, start, end in kept["stages"])
    request = BackfillRequest(
        kept["connection_id"],
        stages[0].start_at,
        stages[0].end_at,
        tables=None if kept["tables"] is None else tuple(kept["tables"]),
        priority=kept["priority"],
    )
    return replace(asked, request=request, stages=stages)
