"""What job blocks, tasks and flows take, described once: as fields of the blocks, and in the forms of the flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from prefect_planasonix.credentials import PlanasonixCredentials, refuse_what_is_no_block
from prefect_planasonix.options import OnPaused, OnShutdown

IfRunning = Literal["wait", "attach", "skip", "fail"]
"""As `planasonix.runs.IfRunning`: written again, because whoever only names a block need not load that."""

TimeoutSeconds = Annotated[
    float, Field(gt=0, title="Timeout", description="The job's deadline, in seconds from its creation.")
]
PollIntervalSeconds = Annotated[
    float | None,
    Field(gt=0, title="Poll interval", description="A fixed pause between looks, in seconds; empty adapts it."),
]
IfRunningField = Annotated[
    IfRunning,
    Field(title="If running", description="What to do while another job keeps the connection busy."),
]
CancelOnCancellation = Annotated[
    bool, Field(title="Cancel on cancellation", description="Cancel the job when the flow run is given up.")
]
OnShutdownField = Annotated[
    OnShutdown,
    Field(title="On shutdown", description="Cancel the job or leave it when serve or the worker is stopped."),
]
OnPausedField = Annotated[
    OnPaused, Field(title="On paused", description="Fail or skip while the connection is paused.")
]
RunKey = Annotated[
    str | None,
    Field(title="Run key", description="A word that tells two identical wishes of one flow run apart."),
]
Artifacts = Annotated[bool, Field(description="Show progress and results as artifacts.")]
Events = Annotated[bool, Field(description="Emit events named planasonix.job, followed by what happened.")]
Assets = Annotated[bool, Field(description="Report each loaded table as an asset.")]
AssetKeyTemplate = Annotated[
    str,
    Field(title="Asset key template", description="The key of each table's asset, with {connection_id} and {path}."),
]
SourceKeyTemplate = Annotated[
    str | None,
    Field(title="Source key template", description="The key of the asset that each table comes from; may be empty."),
]
ExpectedTables = Annotated[
    list[str], Field(title="Expected tables", description="The tables that the result should account for.")
]

# What only some of them take. A flow's form has no titles of its own.
Credentials = Annotated[
    PlanasonixCredentials,
    BeforeValidator(refuse_what_is_no_block),
    Field(description="The credentials block of the tenant."),
]
ConnectionId = Annotated[str, Field(title="Connection ID", description="The id of the connection to load.")]
PipelineId = Annotated[str, Field(title="Pipeline ID", description="The id of the pipeline to run.")]
OfPipelineId = Annotated[str | None, Field(description="The id of the pipeline that the sync is to be part of.")]
Priority = Annotated[str | None, Field(description="The priority of the job, as the API names it; empty for its own.")]
MaybeExpectedTables = Annotated[
    Sequence[str] | None, Field(description="The tables that the result should account for.")
]
Start = Annotated[
    datetime | str, Field(description="Where the window begins, in ISO 8601 with its time zone; included.")
]
End = Annotated[
    datetime | str, Field(description="Where the window ends, in ISO 8601 with its time zone; not included.")
]
Tables = Annotated[Sequence[str] | None, Field(description="The tables to load; empty for all of the connection.")]
EnvironmentId = Annotated[
    str | None, Field(title="Environment ID", description="The id of the environment; empty for the credentials'.")
]
Variables = Annotated[
    Mapping[str, Any] | None,
    Field(description="The pipeline's variables by their names; never put secrets there."),
]
ForwardContext = Annotated[
    bool, Field(title="Forward context", description="Send who started the run as variables, too.")
]
Stage = Annotated[
    str | None, Field(description="The length of a stage, as 6h, 1d, 1w, 3mo; empty: one backfill for the window.")
]
StageTimezone = Annotated[str, Field(description="Whose hours, days, weeks and months are meant, as Europe/Berlin.")]
MaxActiveStages = Annotated[int, Field(description="How many stages run at a time.")]
StopAfterFailures = Annotated[
    int | None, Field(description="After so many failed stages in a row no other starts; empty tries them all.")
]
Resume = Annotated[
    bool, Field(description="A retry of the flow run starts only what is not loaded; without, it begins anew.")
]
