"""Jobs: discrete executions, from syncs, backfills and pipeline runs. Facts §1.1 and §4.2, seed 2."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from planasonix.models.base import BareReadable, WireModel
from planasonix.models.enums import JobStatus, JobType
from planasonix.models.scalars import Id, Timestamp
from planasonix.models.status import TERMINAL_PHASES, Phase, phase_of


class RunError(BareReadable):
    """Why a run failed. No shape is published: an object, a text and a list are all understood."""

    bare_field = "message"
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "message": ("error", "detail", "description", "reason", "error_message"),
        "code": ("error_code", "type"),
    }

    code: str | int | None = None
    message: str | None = None
    details: Any = None

    @classmethod
    def of_bare(cls, data: Any) -> dict[str, Any]:
        if not isinstance(data, list):
            return super().of_bare(data)
        errors = [cls.model_validate(entry) for entry in cast("list[Any]", data) if entry]
        if not errors:
            raise ValueError("an empty list of errors")
        if len(errors) == 1:
            return {"code": errors[0].code, "message": errors[0].message, "details": errors[0].details}
        return {"message": "; ".join(error.text for error in errors)}

    @property
    def text(self) -> str:
        """One line for people: code and message, or all that the server sent where it has neither."""
        parts = [str(part) for part in (self.code, self.message) if part not in (None, "")]
        return ": ".join(parts) or json.dumps(self.to_wire())


class JobMetrics(WireModel):
    """What a job has moved so far."""

    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "rows_extracted": ("rows_read", "records_read"),
        "rows_loaded": ("rows_written", "records_written", "rows_synced", "total_rows_synced"),
    }

    rows_extracted: int | None = None
    rows_loaded: int | None = None
    bytes_read: int | None = None


class Job(WireModel):
    """A job: from a start, a GET, a list row (fewer fields) or a cancel (`id`, `status`, when)."""

    strict_fields = frozenset({"status"})
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "id": ("job_id", "run_id"),
        "finished_at": ("ended_at", "completed_at"),
        "error": ("error_message",),
        "metrics": ("progress",),
    }

    id: Id
    type: JobType | None = None
    status: JobStatus | None = None
    connection_id: str | None = None
    pipeline_id: str | None = None
    created_at: Timestamp | None = None
    queued_at: Timestamp | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    cancel_requested_at: Timestamp | None = None
    duration_seconds: int | float | None = None
    metrics: JobMetrics | None = None
    error: RunError | None = None
    metadata: dict[str, Any] | None = None

    @property
    def phase(self) -> Phase:
        """What the status means, see `phase_of`."""
        return phase_of(self.status, ended=self.finished_at is not None)

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended, well or not."""
        return self.phase in TERMINAL_PHASES
