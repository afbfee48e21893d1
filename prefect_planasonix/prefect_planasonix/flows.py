"""Flows: start a job and wait for its end, ready to deploy, or to call in a flow of your own.

Each returns an outcome and raises the report where the job did not end well, so that its run is as green as the job.
Each has a twin for async flows, whose name begins with `a`. In a flow of your own a job block does the same without a
subflow: `PlanasonixSync(...).trigger()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from planasonix.errors import ConfigurationError
from planasonix.runs import Outcome, StagedOutcome, raise_for_failure, raise_for_stages
from prefect_planasonix import block_options as fields
from prefect_planasonix.arguments import options_from, request_for
from prefect_planasonix.attempt import Attempt
from prefect_planasonix.job_flow import job_flow
from prefect_planasonix.loop import aon_shared_loop, on_shared_loop
from prefect_planasonix.option_arguments import OptionArguments

if TYPE_CHECKING:
    from planasonix.runs import StagedBackfill


@job_flow("planasonix-run-sync")
def run_sync(
    credentials: fields.Credentials,
    connection_id: fields.ConnectionId,
    *,
    pipeline_id: fields.OfPipelineId = None,
    priority: fields.Priority = None,
    expected_tables: fields.MaybeExpectedTables = None,
    **options: Unpack[OptionArguments],
) -> Outcome | None:
    """Sync a connection and wait for it.

    Returns the outcome (`rows_loaded`, `tables`, `warnings`, `link`); None where `if_running` or `on_paused` says to
    skip. Raises `RunFailedError` or `RunCancelledError` with the report, `WaitTimeoutError` past `timeout_seconds`, the
    client's errors, and `LedgerError`. Source: facts §1.1.

        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.flows import run_sync

        run_sync(PlanasonixCredentials.load("main"), "conn_shop_orders")
    """
    asked = {"pipeline_id": pipeline_id, "priority": priority, "expected_tables": expected_tables}
    return on_shared_loop(_run, "sync", credentials, options, connection_id=connection_id, **asked)


@job_flow("planasonix-run-sync")
async def arun_sync(
    credentials: fields.Credentials,
    connection_id: fields.ConnectionId,
    *,
    pipeline_id: fields.OfPipelineId = None,
    priority: fields.Priority = None,
    expected_tables: fields.MaybeExpectedTables = None,
    **options: Unpack[OptionArguments],
) -> Outcome | None:
    """As `run_sync`, for an async flow."""
    asked = {"pipeline_id": pipeline_id, "priority": priority, "expected_tables": expected_tables}
    return await aon_shared_loop(_run, "sync", credentials, options, connection_id=connection_id, **asked)


@job_flow("planasonix-run-backfill")
def run_backfill(
    credentials: fields.Credentials,
    connection_id: fields.ConnectionId,
    start_at: fields.Start,
    end_at: fields.End,
    *,
    tables: fields.Tables = None,
    priority: fields.Priority = None,
    stage: fields.Stage = None,
    stage_timezone: fields.StageTimezone = "UTC",
    max_active_stages: fields.MaxActiveStages = 1,
    stop_after_failures: fields.StopAfterFailures = 3,
    resume: fields.Resume = True,
    **options: Unpack[OptionArguments],
) -> Outcome | StagedOutcome | None:
    """Load the half-open window [`start_at`, `end_at`) of a connection again, at once or in stages, and wait for it.

    With stages `timeout_seconds` is the deadline of each.

    Returns a `StagedOutcome` (`stages`, `tables`, `rows_loaded`), an `Outcome` without `stage`; None where it was
    skipped. Raises as `run_sync`, once no stage runs any more. Source: facts §1.1.

        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.flows import run_backfill

        account = PlanasonixCredentials.load("main")
        run_backfill(account, "conn_shop_orders", "2026-01-01T00:00Z", "2026-01-04T00:00Z", stage="1d")
    """
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    stages = (stage, stage_timezone, max_active_stages, stop_after_failures)
    return on_shared_loop(_backfill, credentials, options, stages, resume, connection_id=connection_id, **window)


@job_flow("planasonix-run-backfill")
async def arun_backfill(
    credentials: fields.Credentials,
    connection_id: fields.ConnectionId,
    start_at: fields.Start,
    end_at: fields.End,
    *,
    tables: fields.Tables = None,
    priority: fields.Priority = None,
    stage: fields.Stage = None,
    stage_timezone: fields.StageTimezone = "UTC",
    max_active_stages: fields.MaxActiveStages = 1,
    stop_after_failures: fields.StopAfterFailures = 3,
    resume: fields.Resume = True,
    **options: Unpack[OptionArguments],
) -> Outcome | StagedOutcome | None:
    """As `run_backfill`, for an async flow."""
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    stages = (stage, stage_timezone, max_active_stages, stop_after_failures)
    return await aon_shared_loop(_backfill, credentials, options, stages, resume, connection_id=connection_id, **window)


@job_flow("planasonix-run-pipeline")
def run_pipeline(
    credentials: fields.Credentials,
    pipeline_id: fields.PipelineId,
    *,
    environment_id: fields.EnvironmentId = None,
    variables: fields.Variables = None,
    forward_context: fields.ForwardContext = False,
    **options: Unpack[OptionArguments],
) -> Outcome | None:
    """Run a pipeline and wait for it. Never put secrets into `variables`.

    Returns and raises as `run_sync`. Source: facts §1.4.

        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.flows import run_pipeline

        run_pipeline(PlanasonixCredentials.load("main"), "pl_daily_revenue", variables={"day": "2026-01-05"})
    """
    asked = {"environment_id": environment_id, "variables": variables, "forward_context": forward_context}
    return on_shared_loop(_run, "pipeline", credentials, options, pipeline_id=pipeline_id, **asked)


@job_flow("planasonix-run-pipeline")
async def arun_pipeline(
    credentials: fields.Credentials,
    pipeline_id: fields.PipelineId,
    *,
    environment_id: fields.EnvironmentId = None,
    variables: fields.Variables = None,
    forward_context: fields.ForwardContext = False,
    **options: Unpack[OptionArguments],
) -> Outcome | None:
    """As `run_pipeline`, for an async flow."""
    asked = {"environment_id": environment_id, "variables": variables, "forward_context": forward_context}
    return await aon_shared_loop(_run, "pipeline", credentials, options, pipeline_id=pipeline_id, **asked)


async def _run(kind: Any, credentials: Any, options: OptionArguments, /, **asked: Any) -> Outcome | None:
    request = request_for(kind, credentials, **asked)
    outcome = await Attempt(credentials, options_from(credentials, dict(options))).run(request)
    if outcome is not None:
        raise_for_failure(outcome)
    return outcome


async def _backfill(
    credentials: Any, options: OptionArguments, stages: tuple[Any, ...], resume: bool, /, **asked: Any
) -> Outcome | StagedOutcome | None:
    if stages[0] is None:
        return await _run("backfill", credentials, options, **asked)
    from prefect_planasonix.staged import StagedAttempt

    backfill = staged_backfill(request_for("backfill", credentials, **asked), *stages)
    attempt = StagedAttempt(credentials, options_from(credentials, dict(options)))
    outcome = await attempt.run_stages(backfill, resume=resume)
    raise_for_stages(outcome)
    return None if outcome.status == "skipped" else outcome


def staged_backfill(
    request: Any, stage: str, timezone: str, max_active_stages: int, stop_after_failures: int | None
) -> StagedBackfill:
    """The window of the request, cut into stages. Raises `ConfigurationError`, which names field and fix."""
    from planasonix.runs import StagedBackfill, plan_stages

    if not isinstance(stage, str):
        raise ConfigurationError(f"stage must be a text such as '1d', got {stage!r}.", field="stage")
    stages = plan_stages(request.start_at, request.end_at, stage, timezone=timezone)
    return StagedBackfill(request, stages, max_active_stages=max_active_stages, stop_after_failures=stop_after_failures)
