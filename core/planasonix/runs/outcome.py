"""What became of a run: one object from which every plugin makes its native metadata (G5, G7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from planasonix.errors import WaitTimeoutError
from planasonix.runs.backfill_jobs import bad_ones, not_whole, read_silent_jobs, sentence_on
from planasonix.runs.effects import Get, RunView, Sleep, Steps
from planasonix.runs.handle import RunHandle
from planasonix.runs.identity import is_another, not_found
from planasonix.runs.job_results import Deadline, read_results
from planasonix.runs.nodes import NodeOutcome, read_nodes
from planasonix.runs.shown import duration_seconds, moment, names, plus, text
from planasonix.runs.target import shown_target
from planasonix.watch.protocols import ENDED_PHASES

TableState = Literal["loaded", "no_change", "failed", "unknown"]
_FAILED_TABLE_WORDS = frozenset({"failed", "error", "errored", "partial", "timeout", "cancelled", "canceled"})
_READS_AT_MOST = 15
_PAUSE_SECONDS = 2.0
_ONLY_OF_RUNS = ("pipeline_id", "nodes", "rows_read")
_NOT_OF_RUNS = ("connection_id",)


@dataclass(frozen=True)
class TableOutcome:
    """One table: `rows_loaded` is None where the API gave no count. `reported` is False for an expected table that the
    results do not name: its state follows from how the run ended.
    """

    name: str
    state: TableState
    rows_loaded: int | None = None
    checksum: str | None = None
    reported: bool = True


@dataclass(frozen=True)
class RunWarning:
    """A warning of the API: `code` may be missing."""

    code: str | None
    message: str


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `status` is the phase (`succeeded`, `failed`, `cancelled`), `api_status` the API's own word.

    `connection_id` is None for the run of a pipeline; `pipeline_id`, `nodes`, `rows_read` are only for one, and its
    `rows_loaded` are the rows that it wrote.

    Times are RFC 3339 in UTC, durations in seconds. `link` is None without a `job_url_template`.
    """

    kind: str
    id: str
    connection_id: str | None
    status: str
    api_status: str
    tables: tuple[TableOutcome, ...] = ()
    warnings: tuple[RunWarning, ...] = ()
    rows_loaded: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    duration_seconds: float | None = None
    window_start: str | None = None
    window_end: str | None = None
    job_ids: tuple[str, ...] = ()
    generation: int = 0
    owned: bool = True
    reattached: bool = False
    link: str | None = None
    pipeline_id: str | None = None
    nodes: tuple[NodeOutcome, ...] = ()
    rows_read: int | None = None

    @property
    def target_id(self) -> str:
        """The connection of a job or backfill, the pipeline of a `run`."""
        return str(self.pipeline_id if self.kind == "run" else self.connection_id)

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the return shape of every plugin. A run has `pipeline_id` in the place of `connection_id`, and
        `nodes` and `rows_read` besides.
        """
        data = asdict(self)
        for name in ("tables", "warnings", "job_ids", "nodes"):
            data[name] = list(data[name])
        for name in _NOT_OF_RUNS if self.kind == "run" else _ONLY_OF_RUNS:
            del data[name]
        return data


def fetch_outcome(
    handle: RunHandle,
    *,
    expected_tables: Iterable[str] = (),
    job_url_template: str | None = None,
    ended: RunView | None = None,
    seconds: float | None = None,
    read_before: MutableMapping[str, Any] | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Steps[Outcome]:
    """Read the ended run and its results, and put them into one object. `ended`: the run as a GET has just shown it.

    `seconds`: no second job is asked for its results or its end after so long, by the clock `now`; what is missing
    then is told as a warning, `results_not_read`. `read_before`: results by job id that an earlier call has read. They
    are not read again, and what is read now is added: so calls with a time limit go on where the last one stopped.

    Raises what reading the run raises (`NotFoundError` also where its id is another connection's or pipeline's now),
    and `WaitTimeoutError` when the API goes on showing it as not ended.
    """
    deadline = Deadline(seconds, now)
    run = (yield from _read_ended(handle)) if ended is None else ended
    if handle.kind == "run":
        nodes = yield from read_nodes(handle.id)
        outcome = build_outcome(handle, run, (), nodes=nodes or (), job_url_template=job_url_template)
        if nodes is not None:
            return outcome
        return replace(outcome, warnings=(RunWarning("nodes_not_read", "the states of its nodes could not be read"),))
    job_ids = (handle.id,) if handle.kind == "job" else tuple(getattr(run, "job_ids", None) or ())
    parts, unread = yield from read_results(job_ids, deadline, read_before)
    bad, incomplete = {}, {}
    if handle.kind == "backfill":
        shown: Mapping[str, Any] = parts
        if run.phase == "succeeded":
            shown, doubtful = yield from read_silent_jobs(job_ids, parts, deadline)
            unread += [job_id for job_id in doubtful if job_id not in unread]
            bad = bad_ones(job_ids, shown)
        if run.phase != "succeeded" or bad:
            incomplete = not_whole(job_ids, parts, shown)
    outcome = build_outcome(
        handle,
        run,
        parts.values(),
        job_ids=job_ids,
        expected_tables=expected_tables,
        job_url_template=job_url_template,
        all_read=not unread,
        bad_jobs=bad,
        incomplete=incomplete,
    )
    if not unread:
        return outcome
    missing = RunWarning("results_not_read", f"no results of {len(unread)} of {len(job_ids)} jobs: {unread[0]} and on")
    return replace(outcome, warnings=(*outcome.warnings, missing))


def _read_ended(handle: RunHandle) -> Steps[RunView]:
    """The run, read until it shows the end that a wait has seen: a replica may lag behind."""
    for _ in range(_READS_AT_MOST):
        run: RunView = yield Get(handle.kind, handle.id)
        if is_another(run, handle):
            raise not_found(handle.kind, run, handle)
        if run.phase in ENDED_PHASES:
            return run
        yield Sleep(_PAUSE_SECONDS)
    raise WaitTimeoutError(
        f"Planasonix {handle.kind} {handle.id} was seen to end, and is shown as not ended since.",
        pending=[{"kind": handle.kind, "id": handle.id, "status": None}],
        hint="Look at the run in Planasonix; a retry reads it again.",
    )


def build_outcome(
    handle: RunHandle,
    run: RunView,
    results: Iterable[Any],
    *,
    job_ids: tuple[str, ...] = (),
    expected_tables: Iterable[str] = (),
    job_url_template: str | None = None,
    all_read: bool = True,
    bad_jobs: Mapping[str, str] | None = None,
    incomplete: Mapping[str, TableState] | None = None,
    nodes: tuple[NodeOutcome, ...] = (),
) -> Outcome:
    """The rules, without I/O.

    A table that the results list was loaded, unless its own status says otherwise. An expected table that they do not
    list failed if the run failed; else it had no change, or is unknown unless `all_read` results were there, or where a
    warning names it: such a table may not exist. A backfill
    with `bad_jobs` (the status of each that did not succeed) failed. `incomplete` are the states of tables that only
    some of its jobs loaded, whatever rows there are. Texts of the API are searched for anything that looks like a
    credential. Nothing is invented beyond that.
    """
    results = list(results)
    tables = _merged_tables(results)
    absent: TableState = (
        "failed" if run.phase != "succeeded" else "unknown" if bad_jobs else "no_change" if all_read else "unknown"
    )
    warnings = _warnings(results)
    for name in expected_tables:
        state = "unknown" if absent == "no_change" and any(names(w.message, name) for w in warnings) else absent
        tables.setdefault(name, TableOutcome(name, state, reported=False))
    error = getattr(run, "error", None)
    status, message = run.phase, text(getattr(error, "message", None))
    failed = [table.name for table in tables.values() if table.state == "failed"]
    if status == "succeeded" and failed:
        # A success with a failed table is none: who reads that table downstream must not go on.
        status = "failed"
        message = message or f"{len(failed)} of {len(tables)} tables failed"
    if status != "cancelled" and bad_jobs:
        status = "failed"
        message = sentence_on(bad_jobs, len(job_ids)) + (f"; {message}" if message else "")
    for name, state in (incomplete or {}).items():
        if tables[name].state != "failed":
            tables[name] = replace(tables[name], state=state)
    target_id = shown_target(run, handle.kind) or handle.target_id
    return Outcome(
        kind=handle.kind,
        id=handle.id,
        connection_id=None if handle.kind == "run" else target_id,
        status=status,
        api_status=text(str(run.status)) or "",
        tables=tuple(tables.values()),
        warnings=warnings,
        rows_loaded=_rows(run, tables.values()),
        error_code=text(getattr(error, "code", None)),
        error_message=message,
        created_at=moment(run, "created_at"),
        started_at=moment(run, "started_at"),
        finished_at=moment(run, "finished_at") or (moment(run, "updated_at") if handle.kind == "backfill" else None),
        duration_seconds=duration_seconds(run),
        window_start=moment(run, "start_at"),
        window_end=moment(run, "end_at"),
        job_ids=job_ids,
        generation=handle.generation,
        owned=handle.owned,
        reattached=handle.reattached,
        link=handle.link(job_url_template),
        pipeline_id=target_id if handle.kind == "run" else None,
        nodes=nodes,
        rows_read=getattr(getattr(run, "metrics", None), "rows_read", None) if handle.kind == "run" else None,
    )


def _merged_tables(results: list[Any]) -> dict[str, TableOutcome]:
    """One entry a table over all shards: rows add up, a checksum only survives where there is one shard."""
    merged: dict[str, TableOutcome] = {}
    for part in results:
        for table in part.tables or ():
            word = str(getattr(table, "status", None) or "").lower()
            state: TableState = "failed" if word in _FAILED_TABLE_WORDS else "loaded"
            before = merged.get(table.name)
            if before is None:
                merged[table.name] = TableOutcome(table.name, state, table.rows_loaded, table.checksum)
                continue
            merged[table.name] = TableOutcome(
                table.name,
                "failed" if "failed" in (state, before.state) else "loaded",
                plus(before.rows_loaded, table.rows_loaded),
                None,
            )
    return merged


def _warnings(results: list[Any]) -> tuple[RunWarning, ...]:
    seen: dict[RunWarning, None] = {}
    for part in results:
        for warning in part.warnings or ():
            seen[RunWarning(text(warning.code), text(warning.message) or "")] = None
    return tuple(seen)


def _rows(run: RunView, tables: Iterable[TableOutcome]) -> int | None:
    metrics = getattr(run, "metrics", None)
    names = ((metrics, "rows_loaded"), (run, "rows_processed"), (run, "rows_written"))
    for counted in (getattr(part, name, None) for part, name in names):
        if isinstance(counted, int):
            return counted
    total: int | None = None
    for table in tables:
        total = plus(total, table.rows_loaded)
    return total


def outcome_from_dict(data: Mapping[str, Any]) -> Outcome:
    """The way back from `Outcome.to_dict`."""
    known = {name: data[name] for name in Outcome.__dataclass_fields__ if name in data}
    tables: list[dict[str, Any]] = [dict(table) for table in known.get("tables") or ()]
    for table in tables:  # What was stored before there was `reported` tells it by having a count.
        table.setdefault("reported", table["state"] == "loaded" or table.get("rows_loaded") is not None)
    known["tables"] = tuple(TableOutcome(**table) for table in tables)
    known["warnings"] = tuple(RunWarning(**warning) for warning in known.get("warnings") or ())
    known["job_ids"] = tuple(known.get("job_ids") or ())
    known["nodes"] = tuple(NodeOutcome(**node) for node in known.get("nodes") or ())
    known.setdefault("connection_id", None)
    return Outcome(**known)
