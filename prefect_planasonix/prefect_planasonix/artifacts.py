"""What the page of a flow run shows of a run of Planasonix: functions that make the artifacts, without any I/O.

==================================  =================================================================================
artifact (key)                      what it shows
==================================  =================================================================================
``planasonix-link-<target>``        the way to the run's page, from its start on; only where a page is known
``planasonix-progress-<target>``    one bar, updated in place
``planasonix-tables-<target>``      at the end, table by table: state, rows, checksum, warnings that name it; of the run
                                    of a pipeline its nodes, of a backfill in stages its stages
``planasonix-report-<target>``      what the table cannot show: why the run failed, its warnings, or that it loaded
                                    nothing
==================================  =================================================================================

The target is the connection, or the pipeline; so the page of an artifact in Prefect shows its history over all flow
runs.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from planasonix.errors import redact, redact_data
from planasonix.runs.reporting import duration, headline
from planasonix.runs.story import percent_of, progress_of
from planasonix.runs.target import target_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planasonix.runs import NodeOutcome, Outcome, RunHandle, RunWarning, StagedOutcome, TableOutcome
    from planasonix.watch import WatchedRun

Role = Literal["link", "progress", "tables", "report"]
ROLES: tuple[Role, ...] = ("link", "progress", "tables", "report")

_ROWS_SHOWN = 500
_WARNINGS_SHOWN = 50
_LONGEST_SLUG = 60
_WORST_FIRST = ("failed", "unknown", "loaded", "no_change")
_BAD_STAGES = ("failed", "cancelled", "unknown")


@dataclass(frozen=True)
class ArtifactToShow:
    """An artifact as plain data, without what looks like a credential.

    `data` is a list of rows for a table, a number for a progress (None: as it stands), a text for markdown. The
    description begins with `run_name`, by which the artifact of a run is found again.
    """

    role: Role
    key: str
    type: Literal["markdown", "table", "progress"]
    data: Any
    description: str


def artifact_key(role: Role, target_id: str) -> str:
    """The key of an artifact, from the id or the name of a connection or pipeline.

    Prefect allows small letters, digits and dashes. An underscore becomes a dash. Where more had to be changed, the
    digest of the whole text follows, so that two connections never share a key.

    >>> artifact_key("tables", "conn_shop_orders")
    'planasonix-tables-conn-shop-orders'
    >>> artifact_key("tables", "Shop (EU)")
    'planasonix-tables-shop-eu-d9a3e8d9'
    """
    return f"planasonix-{role}-{_slug(target_id)}"


def run_name(kind: str, run_id: str, target_id: str) -> str:
    """The run in words: what the description of each of its artifacts begins with."""
    of = f" of {target_text(kind, target_id)}" if target_id else ""
    return redact(f"Planasonix {kind} {run_id}{of}")


def link_artifact(handle: RunHandle, link: str) -> ArtifactToShow:
    """The way to the run's page."""
    name = run_name(handle.kind, handle.id, handle.target_id)
    text = re.sub(r"([\[\]])", r"\\\1", f"{handle.kind} {handle.id}")
    # Blanks and brackets would end the address in the middle.
    address = link.replace(" ", "%20").replace("(", "%28").replace(")", "%29")
    said = name + ("" if handle.owned else ", not started here: it is only waited for")
    return _artifact("link", handle.target_id, "markdown", f"[{text}]({address})", f"{said}.")


def progress_artifact(handle: RunHandle, run: WatchedRun | None) -> ArtifactToShow:
    """How far a run is that goes on; `run` is how it was seen last, None before that.

    A job tells of rows and of no percent (facts §4.2 C21): its bar stays at 0 until it ends.
    """
    name = run_name(handle.kind, handle.id, handle.target_id)
    if run is None:
        return _artifact("progress", handle.target_id, "progress", 0.0, f"{name}: started.")
    said = ", ".join([str(run.status), *progress_of(run)])
    return _artifact("progress", handle.target_id, "progress", float(percent_of(run) or 0), f"{name}: {said}.")


