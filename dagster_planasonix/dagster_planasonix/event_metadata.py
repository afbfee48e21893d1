"""What an event says of the run that it comes from: the same names on materializations, observations and failures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from planasonix.runs import Outcome, RunWarning, TableOutcome

ROW_COUNT = "dagster/row_count"
PARTITION_ROW_COUNT = "dagster/partition_row_count"
"""Of a window: Dagster adds these up over partitions, and takes `dagster/row_count` as the present size of a table."""

WINDOW_ROWS = "planasonix/rows_loaded_in_window"
STATE = "planasonix/table_state"
CHECKSUM = "planasonix/checksum"
LOADED_BEFORE = "planasonix/loaded_in_an_earlier_try"
"""On what a retry or re-execution tells again: the job is the one of before, and nothing was loaded for this event."""

_SHOWN = 50
"""How many job ids, warnings or tables one event names: Dagster stores it again for each table and partition."""


def run_metadata(outcome: Outcome) -> dict[str, Any]:
    """Of the job or backfill as a whole: ids, link, window, duration, warnings. What is not known is left out.

    Times are texts in RFC 3339, UTC; a window is half-open. The link is there if the workspace has a
    `job_url_template`. Source of the fields: facts §1.1 (job, backfill, results).
    """
    named = {
        f"planasonix/{outcome.kind}_id": outcome.id,
        "planasonix/connection_id": outcome.connection_id,
        "planasonix/status": outcome.api_status or outcome.status,
        "planasonix/window_start": outcome.window_start,
        "planasonix/window_end": outcome.window_end,
        "planasonix/finished_at": outcome.finished_at,
        "planasonix/duration_seconds": outcome.duration_seconds,
        "planasonix/error_code": outcome.error_code,
    }
    metadata: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if outcome.link:
        metadata[f"planasonix/{outcome.kind}_url"] = dg.MetadataValue.url(outcome.link)
    if outcome.job_ids and outcome.kind != "job":
        metadata["planasonix/job_ids"] = list(outcome.job_ids[:_SHOWN])
    if outcome.warnings:
        metadata["planasonix/warnings"] = warnings_shown(outcome.warnings)
    if not outcome.owned:
        metadata["planasonix/started_elsewhere"] = True
    return metadata


def table_metadata(table: TableOutcome, outcome: Outcome, *, rows: str | None = None) -> dict[str, Any]:
    """Of one table of it. `rows` is the name under which its count is given; left out, the kind of run tells.

    A table without changes has loaded no rows; where the API gave no count, there is none here.
    """
    name = rows or (PARTITION_ROW_COUNT if outcome.kind == "backfill" else ROW_COUNT)
    count = rows_of(table)
    metadata: dict[str, Any] = {"dagster/table_name": table.name, STATE: table.state}
    if count is not None and table.state != "failed":
        metadata[name] = count
    if table.checksum:
        metadata[CHECKSUM] = table.checksum
    return metadata | run_metadata(outcome)


def rows_of(table: TableOutcome) -> int | None:
    """How many rows the run loaded into the table; None where nobody knows."""
    return 0 if table.state == "no_change" else table.rows_loaded


def warnings_shown(warnings: Iterable[RunWarning]) -> dg.JsonMetadataValue:
    """Warnings for the UI; at most so many as one event should hold."""
    listed = [{"code": each.code, "message": each.message} for each in warnings]
    more = len(listed) - _SHOWN
    return dg.MetadataValue.json(listed[:_SHOWN] + ([{"message": f"… and {more} more"}] if more > 0 else []))


def names_shown(names: Iterable[str]) -> list[str]:
    """Names for the UI; at most so many as one event should hold."""
    listed = list(names)
    more = len(listed) - _SHOWN
    return listed[:_SHOWN] + ([f"… and {more} more"] if more > 0 else [])
