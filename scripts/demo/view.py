"""What the demo shows: tables from plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scripts.airflow_local import TaskRow

COLOURS = {
    "success": "green",
    "succeeded": "green",
    "failed": "red",
    "deferred": "magenta",
    "running": "cyan",
    "up_for_retry": "yellow",
}


@dataclass(frozen=True)
class Row:
    """One finished task."""

    task: str
    job_id: str
    status: str
    rows: int | None = None
    seconds: float | None = None
    link: str | None = None

    @classmethod
    def of(cls, task_id: str, map_index: int, outcome: Mapping[str, Any]) -> Row:
        return cls(
            task_id if map_index < 0 else f"{task_id}[{map_index}]",
            outcome["id"],
            outcome["status"],
            outcome["rows_loaded"],
            outcome["duration_seconds"],
            outcome["link"],
        )


def progress(state: str, tasks: Iterable[TaskRow], counts: Mapping[str, Any]) -> RenderableType:
    """The run as it stands: one line a task instance, and what the sandbox has seen."""
    table = Table(title=f"DAG run: {state}", title_justify="left", box=None, pad_edge=False)
    for heading in ("task", "state", "try"):
        table.add_column(heading)
    for task in tasks:
        name = task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"
        table.add_row(name, _coloured(task.state or "waiting"), str(task.try_number or ""))
    return Group(table, Text(_counted(counts), style="dim"))


def result(rows: Iterable[Row]) -> Table:
    """The table of the end. Job ids and links are never cut: they are there to be copied."""
    table = Table(title="What ran", title_justify="left")
    table.add_column("task")
    table.add_column("job id", no_wrap=True)
    table.add_column("status")
    table.add_column("rows", justify="right")
    table.add_column("duration", justify="right")
    table.add_column("link", overflow="fold")
    for row in rows:
        table.add_row(
            row.task,
            row.job_id,
            _coloured(row.status),
            "" if row.rows is None else f"{row.rows:,}",
            "" if row.seconds is None else f"{row.seconds:.0f} s",
            row.link or "",
        )
    return table


def summary(state: str, counts: Mapping[str, Any]) -> Text:
    return Text.assemble("DAG run ", (state, COLOURS.get(state, "")), ". ", _counted(counts))


def _counted(counts: Mapping[str, Any]) -> str:
    calls = Counter(counts["calls_by_operation"])
    by_operation = ", ".join(f"{name} {number}" for name, number in calls.most_common())
    return (
        f"The sandbox counts {counts['jobs_started']} syncs, {counts['backfills_started']} backfills, "
        f"{counts['cancels']} cancels and {counts['calls']} calls" + (f" ({by_operation})." if by_operation else ".")
    )


def _coloured(word: str) -> Text:
    return Text(word, style=COLOURS.get(word, "dim"))
