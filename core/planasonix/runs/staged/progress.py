"""What a round of a staged backfill came to, as plain data: whom to wait for before the next one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from planasonix.runs.handle import RunHandle
from planasonix.watch.protocols import Kind


@dataclass(frozen=True)
class StagedProgress:
    """What a round came to.

    Unless `ended`, wait until any of `active` has ended or passed its deadline, then advance again, in any process.
    Without `active`, the connection is busy with somebody else's run (`busy_run_id` where it is known, of
    `busy_kind`), since `busy_since`, seconds since the epoch. `skipped` is true where `if_running="skip"` ended it.
    `stalled`: a round soon would come to no more, because a run that has ended cannot be read yet, or a start got no
    answer while others run.
    """

    active: tuple[RunHandle, ...]
    done: int
    failed: tuple[str, ...]
    to_do: int
    ended: bool
    skipped: bool = False
    stalled: bool = False
    busy_kind: Kind = "job"
    busy_run_id: str | None = None
    busy_since: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        data = asdict(self)
        return {**data, "active": list(data["active"]), "failed": list(self.failed)}
