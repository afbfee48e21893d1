"""A step's events, and its one failure: what became of its runs, in the types that Dagster takes from a step.

An asset of which all is loaded gets one `MaterializeResult`: only that lets assets downstream of it start in the same
run. Of its partitions each gets an event of its own out of it, with what `add_asset_metadata` said of that partition.
Where some of its partitions are missing, those that are there get an `AssetMaterialization` each, and nothing starts
downstream. So it is with data versions, of which a result has one for all partitions: only where a step of the run
waits for the asset, or Dagster wants its output, there is a result besides, told before them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix._compat import is_awaited
from dagster_planasonix.checks import evaluations_of
from dagster_planasonix.event_metadata import LOADED_BEFORE, WINDOW_ROWS, names_shown, run_metadata
from dagster_planasonix.events import DATA_VERSION_TAG, event_of
from dagster_planasonix.partitions import PartitionWindow
from dagster_planasonix.results import TableResult, not_loaded, not_reported, table_results, uncounted
from dagster_planasonix.skips import skip_observations
from dagster_planasonix.step_tables import StepTables, requires_output, selected_checks

if TYPE_CHECKING:
    from dagster_planasonix.iterator import StepEvent
    from dagster_planasonix.staged_attempt import StagedRun
    from planasonix.runs import Outcome


class StepReport:
    """What has been told of a step so far. `on_table_failure`: see `PlanasonixWorkspace`."""

    def __init__(self, context: Any, *, on_table_failure: str, data_version_from_checksum: bool) -> None:
        self._context = context
        self._specs = selected_checks(context)
        self._warn_only = on_table_failure == "warn"
        self._data_versions = data_version_from_checksum
        self._materialized: set[dg.AssetKey] = set()
        self._problems: list[str] = []
        self._failed_tables: list[str] = []
        self._failed_partitions: list[str] = []
        self._metadata: dict[str, Any] = {}
        self._cancelled = False

    # --- events ----------------------------------------------------------------------------------------------------

    def of_run(
        self, tables: StepTables, outcome: Outcome, windows: Sequence[PartitionWindow] = ()
    ) -> Iterator[StepEvent]:
        """Of one run; `windows` are the partitions that it loaded, none for assets without."""
        results = table_results(outcome, tables.tables, tables.selected)
        # Which of its rows are whose partition's nobody knows.
        rows = WINDOW_ROWS if len(windows) > 1 else None
        for result in results:
            event = self._event(result, rows=rows)
            if isinstance(event, dg.AssetMaterialization):
                yield self._result_of(event)
            else:
                yield from _for_each(event, windows)
            checked = result if rows is None else uncounted(result)
            yield from self._checks([replace(checked, partition=window.key) for window in windows] or [checked])
        if others := not_reported(outcome, tables.tables, tables.selected):
            self._context.log.info("the run also loaded what is not selected: %s", ", ".join(names_shown(others)))
        self._judge(outcome, results, lacking=not_loaded(outcome, tables.tables, tables.selected))

    def of_partitions(
        self,
        tables: StepTables,
        outcomes: Mapping[str, Outcome],
        windows: Sequence[PartitionWindow],
        run: StagedRun,
        *,
        loaded_before: Collection[str] = (),
    ) -> Iterator[StepEvent]:
        """Of one run for each partition. `outcomes` are those that came to an end, by partition key; `loaded_before`
        are the keys of those that an earlier try of the step, or run, had loaded.
        """
        skipped = [window for window in windows if window.key not in outcomes]
        if run.skipped and skipped:
            text = f"The connection {tables.connection_id} was busy: {len(skipped)} partitions were not started."
            yield from self.of_skip(tables, "busy", text, skipped)
        results = _by_asset(tables, outcomes, windows, with_missing=not run.skipped)
        for of_asset in results.values():
            yield from self._of_asset(of_asset, len(windows), loaded_before)
            yield from self._checks(of_asset)
        self._judge_partitions(run, outcomes, [each for of_asset in results.values() for each in of_asset])

    def loaded_partitions(
        self, tables: StepTables, outcomes: Mapping[str, Outcome]
    ) -> Iterator[dg.AssetMaterialization]:
        """What is loaded of a step that comes to no end: its events are all that will be told of it."""
        for key, outcome in outcomes.items():
            for result in table_results(outcome, tables.tables, tables.selected, partition=key):
                event = self._event(result)
                if isinstance(event, dg.AssetMaterialization):
                    yield event

    def of_skip(
        self, tables: StepTables, why: str, text: str, windows: Sequence[PartitionWindow] = ()
    ) -> Iterator[dg.AssetObservation]:
        """Nothing was started: the assets stay as they are, and the run says so."""
        self._context.log.warning(text)
        yield from skip_observations(tables.selected, why, text, [window.key for window in windows])

    def _of_asset(
        self, results: Sequence[TableResult], partitions: int, loaded_before: Collection[str]
    ) -> Iterator[StepEvent]:
        events = [
            self._event(result, metadata={LOADED_BEFORE: True} if result.partition in loaded_before else None)
            for result in results
            if result.outcome.id
        ]
        whole = len(events) == partitions and all(result.is_loaded for result in results)
        if whole:
            self._materialized.add(results[0].asset.asset_key)
        key = results[0].asset.asset_key
        of_its_own = not whole or self._data_versions
        if not of_its_own or (whole and (requires_output(self._context, key) or is_awaited(self._context, key))):
            yield self._whole_result(key, events)
        if of_its_own:
            # Only an event of its own can have a data version of its own; it comes last, so that it is what counts.
            yield from events

    def _whole_result(
        self, key: dg.AssetKey, events: Iterable[dg.AssetMaterialization | dg.AssetObservation]
    ) -> dg.MaterializeResult:
        """Of all partitions; Dagster makes an event of each out of it, with the metadata put here."""
        for event in events:
            self._context.add_asset_metadata(event.metadata, asset_key=event.asset_key, partition_key=event.partition)
        return dg.MaterializeResult(asset_key=key)

    def _event(
        self, result: TableResult, *, rows: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> dg.AssetMaterialization | dg.AssetObservation:
        event = event_of(result, data_version_from_checksum=self._data_versions, rows=rows, metadata=metadata)
        if result.doubt:
            self._context.log.warning(f"{result.asset.table}: {event.description}")
        return event

    def _result_of(self, event: dg.AssetMaterialization) -> dg.MaterializeResult:
        self._materialized.add(event.asset_key)
        version = (event.tags or {}).get(DATA_VERSION_TAG)
        return dg.MaterializeResult(
            asset_key=event.asset_key,
            metadata=event.metadata,
            data_version=None if version is None else dg.DataVersion(version),
        )

    def _checks(self, results: Sequence[TableResult]) -> Iterator[StepEvent]:
        """Of one asset. A check has no partitions of its own, yet Dagster expects it for each partition of the run, and
        shows what is not evaluated as broken. So each is, and the whole comes last: the last is what Dagster shows.
        """
        for result in results:
            if result.partition is not None:
                yield from evaluations_of([result], self._specs)
        for each in evaluations_of(results, self._specs):
            yield dg.AssetCheckResult(
                passed=each.passed,
                asset_key=each.asset_key,
                check_name=each.check_name,
                metadata=each.metadata,
                severity=each.severity,
                description=each.description,
            )

    # --- the verdict -----------------------------------------------------------------------------------------------

    def _judge(self, outcome: Outcome, results: Sequence[TableResult], *, lacking: Sequence[str]) -> None:
        """`lacking` are the tables beside the selected ones that the run did not load."""
        from planasonix.runs import report

        if outcome.succeeded:
            if outcome.warnings:
                self._context.log.warning(report(outcome))
            return
        not_cancelled_sync = outcome.kind == "job" and outcome.status != "cancelled"
        if lacking and not_cancelled_sync and all(result.is_loaded for result in results):
            # A sync loads the whole connection: what failed is a table that this step was not to load.
            self._context.log.warning(
                f"All selected tables are loaded; not loaded is {', '.join(names_shown(lacking))}.\n{report(outcome)}"
            )
            return
        failed = [result.table.name for result in results if result.table.state == "failed"]
        self._failed(
            report(outcome),
            run_metadata(outcome),
            failed_tables=failed,
            cancelled=outcome.status == "cancelled",
            some_are_loaded=any(result.is_loaded for result in results),
        )

    def _judge_partitions(
        self, run: StagedRun, outcomes: Mapping[str, Outcome], results: Sequence[TableResult]
    ) -> None:
        from planasonix.runs import report_stages

        staged = run.outcome
        if staged.succeeded or (staged.status in ("skipped", "unfinished") and run.skipped):
            if any(outcome.warnings for outcome in outcomes.values()):
                self._context.log.warning(report_stages(staged))
            return
        bad = next((each for each in outcomes.values() if not each.succeeded), None)
        failed = [result for result in results if not result.is_loaded]
        self._failed(
            report_stages(staged),
            {} if bad is None else run_metadata(bad),
            failed_tables=dict.fromkeys(result.table.name for result in failed),
            failed_partitions=dict.fromkeys(str(result.partition) for result in failed),
            cancelled=staged.status == "cancelled",
            some_are_loaded=len(failed) < len(results),
        )

    def _failed(
        self,
        text: str,
        metadata: Mapping[str, Any],
        *,
        failed_tables: Iterable[str],
        failed_partitions: Iterable[str] = (),
        cancelled: bool,
        some_are_loaded: bool,
    ) -> None:
        """A run ended badly. With `on_table_failure="warn"` that fails no step as long as some of it is loaded and
        nobody cancelled it.
        """
        if self._warn_only and some_are_loaded and not cancelled:
            self._context.log.warning(text)
            return
        self._cancelled = self._cancelled or cancelled
        self._problems.append(text)
        self._failed_tables += failed_tables
        self._failed_partitions += failed_partitions
        self._metadata = {**metadata, **self._metadata}

    def finish(self, selected: Iterable[dg.AssetKey]) -> None:
        """Raise the step's one failure, if there was any; also where Dagster would take an asset for loaded that is
        not, because its output is required.
        """
        if self._problems:
            metadata = self._metadata | {"planasonix/failed_tables": names_shown(self._failed_tables)}
            if self._failed_partitions:
                metadata["planasonix/failed_partitions"] = names_shown(self._failed_partitions)
            # Who cancelled a run wants it to have ended: a retry would start it against their will.
            allow_retries = False if self._cancelled else None
            raise dg.Failure("\n\n".join(self._problems), metadata=metadata, allow_retries=allow_retries)
        for key in selected:
            if key not in self._materialized and requires_output(self._context, key):
                raise dg.Failure(
                    f"{key.to_user_string()} was not loaded, and Dagster would take it for loaded: its output is "
                    "required.\nGive the op can_subset=True, the spec skippable=True, or @dg.asset "
                    "output_required=False.",
                    allow_retries=False,
                )


def _by_asset(
    tables: StepTables, outcomes: Mapping[str, Outcome], windows: Sequence[PartitionWindow], *, with_missing: bool
) -> dict[dg.AssetKey, list[TableResult]]:
    """The results of each asset, in the order of the partitions; one that was never started is a failed one."""
    found: dict[dg.AssetKey, list[TableResult]] = {}
    for window in windows:
        outcome = outcomes.get(window.key)
        if outcome is None:
            if not with_missing:
                continue
            outcome = _not_started(tables.connection_id)
        for result in table_results(outcome, tables.tables, tables.selected, partition=window.key):
            found.setdefault(result.asset.asset_key, []).append(result)
    return found


def _not_started(connection_id: str) -> Outcome:
    from planasonix.runs import Outcome

    return Outcome("backfill", "", connection_id, "failed", "", error_message="It was not started.")


def _for_each(event: Any, windows: Sequence[PartitionWindow]) -> Iterator[Any]:
    """The observation for each partition: an asset that has partitions has no events without."""
    if not windows:
        yield event
    for window in windows:
        yield dg.AssetObservation(
            event.asset_key, description=event.description, metadata=event.metadata, partition=window.key
        )
