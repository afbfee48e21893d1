"""The job blocks: what is loaded or run, saved under a name, with how it is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect.blocks.abstract import JobBlock
from pydantic import ConfigDict, Field, field_validator, model_validator

from planasonix.errors import ConfigurationError
from prefect_planasonix import block_options as fields
from prefect_planasonix.block_fields import DOCUMENTATION_URL, LOGO_URL, KnownFields
from prefect_planasonix.job_run import PlanasonixJobRun, attached
from prefect_planasonix.loop import aon_shared_loop, on_shared_loop
from prefect_planasonix.options import RunOptions

if TYPE_CHECKING:
    from planasonix.runs import BackfillRequest, PipelineRunRequest, SyncRequest
    from planasonix.watch import Kind


class PlanasonixSync(KnownFields, JobBlock):
    """An incremental sync of one Planasonix connection.

    Example:
        Load a stored sync, run it and read what it loaded:
        ```python
        from prefect import flow
        from prefect_planasonix import PlanasonixSync

        @flow
        def load_orders():
            run = PlanasonixSync.load("BLOCK_NAME").trigger()
            run.wait_for_completion()
            return run.fetch_result().rows_loaded
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "Planasonix Sync"
    _block_type_slug = "planasonix-sync"
    _logo_url = LOGO_URL  # type: ignore[assignment]
    _documentation_url = DOCUMENTATION_URL  # type: ignore[assignment]

    credentials: fields.Credentials
    connection_id: fields.ConnectionId
    expected_tables: fields.ExpectedTables = Field(default_factory=list)
    timeout_seconds: fields.TimeoutSeconds = RunOptions.timeout_seconds
    poll_interval_seconds: fields.PollIntervalSeconds = RunOptions.poll_interval_seconds
    if_running: fields.IfRunningField = RunOptions.if_running
    cancel_on_cancellation: fields.CancelOnCancellation = RunOptions.cancel_on_cancellation
    on_shutdown: fields.OnShutdownField = RunOptions.on_shutdown
    on_paused: fields.OnPausedField = RunOptions.on_paused
    run_key: fields.RunKey = RunOptions.run_key
    artifacts: fields.Artifacts = RunOptions.artifacts
    events: fields.Events = RunOptions.events
    assets: fields.Assets = RunOptions.assets
    asset_key_template: fields.AssetKeyTemplate = RunOptions.asset_key_template
    source_key_template: fields.SourceKeyTemplate = RunOptions.source_key_template

    @model_validator(mode="after")
    def _can_be_run(self) -> PlanasonixSync:
        return _checked(self, self.request)

    def request(self) -> SyncRequest:
        """What is asked for. Raises `ConfigurationError`, which names the field."""
        from planasonix.runs import SyncRequest

        return SyncRequest(self.connection_id, expected_tables=tuple(self.expected_tables))

    def trigger(self) -> PlanasonixJobRun:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start the sync, or find the one that an earlier try of this call started; see `PlanasonixJobRun`.

        Waits while the connection is busy, as `if_running` says. Raises the client's errors, `LedgerError`, and
        `WaitTimeoutError` where the connection stays busy.
        """
        return on_shared_loop(_started, self)

    async def atrigger(self) -> PlanasonixJobRun:
        """As `trigger`."""
        return await aon_shared_loop(_started, self)

    def attach(self, id: str) -> PlanasonixJobRun:
        """A job of this connection that exists already; see `PlanasonixJobRun.attach`."""
        return on_shared_loop(_attached, self, "job", self.connection_id, id)

    async def aattach(self, id: str) -> PlanasonixJobRun:
        """As `attach`."""
        return await aon_shared_loop(_attached, self, "job", self.connection_id, id)


class PlanasonixBackfill(KnownFields, JobBlock):
    """A load of the half-open window from `start_at` to `end_at` of one Planasonix connection.

    Example:
        Load a stored backfill and run it:
        ```python
        from prefect import flow
        from prefect_planasonix import PlanasonixBackfill

        @flow
        def load_january():
            run = PlanasonixBackfill.load("BLOCK_NAME").trigger()
            return run.wait_for_completion()
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "Planasonix Backfill"
    _block_type_slug = "planasonix-backfill"
    _logo_url = LOGO_URL  # type: ignore[assignment]
    _documentation_url = DOCUMENTATION_URL  # type: ignore[assignment]

    credentials: fields.Credentials
    connection_id: fields.ConnectionId
    start_at: datetime = Field(title="Start", description="Where the window begins, with its time zone; included.")
    end_at: datetime = Field(title="End", description="Where the window ends, with its time zone; not included.")
    tables: list[str] | None = Field(default=None, description="The tables to load; empty for all of the connection.")
    timeout_seconds: fields.TimeoutSeconds = RunOptions.timeout_seconds
    poll_interval_seconds: fields.PollIntervalSeconds = RunOptions.poll_interval_seconds
    if_running: fields.IfRunningField = RunOptions.if_running
    cancel_on_cancellation: fields.CancelOnCancellation = RunOptions.cancel_on_cancellation
    on_shutdown: fields.OnShutdownField = RunOptions.on_shutdown
    on_paused: fields.OnPausedField = RunOptions.on_paused
    run_key: fields.RunKey = RunOptions.run_key
    artifacts: fields.Artifacts = RunOptions.artifacts
    events: fields.Events = RunOptions.events
    assets: fields.Assets = RunOptions.assets
    asset_key_template: fields.AssetKeyTemplate = RunOptions.asset_key_template
    source_key_template: fields.SourceKeyTemplate = RunOptions.source_key_template

    @field_validator("tables", mode="before")
    @classmethod
    def _no_tables_means_all(cls, value: Any) -> Any:
        # The form sends an empty list for a field that was left alone.
        return None if value == [] else value

    @field_validator("start_at", "end_at")
    @classmethod
    def _has_a_time_zone(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("the time needs a time zone, as in 2026-01-05T00:00:00+00:00")
        return value.astimezone(UTC)

    @model_validator(mode="after")
    def _can_be_run(self) -> PlanasonixBackfill:
        return _checked(self, self.request)

    def request(self) -> BackfillRequest:
        """What is asked for. Raises `ConfigurationError`, which names the field."""
        from planasonix.runs import BackfillRequest

        tables = None if self.tables is None else tuple(self.tables)
        return BackfillRequest(self.connection_id, self.start_at, self.end_at, tables)

    def trigger(self) -> PlanasonixJobRun:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As `PlanasonixSync.trigger`, for the backfill."""
        return on_shared_loop(_started, self)

    async def atrigger(self) -> PlanasonixJobRun:
        """As `trigger`."""
        return await aon_shared_loop(_started, self)

    def attach(self, id: str) -> PlanasonixJobRun:
        """A backfill of this connection that exists already; see `PlanasonixJobRun.attach`."""
        return on_shared_loop(_attached, self, "backfill", self.connection_id, id)

    async def aattach(self, id: str) -> PlanasonixJobRun:
        """As `attach`."""
        return await aon_shared_loop(_attached, self, "backfill", self.connection_id, id)


class PlanasonixPipelineRun(KnownFields, JobBlock):
    """One run of a Planasonix pipeline.

    Example:
        Load a stored pipeline run and run it:
        ```python
        from prefect import flow
        from prefect_planasonix import PlanasonixPipelineRun

        @flow
        def daily_revenue():
            run = PlanasonixPipelineRun.load("BLOCK_NAME").trigger()
            return run.wait_for_completion()
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "Planasonix Pipeline Run"
    _block_type_slug = "planasonix-pipeline-run"
    _logo_url = LOGO_URL  # type: ignore[assignment]
    _documentation_url = DOCUMENTATION_URL  # type: ignore[assignment]

    credentials: fields.Credentials
    pipeline_id: fields.PipelineId
    environment_id: fields.EnvironmentId = None
    variables: dict[str, Any] | None = Field(
        default=None, description="The pipeline's variables by their names; never put secrets there."
    )
    forward_context: fields.ForwardContext = False
    timeout_seconds: fields.TimeoutSeconds = RunOptions.timeout_seconds
    poll_interval_seconds: fields.PollIntervalSeconds = RunOptions.poll_interval_seconds
    if_running: fields.IfRunningField = RunOptions.if_running
    cancel_on_cancellation: fields.CancelOnCancellation = RunOptions.cancel_on_cancellation
    on_shutdown: fields.OnShutdownField = RunOptions.on_shutdown
    on_paused: fields.OnPausedField = RunOptions.on_paused
    run_key: fields.RunKey = RunOptions.run_key
    artifacts: fields.Artifacts = RunOptions.artifacts
    events: fields.Events = RunOptions.events
    assets: fields.Assets = RunOptions.assets
    asset_key_template: fields.AssetKeyTemplate = RunOptions.asset_key_template
    source_key_template: fields.SourceKeyTemplate = RunOptions.source_key_template

    @field_validator("environment_id", mode="before")
    @classmethod
    def _empty_means_not_set(cls, value: Any) -> Any:
        return None if value == "" else value

    @model_validator(mode="after")
    def _can_be_run(self) -> PlanasonixPipelineRun:
        return _checked(self, self.request)

    def request(self) -> PipelineRunRequest:
        """What is asked for. Raises `ConfigurationError`, which names the field."""
        from planasonix.runs import PipelineRunRequest

        return PipelineRunRequest(
            self.pipeline_id,
            environment_id=self.environment_id,
            variables=self.variables,
            forward_context=self.forward_context,
        )

    def trigger(self) -> PlanasonixJobRun:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As `PlanasonixSync.trigger`, for the pipeline."""
        return on_shared_loop(_started, self)

    async def atrigger(self) -> PlanasonixJobRun:
        """As `trigger`."""
        return await aon_shared_loop(_started, self)

    def attach(self, id: str) -> PlanasonixJobRun:
        """A run of this pipeline that exists already; see `PlanasonixJobRun.attach`."""
        return on_shared_loop(_attached, self, "run", self.pipeline_id, id)

    async def aattach(self, id: str) -> PlanasonixJobRun:
        """As `attach`."""
        return await aon_shared_loop(_attached, self, "run", self.pipeline_id, id)


def _checked(block: Any, request: Any) -> Any:
    """The block, if it can be run: a wrong field is told when it is filled in, not when the flow runs."""
    try:
        RunOptions.of(block)
        request()
    except ConfigurationError as error:
        # Pydantic shows a ValueError as the form's error.
        raise ValueError(str(error)) from None
    return block


async def _started(block: Any) -> PlanasonixJobRun:
    from prefect_planasonix.attempt import Attempt

    options, request = RunOptions.of(block), block.request()
    handle = await Attempt(block.credentials, options).start(request)
    return PlanasonixJobRun(handle, options, tuple(request.expected_tables), block.credentials)


async def _attached(block: Any, kind: Kind, target_id: str, run_id: str) -> PlanasonixJobRun:
    run = await attached(block.credentials, run_id, kind, RunOptions.of(block), target_id)
    return replace(run, expected_tables=tuple(block.request().expected_tables))
