"""Runs of pipelines, with their nodes and logs. Public page "runs", facts §1.4; the wire is camelCase."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from planasonix.models.base import BareReadable, WireModel
from planasonix.models.enums import PipelineRunStatus
from planasonix.models.jobs import RunError
from planasonix.models.scalars import Id, Timestamp
from planasonix.models.status import TERMINAL_PHASES, Phase, phase_of


class RunTrigger(BareReadable):
    """What started a run. A list row has the type alone, as a bare word."""

    bare_field = "type"

    type: str | None = None
    schedule_id: str | None = Field(default=None, alias="scheduleId")


class RunMetrics(WireModel):
    """What a run has moved so far."""

    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "rows_read": ("records_read", "rows_extracted"),
        "rows_written": ("records_written", "rows_loaded"),
    }

    rows_read: int | None = Field(default=None, alias="rowsRead")
    rows_written: int | None = Field(default=None, alias="rowsWritten")
    bytes_shuffled: int | None = Field(default=None, alias="bytesShuffled")


class PipelineRun(WireModel):
    """A run: from a start (`queued_at`), a GET, a list row (fewer fields) or a cancel (`id`, `status`, `message`).

    Which fields a server sends differs by dialect: the backend answers a start with `success`, `message` and
    the id, and its rows have `records_written` instead of `metrics`.
    """

    strict_fields = frozenset({"status"})
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "id": ("run_id",),
        "queued_at": ("created_at",),
        "finished_at": ("ended_at", "completed_at"),
        "error": ("error_message",),
    }

    id: Id
    pipeline_id: str | None = Field(default=None, alias="pipelineId")
    pipeline_name: str | None = Field(default=None, alias="pipelineName")
    status: PipelineRunStatus | None = None
    trigger: RunTrigger | None = None
    queued_at: Timestamp | None = Field(default=None, alias="queuedAt")
    started_at: Timestamp | None = Field(default=None, alias="startedAt")
    finished_at: Timestamp | None = Field(default=None, alias="finishedAt")
    duration_seconds: int | float | None = Field(default=None, alias="durationSeconds")
    metrics: RunMetrics | None = None
    records_written: int | None = Field(default=None, alias="recordsWritten")
    error: RunError | None = None
    message: str | None = None

    @property
    def phase(self) -> Phase:
        """What the status means, see `phase_of`."""
        return phase_of(self.status, ended=self.finished_at is not None, kind="pipeline_run")

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended, well or not."""
        return self.phase in TERMINAL_PHASES

    @property
    def created_at(self) -> datetime | None:
        """When the run was queued. Only the answer to a start says so; elsewhere its start stands in."""
        return self.queued_at or self.started_at

    @property
    def rows_written(self) -> int | None:
        """Rows written so far, wherever the server says it; None if nowhere."""
        counted = None if self.metrics is None else self.metrics.rows_written
        return self.records_written if counted is None else counted


class RunNode(WireModel):
    """What became of one node in a run. `metrics` are the node's own: a source has `rowsOut`, a sink `rowsIn`."""

    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "node_id": ("id",),
        "finished_at": ("ended_at", "completed_at"),
        "error": ("error_message",),
    }

    node_id: Id = Field(alias="nodeId")
    type: str | None = None
    status: PipelineRunStatus | None = None
    started_at: Timestamp | None = Field(default=None, alias="startedAt")
    finished_at: Timestamp | None = Field(default=None, alias="finishedAt")
    metrics: dict[str, Any] | None = None
    error: RunError | None = None

    @property
    def phase(self) -> Phase:
        """What the status means, see `phase_of`."""
        return phase_of(self.status, ended=self.finished_at is not None, kind="pipeline_run")


class RunNodes(WireModel):
    """The nodes of a run."""

    run_id: str | None = Field(default=None, alias="runId")
    nodes: list[RunNode] = Field(default=[])


class LogLine(BareReadable):
    """One line of a run's log. Its message may hold data of the tenant's, so it is not part of the repr."""

    bare_field = "message"
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "ts": ("timestamp", "time"),
        "message": ("msg", "text"),
    }

    ts: Timestamp | None = None
    level: str | None = None
    node_id: str | None = Field(default=None, alias="nodeId")
    message: str | None = Field(default=None, repr=False)

    @classmethod
    def of_bare(cls, data: Any) -> dict[str, Any]:
        # An empty line is a line.
        return {cls.bare_field: data} if data == "" else super().of_bare(data)


class RunLogs(WireModel):
    """A part of a run's log: its lines, or the address where the server keeps it.

    `next_cursor` is where the next part begins. It says nothing of the run: the documented sample has one for a
    run that has ended.
    """

    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "lines": ("logs", "entries"),
        "next_cursor": ("cursor",),
        "url": ("log_url", "download_url"),
    }

    run_id: str | None = Field(default=None, alias="runId")
    lines: list[LogLine] = Field(default=[])
    next_cursor: str | None = Field(default=None, alias="nextCursor")
    # A signed address opens the log to whoever has it.
    url: str | None = Field(default=None, repr=False)
