"""The options of a run as fields of the job blocks, described once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
