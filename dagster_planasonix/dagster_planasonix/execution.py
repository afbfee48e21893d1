"""One execution of an asset's step: what is asked of Planasonix, and the events that come of it.

=======================================================  =============================================================
the selected assets of a connection                      are loaded by
=======================================================  =============================================================
have no partitions                                       one sync; it loads the whole connection, because a sync takes
                                                         no tables (facts §1.1), and only the selected are reported
the same, with a window in the run config                one backfill of that window and the selected tables
have partitions, and the run loads one of them           one backfill of its window and the selected tables
the run loads several, `partition_mode="each"`           a backfill for each, `max_active_partitions` at a time
the same, `"window"`                                     one backfill over the whole range
=======================================================  =============================================================

Connections come one after the other, in the order of the specs. What was loaded is told first; a run that ended badly
then fails the step, once, with the whole report.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix.attempt import Attempt
from dagster_planasonix.iterator import PlanasonixEventIterator, StepEvent
from dagster_planasonix.partitions import (
    PartitionMode,
    PartitionWindow,
    check_counts,
    check_mode,
    partition_windows,
    whole_window,
)
from dagster_planasonix.refusals import failing_for_good
from dagster_planasonix.run_config import PlanasonixRunConfig, window_asked_for
from dagster_planasonix.skips import busy_text, paused_text
from dagster_planasonix.step_events import StepReport
from dagster_planasonix.step_tables import StepTables, only_tables, step_tables
from dagster_planasonix.targets import tables_of
from planasonix.errors import ConfigurationError, PlanasonixError

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace
    from planasonix.runs import Outcome, RunRequest

Window = tuple[datetime, datetime]
Load = tuple[StepTables, Window | None, list[PartitionWindow]]
"""The tables of a connection, the window of its one run if it has any, and the partitions that the step loads."""


def sync_and_poll(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    workspace: PlanasonixWorkspace,
    *,
    config: PlanasonixRunConfig | None = None,
    partition_mode: PartitionMode = "each",
    max_active_partitions: int = 1,
    stop_after_failures: int | None = 3,
    priority: str | None = None,
    data_version_from_checksum: bool = False,
) -> PlanasonixEventIterator:
    """Load the tables of the step's selected assets, wait, and give the events: `yield from` them in the asset.

    `config` is the run config of an op that takes one: a window in the place of a sync. `partition_mode`: `each`
    backfills a run's partitions one by one and tells the rows of each; `window` makes one backfill over all of them,
    and nobody knows which rows are whose. With `each`, `max_active_partitions` run at a time, and after
    `stop_after_failures` that failed in a row no more are started (None: all are tried). `priority` is the API's
    ("low", "normal", "high"). `data_version_from_checksum` makes a table's checksum its data version; what the API's
    checksum covers is not published.

    Returns an iterator of `MaterializeResult`, `AssetMaterialization` (a part of an asset's partitions), observations
    and check results. Nothing is sent before it is asked for the first.

    Raises `dagster.Failure` with the report where a run ended badly (without retries where somebody cancelled it, or
    where a retry would meet the same refusal), `WaitTimeoutError` past a deadline, and the client's errors.
    `ConfigurationError` for wrong arguments, at once.

        @dg.asset(metadata={"planasonix/connection_id": "conn_shop_orders", "planasonix/table": "public.orders"})
        def orders(context: dg.AssetExecutionContext, planasonix: PlanasonixWorkspace):
            yield from planasonix.sync_and_poll(context)
    """
    check_mode(partition_mode)
    check_counts(max_active_partitions=max_active_partitions, stop_after_failures=stop_after_failures)
    step = _Step(
        context,
        workspace,
        config,
        partition_mode,
        max_active_partitions,
        stop_after_failures,
        priority,
        data_version_from_checksum,
    )
    return PlanasonixEventIterator(
        step.events(),
        tables=lambda: {k: t for k, t in tables_of(context).items() if k in context.selected_asset_keys},
        client=workspace.get_client,
        log=context.log,
    )


class _Step:
    """What a step was asked for, and what it has come to."""

    def __init__(
        self,
        context: Any,
        workspace: PlanasonixWorkspace,
        config: PlanasonixRunConfig | None,
        partition_mode: PartitionMode,
        max_active_partitions: int,
        stop_after_failures: int | None,
        priority: str | None,
        data_version_from_checksum: bool,
    ) -> None:
        self._context = context
        self._workspace = workspace
        self._config = config
        self._mode = partition_mode
        self._max_active = max_active_partitions
        self._stop_after_failures = stop_after_failures
        self._priority = priority
        self._data_versions = data_version_from_checksum
        self._ended: dict[str, Outcome] = {}
        self._attempts: list[Attempt] = []

    def events(self) -> Iterator[StepEvent]:
        with failing_for_good():
            loads = self._loads()
            self._report = StepReport(
                self._context,
                on_table_failure=self._workspace.on_table_failure,
                data_version_from_checksum=self._data_versions,
            )
            for tables, window, partitions in loads:
                yield from self._of_connection(tables, window, partitions)
        self._report.finish(key for tables, _, _ in loads for key in tables.selected)
        for attempt in self._attempts:
            attempt.note_told()

    def _loads(self) -> list[Load]:
        """What is to be loaded, all of it checked before anything is sent."""
        connections = step_tables(self._context)
        window = window_asked_for(self._config)
        partitions = partition_windows(self._context, [key for each in connections for key in each.selected])
        if partitions is None:
            if self._config is not None and self._config.tables is not None:
                connections = only_tables(connections, self._config.tables)
            return [(tables, window, []) for tables in connections]
        if window is not None:
            raise ConfigurationError(
                "start_at and end_at are for assets without partitions: a partition is a window.",
                field="start_at",
                hint="Launch the partitions of that time, or a backfill of them.",
            )
        if self._mode == "window":
            window = whole_window(partitions)
        elif len(partitions) == 1:
            window = partitions[0].start_at, partitions[0].end_at
        return [(tables, window, partitions) for tables in connections]

    def _of_connection(
        self, tables: StepTables, window: Window | None, partitions: list[PartitionWindow]
    ) -> Iterator[StepEvent]:
        from planasonix.runs import BackfillRequest, SyncRequest

        attempt = Attempt(
            self._context,
            self._workspace,
            asset_keys=tables.selected,
            connection_name=tables.connection_name,
        )
        self._attempts.append(attempt)
        connection_id, names, priority = tables.connection_id, tables.selected_tables, self._priority
        try:
            if window is not None:
                request = BackfillRequest(connection_id, *window, tables=names, priority=priority)
                yield from self._of_run(attempt, tables, request, partitions)
            elif not partitions:
                request = SyncRequest(connection_id, priority=priority, expected_tables=names)
                yield from self._of_run(attempt, tables, request, partitions)
            else:
                yield from self._of_stages(attempt, tables, partitions)
        except PlanasonixError as error:
            text = paused_text(error, connection_id, on_paused=self._workspace.on_paused)
            left = [each for each in partitions if each.key not in self._ended]
            yield from self._report.of_skip(tables, "paused", text, left)

    def _of_run(
        self, attempt: Attempt, tables: StepTables, request: RunRequest, partitions: list[PartitionWindow]
    ) -> Iterator[StepEvent]:
        outcome = attempt.run(request)
        if outcome is None:
            yield from self._of_busy(tables, partitions)
        else:
            yield from self._report.of_run(tables, outcome, partitions)

    def _of_busy(self, tables: StepTables, partitions: list[PartitionWindow]) -> Iterator[StepEvent]:
        yield from self._report.of_skip(tables, "busy", busy_text(tables.connection_id), partitions)

    def _of_stages(
        self, attempt: Attempt, tables: StepTables, partitions: list[PartitionWindow]
    ) -> Iterator[StepEvent]:
        from planasonix.runs import BackfillRequest, StagedBackfill, plan_partitions

        # In the order of the keys, each with its own name; where two windows overlap, rows would count twice.
        stages = plan_partitions([(each.start_at, each.end_at) for each in partitions])
        keys = {stage.name: each.key for stage, each in zip(stages, partitions, strict=True)}
        request = BackfillRequest(
            tables.connection_id,
            min(each.start_at for each in partitions),
            max(each.end_at for each in partitions),
            tables=tables.selected_tables,
            priority=self._priority,
        )
        asked = StagedBackfill(request, stages, self._max_active, self._stop_after_failures)
        ended: dict[str, Outcome] = {}
        try:
            run = attempt.run_stages(asked, ended=ended)
        except BaseException:
            # Nothing can be yielded any more, and what is loaded is loaded.
            self._ended = {keys[name]: end for name, end in ended.items()}
            for event in self._report.loaded_partitions(tables, self._ended):
                self._context.log_event(event)
            raise
        ends = {keys[name]: end for name, end in run.ended.items()}
        before = {keys[name] for name in run.loaded_before}
        yield from self._report.of_partitions(tables, ends, partitions, run, loaded_before=before)
