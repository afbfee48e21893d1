"""What a run means to one of its tables, as plain JSON: what orchestrators keep with the table's own events."""

from __future__ import annotations

from typing import Any

from planasonix.runs.outcome import Outcome, TableOutcome
from planasonix.runs.staged.result import StagedOutcome

_SHOWN = 50
"""How many job ids or stages it names: an orchestrator stores it once for each table."""


def table_facts(outcome: Outcome | StagedOutcome, table: TableOutcome) -> dict[str, Any]:
    """The same names for each kind of run, None where nothing is known. Times are RFC 3339 in UTC, windows half-open.

    A table without changes has loaded no rows. Source of the fields: facts §1.1 (job, backfill, results).
    """
    facts: dict[str, Any] = {
        "connection_id": outcome.connection_id,
        "table": table.name,
        "state": table.state,
        "rows_loaded": 0 if table.state == "no_change" else table.rows_loaded,
        "checksum": table.checksum,
        "window_start": outcome.window_start,
        "window_end": outcome.window_end,
    }
    return facts | (run_facts(outcome) if isinstance(outcome, Outcome) else _staged_facts(outcome))


def run_facts(outcome: Outcome) -> dict[str, Any]:
    """Which run it was."""
    return {
        "kind": outcome.kind,
        "id": outcome.id,
        "job_ids": list(outcome.job_ids[:_SHOWN]),
        "generation": outcome.generation,
        "finished_at": outcome.finished_at,
        "link": outcome.link,
    }


def _staged_facts(outcome: StagedOutcome) -> dict[str, Any]:
    last = outcome.stages[-1]
    return {
        "kind": "staged_backfill",
        "id": last.id,
        "job_ids": [],
        "generation": max(stage.generation for stage in outcome.stages),
        "finished_at": max((stage.finished_at for stage in outcome.stages if stage.finished_at), default=None),
        "link": last.link,
        "stages_total": len(outcome.stages),
        "stages": [
            {"start_at": stage.start_at, "end_at": stage.end_at, "id": stage.id, "generation": stage.generation}
            for stage in outcome.stages[:_SHOWN]
        ],
    }