def ended_progress(outcome: Outcome) -> ArtifactToShow:
    """The bar of a run that has ended: full after a success, else as it stands."""
    data = 100.0 if outcome.succeeded else None
    said = run_name(outcome.kind, outcome.id, outcome.target_id) + f": {_how(outcome)}."
    return _artifact("progress", outcome.target_id, "progress", data, said)


def end_artifacts(outcome: Outcome) -> list[ArtifactToShow]:
    """The table and the report of a run that has ended, in any way. At most 500 rows, the failed ones first."""
    target, name = outcome.target_id, run_name(outcome.kind, outcome.id, outcome.target_id)
    rows = _node_rows(outcome.nodes) if outcome.kind == "run" else _table_rows(outcome.tables, outcome.warnings)
    artifacts: list[ArtifactToShow] = []
    if rows:
        artifacts.append(_artifact("tables", target, "table", rows, f"{name}: {_how(outcome)}."))
    if not rows or outcome.warnings or not outcome.succeeded:
        artifacts.append(_artifact("report", target, "markdown", _report(outcome), f"{name}: {_how(outcome)}."))
    return artifacts


def stage_artifacts(outcome: StagedOutcome) -> list[ArtifactToShow]:
    """The bar, the stages and the report of a backfill in stages, ended or not. At most 500 rows."""
    target, total = outcome.connection_id, len(outcome.stages)
    done = outcome.count("done")
    name = stages_name(outcome)
    said = f"{name}: {outcome.status}, {done} of {total} stages done."
    warned = [warning for stage in outcome.stages for warning in stage.warnings]
    artifacts = [
        _artifact("progress", target, "progress", round(100.0 * done / total, 1), said),
        _artifact("tables", target, "table", _stage_rows(outcome), said),
    ]
    if warned or not outcome.succeeded:
        artifacts.append(_artifact("report", target, "markdown", _staged_report(outcome, warned), said))
    return artifacts


def stages_name(outcome: StagedOutcome) -> str:
    """A backfill in stages in words; it has no id of its own, its window tells it from others."""
    target = target_text("backfill", outcome.connection_id)
    return redact(f"Planasonix backfill [{outcome.window_start}, {outcome.window_end}) of {target}")


def _artifact(
    role: Role, target_id: str, type: Literal["markdown", "table", "progress"], data: Any, description: str
) -> ArtifactToShow:
    return ArtifactToShow(role, artifact_key(role, target_id), type, redact_data(data), redact(description))


def _how(outcome: Outcome) -> str:
    rows = "" if outcome.rows_loaded is None else f", {outcome.rows_loaded:,} rows loaded"
    took = "" if outcome.duration_seconds is None else f" after {duration(outcome.duration_seconds)}"
    return f"{outcome.status}{took}{rows}"


def _table_rows(tables: Sequence[TableOutcome], warnings: Sequence[RunWarning]) -> list[dict[str, Any]]:
    order = sorted(tables, key=lambda table: (_WORST_FIRST.index(table.state), table.name))
    rows = [
        {
            "table": table.name,
            "status": table.state.replace("_", " "),
            "rows": 0 if table.state == "no_change" else table.rows_loaded,
            # A checksum is long: what stands behind it is out of sight.
            "warnings": "; ".join(_line(each) for each in warnings if _names(each, table.name)) or None,
            "checksum": table.checksum,
        }
        for table in order[:_ROWS_SHOWN]
    ]
    return _with_rest(rows, len(order), "table")


def _names(warning: RunWarning, table: str) -> bool:
    """Whether a warning names the table: the API gives warnings to a job, and none to a table (facts §1.1)."""
    return re.search(rf"(?<![\w.]){re.escape(table)}(?!\w)", warning.message) is not None


