"""Flows: start a job and wait for its end, ready to deploy, or to call in a flow of your own.

Each returns an outcome and raises the report where the job did not end well, so that its run is as green as the job.
Each has a twin for async flows, whose name begins with `a`. In a flow of your own a job block does the same without a
subflow: `PlanasonixSync(...).trigger()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from prefect import flow

from planasonix.errors import ConfigurationError
from planasonix.runs import Outcome, StagedOutcome, raise_for_failure, raise_for_stages
from prefect_planasonix.arguments import request_for
from prefect_planasonix.attempt import Attempt
from prefect_planasonix.credentials import PlanasonixCredentials
from prefect_planasonix.loop import aon_shared_loop, on_shared_loop
from prefect_planasonix.options import RunOptions

if TYPE_CHECKING:
    from planasonix.runs import StagedBackfill

IfRunning = Literal["wait", "attach", "skip", "fail"]
OnShutdown = Literal["cancel", "leave"]


@flow(name="planasonix-run-sync", persist_result=False)
def run_sync(
    credentials: PlanasonixCredentials,
    connection_id: str,
    *,
    pipeline_id: str | None = None,
    priority: str | None = None,
    timeout_seconds: float = 86_400.0,
    poll_interval_seconds: float | None = None,
    if_running: IfRunning = "wait",
    cancel_on_cancellation: bool = True,
    on_shutdown: OnShutdown = "cancel",
) -> Outcome | None:
    """Sync a connection and wait for it.

    :param timeout_seconds: the job's deadline, from its creation; past it the job is cancelled.
    :param if_running: what to do while another job keeps the connection busy.

    Returns the outcome (`rows_loaded`, `tables`, `warnings`, `link`); None where `if_running` is `skip` and the
    connection is busy. Raises `RunFailedError` or `RunCancelledError` with the report, `WaitTimeoutError`, the client's
    errors, and `LedgerError`. Source: facts §1.1.

        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.flows import run_sync

        run_sync(PlanasonixCredentials.load("main"), "conn_shop_orders")
    """
    request = request_for("sync", credentials, connection_id=connection_id, pipeline_id=pipeline_id, priority=priority)
    options = RunOptions(
        timeout_seconds=timeout_seconds,
        poll_interval_seconds=poll_interval_seconds,
        if_running=if_running,
        cancel_on_cancellation=cancel_on_cancellation,
        on_shutdown=on_shutdown,
    )
    return _well(on_shared_loop(Attempt(credentials, options).run, request))


@flow(name="planasonix-run-sync", persist_result=False)
async def arun_sync(
    credentials: PlanasonixCredentials,
    connection_id: str,
    *,
    pipeline_id: str | None = None,
    priority: str | None = None,
    timeout_seconds: float = 86_400.0,
    poll_interval_seconds: float | None = None,
    if_running: IfRunning = "wait",
    cancel_on_cancellation: bool = True,
    on_shutdown: OnShutdown = "cancel",
) -> Outcome | None:
    """As `run_sync`, for an async flow."""
    request = request_for("sync", credentials, connection_id=connection_id, pipeline_id=pipeline_id, priority=priority)
    options = RunOptions(
        timeout_seconds=timeout_seconds,
        poll_interval_seconds=poll_interval_seconds,
        if_running=if_running,
        cancel_on_cancellation=cancel_on_cancellation,
        on_shutdown=on_shutdown,
    )
    return _well(await aon_shared_loop(Attempt(credentials, options).run, request))


@flow(name="planasonix-run-backfill", persist_result=False)
def run_backfill(
    credentials: PlanasonixCredentials,
    connection_id: str,
    start_at: datetime | str,
    end_at: datetime | str,
    *,
    tables: Sequence[str] | None = None,
    priority: str | None = None,
    stage: str | None = None,
    stage_timezone: str = "UTC",
    max_active_stages: int = 1,
    stop_after_failures: int | None = 3,
    resume: bool = True,
    timeout_seconds: float = 86_400.0,
    poll_interval_seconds: float | None = None,
    if_running: IfRunning = "wait",
    cancel_on_cancellation: bool = True,
    on_shutdown: OnShutdown = "cancel",
) -> Outcome | StagedOutcome | None:
    """Load the half-open window [`start_at`, `end_at`) of a connection again, at once or in stages, and wait for it.

    :param start_at: an aware datetime, or a text in ISO 8601 with an offset; `end_at` likewise.
    :param stage: the length of a stage, `"6h"`, `"1d"`, `"1w"`, `"3mo"`; None: one backfill for the whole window.
    :param stage_timezone: whose days, weeks and months are meant, for example `Europe/Berlin`.
    :param max_active_stages: how many stages run at a time.
    :param stop_after_failures: after so many failed stages in a row no other starts; None tries them all.
    :param resume: a retry of the flow run starts only what is not loaded; False: it begins anew.
    :param timeout_seconds: the deadline of each stage, or of the one backfill.

    Returns a `StagedOutcome` (`stages`, `tables`, `rows_loaded`), an `Outcome` without `stage`; None where it was
    skipped. Raises as `run_sync`, once no stage runs any more. Source: facts §1.1.
    """
    options = RunOptions(
        timeout_seconds=timeout_seconds,
        poll_interval_seconds=poll_interval_seconds,
        if_running=if_running,
        cancel_on_cancellation=cancel_on_cancellation,
        on_shutdown=on_shutdown,
    )
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    request = request_for("backfill", credentials, connection_id=connection_id, **window)
    if stage is None:
        return _well(on_shared_loop(Attempt(credentials, options).run, request))
    from prefect_planasonix.staged import StagedAttempt

    asked = staged_backfill(request, stage, stage_timezone, max_active_stages, stop_after_failures)
    return _all_well(on_shared_loop(StagedAttempt(credentials, options).run_stages, asked, resume=resume))


@flow(name="planasonix-run-backfill", persist_result=False)
async def arun_backfill(
    credentials: PlanasonixCredentials,
    connection_id: str,
    start_at: datetime | str,
    end_at: datetime | str,
    *,
    tables: Sequence[str] | None = None,
    priority: str | None = None,
    stage: str | None = None,
    stage_timezone: str = "UTC",
    max_active_stages: int = 1,
    stop_after_failures: int | None = 3,
    resume: bool = True,
    timeout_seconds: float = 86_400.0,
    poll_interval_seconds: float | None = None,
    if_running: IfRunning = "wait",
    cancel_on_cancellation: bool = True,
    on_shutdown: OnShutdown = "cancel",
) -> Outcome | StagedOutcome | None:
    """As `run_backfill`, for an async flow."""
    options = RunOptions(
        timeout_seconds=timeout_seconds,
        poll_interval_seconds=poll_interval_seconds,
        if_running=if_running,
        cancel_on_cancellation=cancel_on_cancellation,
        on_shutdown=on_shutdown,
    )
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    request = request_for("backfill", credentials, connection_id=connection_id, **window)
    if stage is None:
        return _well(await aon_shared_loop(Attempt(credentials, options).run, request))
    from prefect_planasonix.staged import StagedAttempt

    asked = staged_backfill(request, stage, stage_timezone, max_active_stages, stop_after_failures)
    return _all_well(await aon_shared_loop(StagedAttempt(credentials, options).run_stages, asked, resume=resume))


@flow(name="planasonix-run-pipeline", persist_result=False)
def run_pipeline(
    credentials: PlanasonixCredentials,
    pipeline_id: str,
    *,
    environment_id: str | None = None,
    variables: Mapping[str, Any] | None = None,
    timeout_seconds: float = 86_400.0,
    poll_interval_seconds: float | None = None,
    if_running: IfRunning = "wait",
    cancel_on_cancellation: bool = True,
    on_shutdown: OnShutdown = "cancel",
) -> Outcome | None:
    """Run a pipeline and wait for it. Never put secrets into `variables`. As `run_sync`. Source: facts §1.4."""
    request = request_for(
        "pipeline", credentials, pipeline_id=pipeline_id, environment_id=environment_id, variables=variables
    )
    options = RunOptions(
        timeout_seconds=timeout_seconds,
        poll_interval_seconds=poll_interval_seconds,
        if_running=if_running,
        cancel_on_cancellation=cancel_on_cancellation,
        on_shutdown=on_shutdown,
    )
    return _well(on_shared_loop(Attempt(credentials, options).run, request))


@flow(name="planasonix-run-pipeline", persist_result=False)
async def arun_pipeline(
    credentials: PlanasonixCredentials,
    pipeline_id: str,
    *,
    environment_id: str | None = None,
    variables: Mapping[str, Any] | None = None,
    timeout_seconds: float = 86_400.0,
    poll_interval_seconds: float | None = None,
    if_running: IfRunning = "wait",
    cancel_on_cancellation: bool = True,
    on_shutdown: OnShutdown = "cancel",
) -> Outcome | None:
    """As `run_pipeline`, for an async flow."""
    request = request_for(
        "pipeline", credentials, pipeline_id=pipeline_id, environment_id=environment_id, variables=variables
    )
    options = RunOptions(
        timeout_seconds=timeout_seconds,
        poll_interval_seconds=poll_interval_seconds,
        if_running=if_running,
        cancel_on_cancellation=cancel_on_cancellation,
        on_shutdown=on_shutdown,
    )
    return _well(await aon_shared_loop(Attempt(credentials, options).run, request))


def staged_backfill(
    request: Any, stage: str, timezone: str, max_active_stages: int, stop_after_failures: int | None
) -> StagedBackfill:
    """The window of the request, cut into stages. Raises `ConfigurationError`, which names field and fix."""
    from planasonix.runs import StagedBackfill, plan_stages

    if not isinstance(stage, str):
        raise ConfigurationError(f"stage must be a text such as '1d', got {stage!r}.", field="stage")
    stages = plan_stages(request.start_at, request.end_at, stage, timezone=timezone)
    return StagedBackfill(request, stages, max_active_stages=max_active_stages, stop_after_failures=stop_after_failures)


def _well(outcome: Outcome | None) -> Outcome | None:
    if outcome is not None:
        raise_for_failure(outcome)
    return outcome


def _all_well(outcome: StagedOutcome) -> StagedOutcome | None:
    raise_for_stages(outcome)
    return None if outcome.status == "skipped" else outcome
