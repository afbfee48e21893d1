"""The two facets of ours. Imports OpenLineage: only for those whom its listener has asked."""

from __future__ import annotations

from typing import ClassVar

import attr
from openlineage.client.facet_v2 import JobFacet, RunFacet

_NO_SECRET = ["kind", "ids", "jobIds", "links", "status", "tables", "connectionId", "planasonixConnId"]
"""Names and addresses, shown as they are: OpenLineage's masking goes by the look of words."""


@attr.define
class PlanasonixRunFacet(RunFacet):
    """The run in Planasonix: `kind` is `job`, `backfill` or `staged_backfill`, `ids` its id or those of its stages."""

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
    """Which connection the task loads, and the Airflow connection that it asks with."""

    connectionId: str
    planasonixConnId: str

    _additional_skip_redact: ClassVar[list[str]] = _NO_SECRET
