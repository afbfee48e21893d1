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
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix.attempt import Attempt
from dagster_planasonix.partitions import PartitionWindow, partition_windows
from dagster_planasonix.refusals import failing_for_good
from dagster_planasonix.run_config import PlanasonixRunConfig, window_asked_for
from dagster_planasonix.skips import busy_text, paused_text, skip_observations
from dagster_planasonix.step_tables import StepTables, only_tables, step_tables
from planasonix.errors import ConfigurationError, PlanasonixError

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace
    from planasonix.runs import RunRequest

_BACKFILL_TAG = "dagster/backfill"


def submit(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    workspace: PlanasonixWorkspace,
    *,
    config: PlanasonixRunConfig | None = None,
    priority: str | None = None,
) -> Iterator[Any]:
    """Start the load of the step's selected tables, one job for each connection, and do not wait for it.

    Assets without partitions are synced or, with a window in the run `config`, backfilled; one partition is backfilled,
    over its window and with its tables. `priority` is the API's ("low", "normal", "high"). Returns an iterator without
    items, so that an op can `yield from` it; the jobs are started when it is called. The outputs must be optional, as
    those of `@planasonix_assets` are.

    Raises `ConfigurationError` in a backfill, for several partitions, and where no selected asset is a table of
    Planasonix: before anything was started. Otherwise what `Attempt.start` raises, and `dagster.Failure` without
    retries where the next try would meet the same refusal.

        @planasonix_assets(connection_id="conn_shop_orders", workspace=workspace)
        def shop(context: dg.AssetExecutionContext):
            yield from workspace.submit(context)
    """
    for tables, request, partitions in _requests(context, config, priority):
        attempt = Attempt(context, workspace, asset_keys=tables.selected, connection_name=tables.connection_name)
        with failing_for_good():
            _start(context, workspace, attempt, tables, request, partitions)
    return iter(())


def _start(
    context: Any,
    workspace: PlanasonixWorkspace,
    attempt: Attempt,
    tables: StepTables,
    request: RunRequest,
    partitions: list[str],
) -> None:
    try:
        handle = attempt.start(request)
        why, text = "busy", busy_text(tables.connection_id)
    except PlanasonixError as error:
        handle = None
        why, text = "paused", paused_text(error, tables.connection_id, on_paused=workspace.on_paused)
    if handle is not None:
        context.log.info(
            f"Planasonix {handle.kind} {handle.id} goes on without this run. Its end is told by the polling sensor: "
            "switch it on under Automation > Sensors."
        )
        return
    context.log.warning(text)
    # Stored at once: nobody has to take it from the iterator.
    for event in skip_observations(tables.selected, why, text, partitions):
        context.log_event(event)


def _requests(
    context: Any, config: PlanasonixRunConfig | None, priority: str | None
) -> list[tuple[StepTables, RunRequest, list[str]]]:
    """What is to be started, with the partitions that it loads, all of it checked before anything is sent."""
    from planasonix.runs import BackfillRequest, SyncRequest

    connections = step_tables(context)
    window = window_asked_for(config)
    partitions = partition_windows(context, [key for each in connections for key in each.selected])
    _refuse_backfills(context, partitions)
    if partitions:
        if window is not None:
            raise ConfigurationError(
                "start_at and end_at are for assets without partitions: a partition is a window.", field="start_at"
            )
        window = _of(partitions[0])
    elif config is not None and config.tables is not None:
        connections = only_tables(connections, config.tables)
    keys = [partition.key for partition in partitions or ()]
    requests: list[tuple[StepTables, RunRequest, list[str]]] = []
    for each in connections:
        names = each.selected_tables
        if window is None:
            requests.append((each, SyncRequest(each.connection_id, priority=priority, expected_tables=names), keys))
        else:
            requests.append((each, BackfillRequest(each.connection_id, *window, tables=names, priority=priority), keys))
    return requests


def _of(partition: PartitionWindow) -> tuple[datetime, datetime]:
    return partition.start_at, partition.end_at


def _refuse_backfills(context: Any, partitions: list[PartitionWindow] | None) -> None:
    several = partitions is not None and len(partitions) > 1
    if _BACKFILL_TAG not in context.run.tags and not several:
        return
    what = "a run of several partitions" if several else "a backfill"
    raise ConfigurationError(
        f"A detached step cannot be part of {what}: its partitions would count as not loaded when the run ends.",
        field="execution",
        hint='Load them with execution="wait", or materialize one partition at a time.',
    )
