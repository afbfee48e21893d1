"""The checks of a table: whether it was loaded, what the API warned of, and whether the number of rows is plausible.

They are evaluated from what the run told; none of them asks the API or the warehouse anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix.event_metadata import STATE, names_shown, rows_of, run_metadata, warnings_shown
from dagster_planasonix.results import TableResult
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from planasonix.runs import RunWarning

STATUS = "planasonix_status"
WARNINGS = "planasonix_warnings"
ROWS = "planasonix_rows"
MIN_ROWS = "planasonix/min_rows"
MAX_ROWS = "planasonix/max_rows"
_DESCRIPTIONS = {
    STATUS: "Whether the last Planasonix run loaded this table, or found nothing new in it.",
    WARNINGS: "Whether the last Planasonix run gave warnings that may be about this table.",
}


def check_specs(
    asset: dg.CoercibleToAssetKey,
    *,
    min_rows: int | None = None,
    max_rows: int | None = None,
    blocking: bool = False,
) -> list[dg.AssetCheckSpec]:
    """The checks of one table's asset: `planasonix_status`, `planasonix_warnings`, and `planasonix_rows` if bounded.

    `min_rows` and `max_rows` bound what one run loads into the table, or one run into one partition; both count as
    within. `blocking` lets a failed check fail its step, and the run, once all of the step is told: no asset downstream
    starts, and who re-executes the run loads anew. Warnings never do.
    Raises `ConfigurationError` for bounds that nothing can meet.

    >>> [spec.name for spec in check_specs("orders", min_rows=1)]
    ['planasonix_status', 'planasonix_warnings', 'planasonix_rows']
    """
    _check_bounds(min_rows, max_rows)
    specs = [
        dg.AssetCheckSpec(STATUS, asset=asset, description=_DESCRIPTIONS[STATUS], blocking=blocking),
        dg.AssetCheckSpec(WARNINGS, asset=asset, description=_DESCRIPTIONS[WARNINGS]),
    ]
    if min_rows is None and max_rows is None:
        return specs
    bounds = {name: bound for name, bound in ((MIN_ROWS, min_rows), (MAX_ROWS, max_rows)) if bound is not None}
    description = f"Whether a Planasonix run loads {_bounds_text(min_rows, max_rows)} rows into this table."
    return [
        *specs,
        dg.AssetCheckSpec(ROWS, asset=asset, description=description, blocking=blocking, metadata=bounds),
    ]


def evaluations_of(
    results: Sequence[TableResult], specs: Iterable[dg.AssetCheckSpec] | None = None
) -> list[dg.AssetCheckEvaluation]:
    """The checks of one asset, over all `results`: one result, or one for each partition that a run loaded.

    `specs` are the checks to evaluate; those of other assets or of other authors are left alone. None evaluates the
    two that need no bounds. Returns one evaluation for each: of its partition where there is one result, of the asset
    where there are several.
    """
    if not results:
        return []
    key = results[0].asset.asset_key
    wanted = check_specs(key) if specs is None else [spec for spec in specs if spec.asset_key == key]
    evaluations: list[dg.AssetCheckEvaluation] = []
    for spec in wanted:
        if spec.name == STATUS:
            evaluations.append(_status(results))
        elif spec.name == WARNINGS:
            evaluations.append(_warnings(results))
        elif spec.name == ROWS:
            evaluations.append(_rows(results, spec))
    return evaluations


def _status(results: Sequence[TableResult]) -> dg.AssetCheckEvaluation:
    failed = [result for result in results if result.table.state == "failed"]
    unknown = [result for result in results if result.table.state == "unknown"]
    ended_badly = [result for result in results if result.ended_badly]
    last = (failed or ended_badly or unknown or results)[-1]
    if failed:
        description = f"{_what(failed, results)} not loaded."
    elif ended_badly:
        description = f"The run ended as {last.outcome.api_status!r}, which is no success, though it names the table."
    elif unknown:
        description = f"Whether {_what(unknown, results)} loaded is not known: {last.why_unknown}."
    else:
        description = None
    metadata: dict[str, Any] = {STATE: last.table.state} | run_metadata(last.outcome)
    if partitions := _partitions(failed):
        metadata["planasonix/failed_partitions"] = partitions
    # In a run that did not succeed, the unknown is no mere lack of news.
    bad = bool(failed or ended_badly or any(not result.outcome.succeeded for result in unknown))
    return _evaluation(STATUS, results, not bad and not unknown, description, metadata, warn=not bad)


def _warnings(results: Sequence[TableResult]) -> dg.AssetCheckEvaluation:
    found: dict[RunWarning, None] = {}
    for result in results:
        for warning in warnings_about(result):
            found[warning] = None
    if not found:
        return _evaluation(WARNINGS, results, True, None, {}, warn=True)
    first = next(iter(found))
    described = f"{first.code + ': ' if first.code else ''}{first.message}"
    if len(found) > 1:
        described += f" (and {len(found) - 1} more)"
    metadata: dict[str, Any] = {"planasonix/warnings": warnings_shown(found)}
    return _evaluation(WARNINGS, results, False, described, metadata, warn=True)


def warnings_about(result: TableResult) -> list[RunWarning]:
    """The warnings of the run that may be about this table: the API names none, but some messages do (facts §1.1).

    A warning whose text names a table of the run by its full name is about that table; any other may be about each.
    """
    tables = {result.asset.table, *(table.name for table in result.outcome.tables)}
    about: list[RunWarning] = []
    for warning in result.outcome.warnings:
        named = {table for table in tables if "." in table and _names(warning.message, table)}
        if not named or result.asset.table in named:
            about.append(warning)
    return about


def _names(text: str, table: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(table)}(?![\w])(?!\.\w)", text) is not None


def _rows(results: Sequence[TableResult], spec: dg.AssetCheckSpec) -> dg.AssetCheckEvaluation:
    least, most = ((spec.metadata or {}).get(name) for name in (MIN_ROWS, MAX_ROWS))
    counts = [rows_of(result.table) if result.is_loaded else None for result in results]
    outside = [
        result
        for result, count in zip(results, counts, strict=True)
        if count is not None and ((least is not None and count < least) or (most is not None and count > most))
    ]
    uncounted = counts.count(None)
    if outside:
        of = "" if outside[0].partition is None else f" into {', '.join(_partitions(outside))}"
        shown = ", ".join(f"{rows_of(result.table):,}" for result in outside[:3])
        description = f"Loaded {shown} rows{of}; expected {_bounds_text(least, most)}."
    elif uncounted:
        description = f"The number of rows is not known for {uncounted} of {len(results)} loads."
    else:
        description = None
    metadata: dict[str, Any] = dict(spec.metadata or {})
    if not uncounted:
        metadata["planasonix/rows_loaded"] = sum(count or 0 for count in counts)
    return _evaluation(ROWS, results, not outside and not uncounted, description, metadata, warn=not outside)


def _evaluation(
    name: str,
    results: Sequence[TableResult],
    passed: bool,
    description: str | None,
    metadata: dict[str, Any],
    *,
    warn: bool,
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=results[0].asset.asset_key,
        check_name=name,
        passed=passed,
        description=description,
        metadata=metadata,
        severity=dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR,
        partition=results[0].partition if len(results) == 1 else None,
    )


def _what(bad: Sequence[TableResult], of: Sequence[TableResult]) -> str:
    if bad[0].partition is None:
        return "The table was" if bad[0].table.state == "failed" else "the table was"
    return f"{len(bad)} of {len(of)} partitions were"


def _partitions(results: Iterable[TableResult]) -> list[str]:
    return names_shown(result.partition for result in results if result.partition is not None)


def _bounds_text(least: int | None, most: int | None) -> str:
    if most is None:
        return f"at least {least:,}"
    return f"at most {most:,}" if least is None else f"{least:,} to {most:,}"


def _check_bounds(min_rows: object, max_rows: object) -> None:
    for field, value in (("min_rows", min_rows), ("max_rows", max_rows)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ConfigurationError(f"{field} must be a whole number of at least 0, got {value!r}.", field=field)
    if isinstance(min_rows, int) and isinstance(max_rows, int) and min_rows > max_rows:
        raise ConfigurationError(f"min_rows ({min_rows}) is more than max_rows ({max_rows}).", field="min_rows")
