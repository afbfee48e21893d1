"""Backfills: historical loads over a window, tracked by a record of their own. Facts §1.1, seed 2."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from planasonix.models.base import WireModel
from planasonix.models.enums import BackfillStatus
from planasonix.models.jobs import RunError
from planasonix.models.scalars import Id, Timestamp
from planasonix.models.status import TERMINAL_PHASES, Phase, phase_of


class Backfill(WireModel):
    """A backfill, as in the answers of a start, a GET and a list row (which has no tables, rows and job ids).

    `start_at` and `end_at` are the window asked for, not when it ran.
    """

    strict_fields = frozenset({"status"})
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {"id": ("backfill_id",), "error": ("error_message",)}

    id: Id
    connection_id: str | None = None
    status: BackfillStatus | None = None
    start_at: Timestamp | None = None
    end_at: Timestamp | None = None
    tables: list[str] | None = None
    progress_percent: int | float | None = None
    rows_processed: int | None = None
    error: RunError | None = None
    job_ids: list[str] = Field(default=[])
    metadata: dict[str, Any] | None = None
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None

    @property
    def phase(self) -> Phase:
        """What the status means, see `phase_of`. Full progress is not an end: only a word of the server's is."""
        return phase_of(self.status, ended=False, kind="backfill")

    @property
    def is_terminal(self) -> bool:
        """Whether the backfill has ended, well or not."""
        return self.phase in TERMINAL_PHASES
