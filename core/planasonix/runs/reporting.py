"""The one readable message about a run (G5): what failed, table by table, why, and where to look."""

from __future__ import annotations

from planasonix.errors import RunCancelledError, RunFailedError
from planasonix.runs.nodes import NodeOutcome
from planasonix.runs.outcome import Outcome, TableOutcome
from planasonix.runs.target import target_text

_TABLES_SHOWN = 20


def headline(outcome: Outcome) -> str:
    """One line: what ended how, after how long, with how many rows."""
    took = "" if outcome.duration_seconds is None else f" after {duration(outcome.duration_seconds)}"
    rows = "" if outcome.rows_loaded is None else f", {outcome.rows_loaded:,} rows loaded"
    word = outcome.status if outcome.api_status == outcome.status else f"{outcome.status} ({outcome.api_status})"
    if outcome.succeeded:
        word = "succeeded"
    target = target_text(outcome.kind, outcome.target_id)
    return f"Planasonix {outcome.kind} {outcome.id} of {target} {word}{took}{rows}."


def told(outcome: Outcome) -> tuple[str, str]:
    """The level, `info` or `warning`, and the text for a log: one line, and the whole story where a run that ended well
    has warnings. That a table does not exist is no more than a warning. A failed one is told by its error.
    """
    if outcome.succeeded and outcome.warnings:
        return "warning", report(outcome)
    return "info" if outcome.succeeded else "warning", headline(outcome)


def report(outcome: Outcome) -> str:
    """The whole story in a few lines, failed tables first. Holds no secret: only what the API says of the run."""
    lines = [headline(outcome)]
    if outcome.window_start and outcome.window_end:
        lines.append(f"  Window: [{outcome.window_start}, {outcome.window_end})")
    if outcome.error_code or outcome.error_message:
        lines.append("  Error: " + ": ".join(part for part in (outcome.error_code, outcome.error_message) if part))
    elif outcome.status == "failed":
        lines.append(f"  Error: the API gave none; its status is {outcome.api_status!r}")
    lines += _table_lines(outcome.tables)
    lines += [_node_line(node) for node in outcome.nodes]
    lines += [f"  Warning: {w.code + ': ' if w.code else ''}{w.message}" for w in outcome.warnings]
    if not outcome.owned:
        lines.append("  This run was not started here: it was only waited for.")
    if outcome.link:
        lines.append(f"  Link: {outcome.link}")
    return "\n".join(lines)


def raise_for_failure(outcome: Outcome) -> None:
    """Raise `RunFailedError` or `RunCancelledError` with the report, unless the run succeeded."""
    if outcome.succeeded:
        return
    error = RunCancelledError if outcome.status == "cancelled" else RunFailedError
    raise error(
        report(outcome), run_id=outcome.id, kind=outcome.kind, outcome_data=outcome.to_dict(), hint=_what_to_do(outcome)
    )


def _what_to_do(outcome: Outcome) -> str:
    if outcome.status == "cancelled":
        return f"Somebody cancelled this {outcome.kind}: it is not started again until somebody asks for it anew."
    where = "the link shows" if outcome.link else "Planasonix shows"
    said = "what the error names" if outcome.error_code or outcome.error_message else f"what {where} of it"
    return f"Mend {said}, then try again: a new {outcome.kind} starts."


def _table_lines(tables: tuple[TableOutcome, ...]) -> list[str]:
    if not tables:
        return []
    counts = [
        f"{n} {state.replace('_', ' ')}"
        for state in ("failed", "loaded", "no_change", "unknown")
        if (n := _count(tables, state))
    ]
    lines = [f"  Tables: {', '.join(counts)}"]
    order = sorted(tables, key=lambda table: (table.state != "failed", table.name))
    width = max(len(table.name) for table in order[:_TABLES_SHOWN])
    for table in order[:_TABLES_SHOWN]:
        rows = "" if table.rows_loaded is None else f"  {table.rows_loaded:,} rows"
        lines.append(f"    {table.name:<{width}}  {table.state.replace('_', ' ')}{rows}")
    if len(order) > _TABLES_SHOWN:
        lines.append(f"    … and {len(order) - _TABLES_SHOWN} more")
    return lines


def _node_line(node: NodeOutcome) -> str:
    rows = "".join(
        f"  {count:,} rows {way}" for way, count in (("in", node.rows_in), ("out", node.rows_out)) if count is not None
    )
    kind = f" ({node.type})" if node.type else ""
    why = f": {node.error_message}" if node.error_message else ""
    return f"  Node {node.node_id}{kind}  {node.status or 'unknown'}{rows}{why}"


def _count(tables: tuple[TableOutcome, ...], state: str) -> int:
    return sum(table.state == state for table in tables)


def duration(seconds: float) -> str:
    """Seconds, for people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
