"""The job blocks: what is loaded or run, saved under a name, with how it is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect.blocks.abstract import JobBlock
from pydantic import Field, field_validator, model_validator

from planasonix.errors import ConfigurationError
from prefect_planasonix import block_options as fields
from prefect_planasonix.block_fields import DOCUMENTATION_URL, LOGO_URL, warn_of_unknown_fields
from prefect_planasonix.credentials import PlanasonixCredentials
from prefect_planasonix.job_run import PlanasonixJobRun
from prefect_planasonix.loop import aon_shared_loop, on_shared_loop
from prefect_planasonix.options import RunOptions

if TYPE_CHECKING:
    from planasonix.runs import BackfillRequest, PipelineRunRequest, RunRequest, SyncRequest


class PlanasonixSync(JobBlock):
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

    _block_type_name = "Planasonix Sync"
    _block_type_slug = "planasonix-sync"
    _logo_url = LOGO_URL  # type: ignore[assignment]
    _documentation_url = DOCUMENTATION_URL  # type: ignore[assignment]

    credentials: PlanasonixCredentials = Field(description="The credentials block of the tenant.")
    connection_id: str = Field(title="Connection ID", description="The id of the connection to load.")
    expected_tables: fields.ExpectedTables = Field(default_factory=list)
    timeout_seconds: fields.TimeoutSeconds = 86_400.0
    poll_interval_seconds: fields.PollIntervalSeconds = None
    if_running: fields.IfRunningField = "wait"
    cancel_on_cancellation: fields.CancelOnCancellation = True
    on_shutdown: fields.OnShutdownField = "cancel"
    on_paused: fields.OnPausedField = "fail"
    run_key: fields.RunKey = None
    artifacts: fields.Artifacts = True
    events: fields.Events = True
    assets: fields.Assets = True
    asset_key_template: fields.AssetKeyTemplate = "planasonix://{connection_id}/{path}"
    source_key_template: fields.SourceKeyTemplate = None

    @model_validator(mode="after")
    def _can_be_run(self) -> PlanasonixSync:
        return _checked(self, self.request)

    def block_initialization(self) -> None:
        warn_of_unknown_fields(self)

    def request(self) -> SyncRequest:
        """What is asked for. Raises `ConfigurationError`, which names the field."""
        from planasonix.runs import SyncRequest

        return SyncRequest(self.connection_id, expected_tables=tuple(self.expected_tables))

    def trigger(self) -> PlanasonixJobRun:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start the sync, or find the one that an earlier try of this call started; see `PlanasonixJobRun`.

        Waits while the connection is busy, as `if_running` says. Raises the client's errors, `LedgerError`, and
        `WaitTimeoutError` where the connection stays busy.
        """
        return _trigger(self, self.request())

    async def atrigger(self) -> PlanasonixJobRun:
        """As `trigger`."""
        return await _atrigger(self, self.request())

    def attach(self, id: str) -> PlanasonixJobRun:
        """A job of this connection that exists already; see `PlanasonixJobRun.attach`."""
        options = RunOptions.of(self)
        run = PlanasonixJobRun.attach(self.credentials, id, options=options, target_id=self.connection_id)
        return replace(run, expected_tables=self.request().expected_tables)

    async def aattach(self, id: str) -> PlanasonixJobRun:
        """As `attach`."""
        options = RunOptions.of(self)
        run = await PlanasonixJobRun.aattach(self.credentials, id, options=options, target_id=self.connection_id)
        return replace(run, expected_tables=self.request().expected_tables)


