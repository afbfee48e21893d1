"""What the demo shows: tables from plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
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


_NO_LIMIT = 10_000


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
    """The DAG run as it stands: one line a task instance, and what the sandbox has seen."""
    lines = [
        (
            task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]",
            task.state or "waiting",
            task.try_number or None,
        )
        for task in tasks
    ]
    return progress_of(f"DAG run: {state}", "task", lines, counts)


def progress_of(
    title: str, what: str, lines: Iterable[tuple[str, str, int | None]], counts: Mapping[str, Any]
) -> RenderableType:
    """What runs, one line each: its name, its state, the number of its try."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in (what, "state", "try"):
        table.add_column(heading)
    for name, state, number in lines:
        table.add_row(name, _coloured(state), str(number or ""))
    return Group(table, Text(_counted(counts), style="dim"))


def show_result(console: Console, rows: Sequence[Row], closing: Text) -> None:
    """The table of the end and the closing line. Job ids and links are never cut: they are there to be copied.

    A terminal that is too narrow for the links gets them as a list below the table, one a line, which the terminal
    itself may wrap without cutting. What is no terminal has no width: it gets one table in any case.
    """
    table = result(rows)
    needed = console.measure(table, options=console.options.update(width=_NO_LIMIT)).maximum
    if not console.is_terminal:
        wide = Console(file=console.file, width=max(console.width, needed))
        wide.print(table)
        wide.print(closing, soft_wrap=True)
        return
    if needed <= console.width:
        console.print(table)
    else:
        console.print(result(rows, links=False))
        name_width = max((len(row.task) for row in rows if row.link), default=0)
        for row in rows:
            if row.link:
                console.print(Text(f"{row.task:<{name_width}}  {row.link}"), soft_wrap=True)
    console.print(closing)


def result(rows: Iterable[Row], *, links: bool = True) -> Table:
    """The finished tasks, with or without the column of links."""
    table = Table(title="What ran", title_justify="left")
    table.add_column("task", overflow="fold")
    table.add_column("job id", no_wrap=True)
    table.add_column("status", overflow="fold")
    table.add_column("rows", justify="right")
    table.add_column("duration", justify="right")
    if links:
        table.add_column("link", no_wrap=True)
    for row in rows:
        cells: list[str | Text] = [
            row.task,
            row.job_id,
            _coloured(row.status),
            "" if row.rows is None else f"{row.rows:,}",
            "" if row.seconds is None else f"{row.seconds:.0f} s",
        ]
        table.add_row(*cells, *([row.link or ""] if links else []))
    return table


def summary(state: str, counts: Mapping[str, Any], run: str = "DAG run") -> Text:
    return Text.assemble(f"{run} ", (state, COLOURS.get(state, "")), ". ", _counted(counts))


def _counted(counts: Mapping[str, Any]) -> str:
    calls = Counter(counts["calls_by_operation"])
    by_operation = ", ".join(f"{name} {number}" for name, number in calls.most_common())
    return (
        f"The sandbox counts {counts['jobs_started']} syncs, {counts['backfills_started']} backfills, "
        f"{counts['cancels']} cancels and {counts['calls']} calls" + (f" ({by_operation})." if by_operation else ".")
    )


def _coloured(word: str) -> Text:
    return Text(word, style=COLOURS.get(word, "dim"))
