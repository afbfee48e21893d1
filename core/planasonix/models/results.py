"""What a job has loaded. Facts §1.1 and §4.2 (C5, C20, C27), seed 2."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from planasonix.models.base import BareReadable, WireModel
from planasonix.models.enums import JobStatus
from planasonix.models.status import TERMINAL_PHASES, Phase, phase_of


class TableResult(BareReadable):
    """What a job did to one table. A `status` of its own is not documented, but honoured if it is there."""

    bare_field = "name"
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "name": ("table", "stream", "table_name", "stream_name"),
        "rows_loaded": ("rows_synced", "rows_written", "records_written"),
    }

    name: str = ""
    rows_loaded: int | None = None
    checksum: str | None = None
    status: JobStatus | None = None


class ResultWarning(BareReadable):
    """Something that the job did differently than asked, such as a widened column."""

    bare_field = "message"

    code: str | None = None
    message: str | None = None


class JobResults(WireModel):
    """The results of a job. Before its end a server may answer with a stub: `is_final` tells."""

    strict_fields = frozenset({"status"})
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {"job_id": ("id", "run_id"), "tables": ("streams",)}

    job_id: str | None = None
    status: JobStatus | None = None
    tables: list[TableResult] = Field(default=[])
    warnings: list[ResultWarning] = Field(default=[])
    summary: dict[str, Any] | None = None

    @property
    def phase(self) -> Phase:
        """What the status inside means; a stub without one counts as active."""
        return phase_of(self.status, ended=False)

    @property
    def is_final(self) -> bool:
        """Whether these are the results of a job that has ended."""
        return self.phase in TERMINAL_PHASES

    @property
    def total_rows_loaded(self) -> int | None:
        """Rows loaded into all tables; the server's own sum if it lists none, None if nothing says."""
        counts = [table.rows_loaded for table in self.tables if table.rows_loaded is not None]
        if counts:
            return sum(counts)
        total = (self.summary or {}).get("total_rows_synced")
        return total if isinstance(total, int) else None
