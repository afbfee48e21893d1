"""The two facets of ours. Imports OpenLineage: only for those whom its listener has asked."""

from __future__ import annotations

from typing import ClassVar

import attr
from openlineage.client.facet_v2 import JobFacet, RunFacet

_NO_SECRET = ["kind", "ids", "jobIds", "links", "status", "tables", "connectionId", "pipelineId", "planasonixConnId"]
"""Names and addresses, shown as they are: OpenLineage's masking goes by the look of words."""


@attr.define
class PlanasonixRunFacet(RunFacet):
    """The run: `kind` is `job`, `backfill`, `staged_backfill` or `run`, `ids` its id or those of its stages."""

    kind: str
    ids: list[str]
    status: str
    tables: dict[str, str]
    rowsLoaded: int | None = None
    windowStart: str | None = None
    windowEnd: str | None = None
    jobIds: list[str] = attr.field(factory=list)
    links: list[str] = attr.field(factory=list)
    generation: int | None = None
    durationSeconds: float | None = None
    warnings: list[str] = attr.field(factory=list)
    stagesDone: int | None = None
    stagesTotal: int | None = None

    _additional_skip_redact: ClassVar[list[str]] = _NO_SECRET


@attr.define
class PlanasonixJobFacet(JobFacet):
    """The Airflow connection that the task asks with, and which connection it loads or pipeline it runs."""

    planasonixConnId: str
    connectionId: str | None = None
    pipelineId: str | None = None

    _additional_skip_redact: ClassVar[list[str]] = _NO_SECRET