class PlanasonixBackfill(JobBlock):
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

    _block_type_name = "Planasonix Backfill"
    _block_type_slug = "planasonix-backfill"
    _logo_url = LOGO_URL  # type: ignore[assignment]
    _documentation_url = DOCUMENTATION_URL  # type: ignore[assignment]

    credentials: PlanasonixCredentials = Field(description="The credentials block of the tenant.")
    connection_id: str = Field(title="Connection ID", description="The id of the connection to load.")
    start_at: datetime = Field(title="Start", description="Where the window begins, with its time zone; included.")
    end_at: datetime = Field(title="End", description="Where the window ends, with its time zone; not included.")
    tables: list[str] | None = Field(default=None, description="The tables to load; empty for all of the connection.")
    timeout_seconds: fields.TimeoutSeconds = 86_400.0
    poll_interval_seconds: fields.PollIntervalSeconds = None
    if_running: fields.IfRunningField = "wait"
    cancel_on_cancellation: fields.CancelOnCancellation = True
    on_shutdown: fields.OnShutdownField = "cancel"
    on_paused: fields.OnPausedField = "fail"
    run_key: fields.RunKey = None
    artifacts: fields.Artifacts = True
    events: fields.Events = True
    assets: fields.Assets = True
    asset_key_template: fields.AssetKeyTemplate = "planasonix://{connection_id}/{path}"
    source_key_template: fields.SourceKeyTemplate = None

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

    def block_initialization(self) -> None:
        warn_of_unknown_fields(self)

    def request(self) -> BackfillRequest:
        """What is asked for. Raises `ConfigurationError`, which names the field."""
        from planasonix.runs import BackfillRequest

        tables = None if self.tables is None else tuple(self.tables)
        return BackfillRequest(self.connection_id, self.start_at, self.end_at, tables)

    def trigger(self) -> PlanasonixJobRun:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As `PlanasonixSync.trigger`, for the backfill."""
        return _trigger(self, self.request())

    async def atrigger(self) -> PlanasonixJobRun:
        """As `trigger`."""
        return await _atrigger(self, self.request())

    def attach(self, id: str) -> PlanasonixJobRun:
        """A backfill of this connection that exists already; see `PlanasonixJobRun.attach`."""
        options = RunOptions.of(self)
        run = PlanasonixJobRun.attach(
            self.credentials, id, kind="backfill", options=options, target_id=self.connection_id
        )
        return replace(run, expected_tables=self.request().expected_tables)

    async def aattach(self, id: str) -> PlanasonixJobRun:
        """As `attach`."""
        options = RunOptions.of(self)
        run = await PlanasonixJobRun.aattach(
            self.credentials, id, kind="backfill", options=options, target_id=self.connection_id
        )
        return replace(run, expected_tables=self.request().expected_tables)


class PlanasonixPipelineRun(JobBlock):
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

    _block_type_name = "Planasonix Pipeline Run"
    _block_type_slug = "planasonix-pipeline-run"
    _logo_url = LOGO_URL  # type: ignore[assignment]
    _documentation_url = DOCUMENTATION_URL  # type: ignore[assignment]

    credentials: PlanasonixCredentials = Field(description="The credentials block of the tenant.")
    pipeline_id: str = Field(title="Pipeline ID", description="The id of the pipeline to run.")
    environment_id: str | None = Field(
        default=None, title="Environment ID", description="The id of the environment; empty for the credentials'."
    )
    variables: dict[str, Any] | None = Field(
        default=None, description="The pipeline's variables by their names; never put secrets there."
    )
    forward_context: bool = Field(
        default=False, title="Forward context", description="Send who started the run as variables, too."
    )
    timeout_seconds: fields.TimeoutSeconds = 86_400.0
    poll_interval_seconds: fields.PollIntervalSeconds = None
    if_running: fields.IfRunningField = "wait"
    cancel_on_cancellation: fields.CancelOnCancellation = True
    on_shutdown: fields.OnShutdownField = "cancel"
    on_paused: fields.OnPausedField = "fail"
    run_key: fields.RunKey = None
    artifacts: fields.Artifacts = True
    events: fields.Events = True
    assets: fields.Assets = True
    asset_key_template: fields.AssetKeyTemplate = "planasonix://{connection_id}/{path}"
    source_key_template: fields.SourceKeyTemplate = None

    @field_validator("environment_id", mode="before")
    @classmethod
    def _empty_means_not_set(cls, value: Any) -> Any:
        return None if value == "" else value

    @model_validator(mode="after")
    def _can_be_run(self) -> PlanasonixPipelineRun:
        return _checked(self, self.request)

    def block_initialization(self) -> None:
        warn_of_unknown_fields(self)

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
        return _trigger(self, self.request())

    async def atrigger(self) -> PlanasonixJobRun:
        """As `trigger`."""
        return await _atrigger(self, self.request())

    def attach(self, id: str) -> PlanasonixJobRun:
        """A run of this pipeline that exists already; see `PlanasonixJobRun.attach`."""
        options = RunOptions.of(self)
        return PlanasonixJobRun.attach(self.credentials, id, kind="run", options=options, target_id=self.pipeline_id)

    async def aattach(self, id: str) -> PlanasonixJobRun:
        """As `attach`."""
        options = RunOptions.of(self)
        return await PlanasonixJobRun.aattach(
            self.credentials, id, kind="run", options=options, target_id=self.pipeline_id
        )


def _checked(block: Any, request: Any) -> Any:
    """The block, if it can be run: a wrong field is told when it is filled in, not when the flow runs."""
    try:
        RunOptions.of(block)
        request()
    except ConfigurationError as error:
        # Pydantic shows a ValueError as the form's error.
        raise ValueError(str(error)) from None
    return block


def _trigger(block: Any, request: RunRequest) -> PlanasonixJobRun:
    return on_shared_loop(_started, block, request)


async def _atrigger(block: Any, request: RunRequest) -> PlanasonixJobRun:
    return await aon_shared_loop(_started, block, request)


async def _started(block: Any, request: RunRequest) -> PlanasonixJobRun:
    from prefect_planasonix.attempt import Attempt

    options = RunOptions.of(block)
    handle = await Attempt(block.credentials, options).start(request)
    return PlanasonixJobRun(handle, options, tuple(request.expected_tables), block.credentials)
