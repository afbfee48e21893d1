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
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix.iterator import PlanasonixEventIterator, StepEvent
from dagster_planasonix.partitions import PartitionMode, PartitionWindow, check_mode, partition_windows, whole_window
from dagster_planasonix.refusals import failing_for_good
from dagster_planasonix.run_config import PlanasonixRunConfig, window_asked_for
from dagster_planasonix.step_events import StepReport
from dagster_planasonix.step_tables import StepTables, step_tables
from dagster_planasonix.targets import tables_of

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace
    from planasonix.runs import RunRequest


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

    def events(self) -> Iterator[StepEvent]:
        context = self._context
        with failing_for_good():
            loads = self._loads()
        self._report = StepReport(
            context,
            on_table_failure=self._workspace.on_table_failure,
            data_version_from_checksum=self._data_versions,
        )
        for load in loads:
            with failing_for_good():
                yield from self._of(load)
        self._report.finish(context.selected_asset_keys)
