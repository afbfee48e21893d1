"""Detached mode: a step submits its job and ends; the polling sensor tells of the job's end.

A run that waits for hours keeps a run slot and two processes. A detached one takes seconds, and materializes nothing:
that comes with the job's end, outside of the run. What can be asked of Dagster changes with that:

- *Terminate* reaches a run only while it submits, and cancels the job then. Afterwards there is no run to terminate:
  cancel the job in Planasonix, or with the job of `build_planasonix_cancel_job`. The sensor tells of it.
- The deadline is the sensor's: it cancels a job that goes on past the workspace's `timeout_seconds`.
- Downstream assets start by automation (`dagster.AutomationCondition.eager()`), not as further steps of the run.
- Backfills, and runs of several partitions, are refused: they take their partitions for failed or missing when
  the run ends without having loaded them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dagster_planasonix.attempt import Attempt
from dagster_planasonix.partitions import partition_windows
from dagster_planasonix.step_tables import StepTables, step_tables
from planasonix.errors import ConfigurationError
from planasonix.runs import BackfillRequest, RunRequest, SyncRequest

if TYPE_CHECKING:
    import dagster as dg

    from dagster_planasonix.partitions import PartitionWindow
    from dagster_planasonix.workspace import PlanasonixWorkspace

_BACKFILL_TAG = "dagster/backfill"


def submit(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    workspace: PlanasonixWorkspace,
    *,
    priority: str | None = None,
) -> Iterator[Any]:
    """Start the load of the step's selected tables, one job for each connection, and do not wait for it.

    Assets without partitions are synced; one partition is backfilled, over its window and with its tables. Returns an
    iterator without items, so that an op can `yield from` it; the jobs are started when it is called. The outputs must
    be optional, as those of `@planasonix_assets` are.

    Raises `ConfigurationError` in a backfill, for several partitions, and where no selected asset is a table of
    Planasonix: before anything was started. Otherwise what `Attempt.start` raises.

        @planasonix_assets(connection_id="conn_shop_orders", workspace=workspace)
        def shop(context: dg.AssetExecutionContext):
            yield from workspace.submit(context)
    """
    connections = step_tables(context)
    windows = partition_windows(context, [key for each in connections for key in each.selected])
    _refuse_backfills(context, windows)
    requests = [(each, _request(each, windows, priority)) for each in connections]
    for each, request in requests:
        attempt = Attempt(context, workspace, asset_keys=each.selected, connection_name=each.connection_name)
        handle = attempt.start(request)
        if handle is not None:
            context.log.info(
                f"Planasonix {handle.kind} {handle.id} goes on without this run: the polling sensor tells of its end."
            )
    return iter(())


def _refuse_backfills(context: Any, windows: list[PartitionWindow] | None) -> None:
    several = windows is not None and len(windows) > 1
    if _BACKFILL_TAG not in context.run.tags and not several:
        return
    what = "a run of several partitions" if several else "a backfill"
    raise ConfigurationError(
        f"A detached step cannot be part of {what}: its partitions would count as not loaded when the run ends.",
        field="execution",
        hint='Load them with execution="wait", or materialize one partition at a time.',
    )


def _request(each: StepTables, windows: list[PartitionWindow] | None, priority: str | None) -> RunRequest:
    if not windows:
        return SyncRequest(each.connection_id, priority=priority, expected_tables=each.selected_tables)
    [window] = windows
    return BackfillRequest(
        each.connection_id, window.start_at, window.end_at, tables=each.selected_tables, priority=priority
    )
