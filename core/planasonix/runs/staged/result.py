"""What became of a staged backfill: one object, and its report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from planasonix.errors import RunCancelledError, RunFailedError
from planasonix.runs.outcome import RunWarning, TableOutcome, TableState
from planasonix.runs.staged.steps import BookFailed, read_entry
from planasonix.runs.staged.wish import HEADER, BookSteps, Header, ReadEntry, StagedBackfill, StageEntry

StageState = Literal["done", "failed", "cancelled", "unknown", "active", "not_started"]
StagedStatus = Literal["succeeded", "failed", "cancelled", "skipped", "unfinished"]
_BAD: tuple[StageState, ...] = ("failed", "cancelled", "unknown")
_SHOWN = 10
_WORST_FIRST: tuple[TableState, ...] = ("failed", "unknown", "loaded", "no_change")


@dataclass(frozen=True)
class StageOutcome:
    """One stage. `id` is its backfill's, `api_status` the API's word for how that ended. Times are RFC 3339 in UTC.

    `unknown`: its start was sent, and nobody can say yet whether that made a backfill.
    """

    name: str
    start_at: str
    end_at: str
    state: StageState
    id: str | None = None
    api_status: str | None = None
    generation: int = 0
    rows_loaded: int | None = None
    finished_at: str | None = None
    duration_seconds: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    warnings: tuple[RunWarning, ...] = ()
    link: str | None = None


@dataclass(frozen=True)
class StagedOutcome:
    """How a staged backfill ended: `succeeded`, `failed`, `cancelled`, `skipped` (the connection was busy, and
    `if_running="skip"`), or `unfinished` where stages still run or are still to start.

    `tables` and `rows_loaded` add up what the ended stages report, those of earlier attempts included.
    """

    connection_id: str
    status: StagedStatus
    window_start: str
    window_end: str
    stages: tuple[StageOutcome, ...]
    tables: tuple[TableOutcome, ...] = ()
    rows_loaded: int | None = None

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"

    def count(self, state: StageState) -> int:
        return sum(stage.state == state for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        data = asdict(self)
        data["stages"] = [{**stage, "warnings": list(stage["warnings"])} for stage in data["stages"]]
        data["tables"] = list(data["tables"])
        return data


def read_outcome(asked: StagedBackfill, intent: str) -> BookSteps[StagedOutcome]:
    """What the book tells of the wish `intent`. Reads every stage's entry and asks nothing of the API."""
    try:
        stored: dict[str, Any] | None = yield ReadEntry(HEADER)
        header = None if stored is None else Header.from_dict(stored)
        entries: list[StageEntry | None] = []
        for stage in asked.stages:
            entries.append((yield from read_entry(stage.name)))  # noqa: PERF401 - no comprehension can yield
    except BookFailed as failure:
        raise failure.error from None
    return _outcome(asked, intent, header, entries)


def _outcome(
    asked: StagedBackfill, intent: str, header: Header | None, entries: list[StageEntry | None]
) -> StagedOutcome:
    epoch = None if header is None else header.epoch
    stages: list[StageOutcome] = []
    tables: dict[str, TableOutcome] = {}
    for number, (stage, entry) in enumerate(zip(asked.stages, entries, strict=True)):
        window = (stage.name, _text(stage.start_at), _text(stage.end_at))
        digest = asked.digests[number]
        counts = entry is not None and (
            (entry.wish, entry.digest) == (intent, digest)
            or (entry.succeeded and (entry.epoch, entry.digest) == (epoch, digest))
        )
        if entry is None or not counts:
            stages.append(StageOutcome(*window, "not_started"))
            continue
        stages.append(_stage_outcome(window, entry))
        _add_tables(tables, (entry.outcome or {}).get("tables") or ())
    skipped = header is not None and (header.intent, header.outcome) == (intent, "skipped")
    rows = [stage.rows_loaded for stage in stages if stage.rows_loaded is not None]
    return StagedOutcome(
        connection_id=asked.request.connection_id,
        status=_status(stages, skipped=skipped),
        window_start=_text(min(stage.start_at for stage in asked.stages)),
        window_end=_text(max(stage.end_at for stage in asked.stages)),
        stages=tuple(stages),
        tables=tuple(tables[name] for name in sorted(tables)),
        rows_loaded=sum(rows) if rows else None,
    )