def _node_rows(nodes: Sequence[NodeOutcome]) -> list[dict[str, Any]]:
    order = sorted(nodes, key=lambda node: not node.failed)
    rows = [
        {
            "node": node.node_id,
            "type": node.type,
            "status": node.status or "unknown",
            "rows in": node.rows_in,
            "rows out": node.rows_out,
            "error": node.error_message,
        }
        for node in order[:_ROWS_SHOWN]
    ]
    return _with_rest(rows, len(order), "node")


def _stage_rows(outcome: StagedOutcome) -> list[dict[str, Any]]:
    # In the order of time, unless there are more than are shown: then those first that somebody has to look at.
    order = list(outcome.stages)
    if len(order) > _ROWS_SHOWN:
        order.sort(key=lambda stage: stage.state not in _BAD_STAGES)
    rows = [
        {
            "from": stage.start_at,
            "to": stage.end_at,
            "status": stage.state.replace("_", " "),
            "backfill": f"[{stage.id}]({stage.link})" if stage.id and stage.link else stage.id,
            "rows": stage.rows_loaded,
            "seconds": stage.duration_seconds,
            "warnings": len(stage.warnings) or None,
            "error": ": ".join(part for part in (stage.error_code, stage.error_message) if part) or None,
        }
        for stage in order[:_ROWS_SHOWN]
    ]
    return _with_rest(rows, len(order), "from")


def _with_rest(rows: list[dict[str, Any]], total: int, column: str) -> list[dict[str, Any]]:
    if total > len(rows):
        rows.append({**dict.fromkeys(rows[0]), column: f"… and {total - len(rows)} more"})
    return rows


def _report(outcome: Outcome) -> str:
    parts = [f"**{_plain(headline(outcome))}**"]
    if outcome.window_start and outcome.window_end:
        parts.append(f"Window: [{outcome.window_start}, {outcome.window_end})")
    if not outcome.succeeded:
        told = ": ".join(part for part in (outcome.error_code, outcome.error_message) if part)
        parts.append("Error:\n\n" + _block(told or f"the API gave none; its status is {outcome.api_status!r}"))
    failed = [table.name for table in outcome.tables if table.state == "failed"]
    if failed:
        more = f" and {len(failed) - 20} more" if len(failed) > 20 else ""
        parts.append(f"Failed tables: {', '.join(map(_code, failed[:20]))}{more}")
    if outcome.kind != "run" and not outcome.tables:
        parts.append("The results name no table.")
    if not outcome.owned:
        parts.append("This run was not started here: it was only waited for.")
    return "\n\n".join(parts + _warning_part(dict.fromkeys(outcome.warnings, 1)))


def _staged_report(outcome: StagedOutcome, warned: Iterable[RunWarning]) -> str:
    from planasonix.runs import report_stages

    times: dict[RunWarning, int] = {}
    for warning in warned:
        times[warning] = times.get(warning, 0) + 1
    return "\n\n".join([_block(report_stages(outcome)), *_warning_part(times)])


def _warning_part(times: dict[RunWarning, int]) -> list[str]:
    if not times:
        return []
    lines = [
        f"- {_code(_line(warning))}{f' (in {often} stages)' if often > 1 else ''}"
        for warning, often in list(times.items())[:_WARNINGS_SHOWN]
    ]
    if len(times) > _WARNINGS_SHOWN:
        lines.append(f"- … and {len(times) - _WARNINGS_SHOWN} more")
    return ["Warnings:\n\n" + "\n".join(lines)]


def _line(warning: RunWarning) -> str:
    return f"{warning.code}: {warning.message}" if warning.code else warning.message


def _code(text: str) -> str:
    """As code: what the API says is shown as it is, and no markdown of it comes to life."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`"


def _block(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if slug and slug == text.replace("_", "-") and "-" not in text and len(slug) <= _LONGEST_SLUG:
        return slug
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{slug[:_LONGEST_SLUG].strip('-')}-{digest}".lstrip("-")