def _stage_outcome(window: tuple[str, str, str], entry: StageEntry) -> StageOutcome:
    told, record = entry.outcome, entry.record
    lost = record.run_id is None and record.sent_at is not None
    if told is None:
        state: StageState = "unknown" if lost else "not_started" if record.run_id is None else "active"
        return StageOutcome(*window, state, id=record.run_id)
    states: dict[str, StageState] = {"succeeded": "done", "cancelled": "cancelled"}
    return StageOutcome(
        *window,
        "unknown" if lost else states.get(told["status"], "failed"),
        id=told.get("id"),
        api_status=told.get("api_status"),
        generation=told.get("generation") or 0,
        rows_loaded=told.get("rows_loaded"),
        finished_at=told.get("finished_at"),
        duration_seconds=told.get("duration_seconds"),
        error_code=told.get("error_code"),
        error_message=told.get("error_message"),
        warnings=tuple(RunWarning(**warning) for warning in told.get("warnings") or ()),
        link=told.get("link"),
    )


def _status(stages: list[StageOutcome], *, skipped: bool) -> StagedStatus:
    states = {stage.state for stage in stages}
    if states == {"done"}:
        return "succeeded"
    if "cancelled" in states:
        return "cancelled"
    if states & {"failed", "unknown"}:
        return "failed"
    return "skipped" if skipped else "unfinished"


def _add_tables(tables: dict[str, TableOutcome], more: Iterable[dict[str, Any]]) -> None:
    for data in more:
        table = TableOutcome(data["name"], data["state"], data["rows_loaded"], reported=data.get("reported", True))
        before = tables.get(table.name)
        if before is not None:
            counts = [each.rows_loaded for each in (before, table) if each.rows_loaded is not None]
            state = _worse(before.state, table.state)
            reported = before.reported or table.reported
            table = TableOutcome(table.name, state, sum(counts) if counts else None, reported=reported)
        tables[table.name] = table


def _worse(one: TableState, other: TableState) -> TableState:
    return one if _WORST_FIRST.index(one) <= _WORST_FIRST.index(other) else other


def report_stages(outcome: StagedOutcome) -> str:
    """The whole story in a few lines, failed stages first."""
    total = len(outcome.stages)
    counts = [f"{n} {state.replace('_', ' ')}" for state in get_args(StageState) if (n := outcome.count(state))]
    rows = "" if outcome.rows_loaded is None else f"; {outcome.rows_loaded:,} rows loaded"
    lines = [
        f"Planasonix backfill of connection {outcome.connection_id} in {total} stages {outcome.status}: "
        f"{', '.join(counts)}{rows}.",
        f"  Window: [{outcome.window_start}, {outcome.window_end})",
    ]
    if outcome.status == "skipped":
        lines.append("  The connection was busy, and if_running is 'skip'.")
    bad = [stage for stage in outcome.stages if stage.state in _BAD]
    for stage in bad[:_SHOWN]:
        lines.append(f"  [{stage.start_at}, {stage.end_at}) {stage.state}: {_why(stage)}")
        if stage.link:
            lines.append(f"    Link: {stage.link}")
    if len(bad) > _SHOWN:
        lines.append(f"  … and {len(bad) - _SHOWN} more")
    if broken := [table.name for table in outcome.tables if table.state == "failed"]:
        more = f" and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        lines.append(f"  Tables that failed in a stage: {', '.join(broken[:_SHOWN])}{more}")
    warned: dict[RunWarning, int] = {}
    for warning in (warning for stage in outcome.stages for warning in stage.warnings):
        warned[warning] = warned.get(warning, 0) + 1
    for warning, times in list(warned.items())[:_SHOWN]:
        often = f" (in {times} stages)" if times > 1 else ""
        lines.append(f"  Warning: {warning.code + ': ' if warning.code else ''}{warning.message}{often}")
    if len(warned) > _SHOWN:
        lines.append(f"  … and {len(warned) - _SHOWN} more warnings")
    if not outcome.succeeded:
        missing = total - outcome.count("done")
        those = "the stage that is" if missing == 1 else f"the {missing} stages that are"
        lines.append(f"  A retry or a clear starts only {those} not done.")
    return "\n".join(lines)


def raise_for_stages(outcome: StagedOutcome) -> None:
    """Raise `RunCancelledError` where a stage was cancelled, `RunFailedError` where not all are loaded, with the
    report. What was skipped is for the caller to tell.
    """
    if outcome.status in ("succeeded", "skipped"):
        return
    first = next((stage for stage in outcome.stages if stage.state == outcome.status), None)
    first = first or next(stage for stage in outcome.stages if stage.state != "done")
    error = RunCancelledError if outcome.status == "cancelled" else RunFailedError
    raise error(
        report_stages(outcome),
        run_id=first.id or "",
        kind="backfill",
        status=first.api_status,
        outcome_data=outcome.to_dict(),
    )


def _why(stage: StageOutcome) -> str:
    if stage.state == "unknown":
        lost = stage.error_message or "the answer to its start was lost"
        return f"{lost}. Look at the connection's backfills of this window"
    told = ": ".join(part for part in (stage.error_code, stage.error_message) if part)
    told = told or f"the API gave no error; its status is {stage.api_status!r}"
    return f"backfill {stage.id}: {told}" if stage.id else told


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
