"""A backfill: a record over one or several jobs, each of which loads one slice of the window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .indexes import Shelf
from .jobs import Job, JobBook
from .scripts import STUCK

MAX_SHARDS = 64
_DAY = 86_400.0


@dataclass(slots=True)
class Backfill:
    """One backfill; `start` and `end` are real epoch seconds of the window, other instants virtual ones."""

    id: str
    seq: int
    connection_id: str
    created: float
    start: float
    end: float
    tables: list[str]
    priority: str | None = None
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None
    jobs: list[Job] = field(default_factory=list)
    status: str = "running"
    finished: float | None = None
    error: Any = None
    open_jobs: int = 0
    history: list[tuple[float, str]] = field(default_factory=list)

    @property
    def is_terminal(self) -> bool:
        return self.finished is not None

    def progress_percent(self, now: float) -> int:
        if self.status == "completed":
            return 100
        shares = [job.share(now) for job in self.jobs]
        return min(99, int(100 * sum(shares) / len(shares))) if shares else 0

    def rows_processed(self, now: float) -> int:
        return sum(job.metrics(now)["rows_loaded"] for job in self.jobs)

    def updated(self, now: float) -> float:
        """A running backfill changes all the time; an ended one never again."""
        return now if self.finished is None else self.finished


class BackfillBook:
    """All backfills, and how the ends of their jobs add up."""

    def __init__(self, jobs: JobBook) -> None:
        self.shelf: Shelf[Backfill] = Shelf()
        self.on_end: list[Callable[[Backfill], None]] = []
        self._jobs = jobs
        self._active: dict[str, dict[str, Backfill]] = {}
        jobs.on_end.append(self._job_ended)

    def get(self, backfill_id: str) -> Backfill | None:
        return self.shelf.by_id.get(backfill_id)

    def active(self, connection_id: str) -> Backfill | None:
        return next(iter(self._active.get(connection_id, {}).values()), None)

    def add(self, backfill: Backfill) -> None:
        self.shelf.add(backfill)
        backfill.open_jobs = len(backfill.jobs)
        backfill.history.append((backfill.created, backfill.status))
        self._active.setdefault(backfill.connection_id, {})[backfill.id] = backfill

    def _job_ended(self, job: Job) -> None:
        backfill = self.get(job.backfill_id) if job.backfill_id else None
        if backfill is None or job.finished is None:
            return
        backfill.open_jobs -= 1
        if job.status == "failed":
            backfill.error = backfill.error or job.error
            for other in backfill.jobs:
                # What has not begun is not begun after a failure; what runs may finish its slice.
                if other.status == "queued":
                    self._jobs.finish(other, job.finished, "cancelled")
        if backfill.open_jobs == 0 and backfill.finished is None:
            self._end(backfill, job.finished)

    def _end(self, backfill: Backfill, now: float) -> None:
        statuses = {job.status for job in backfill.jobs}
        if statuses <= {"succeeded"}:
            status = "completed"
        elif "failed" in statuses:
            status = "failed"
        else:
            # Cancelled, or a scripted word of its own, which the backfill shows too.
            status = min(statuses - {"succeeded"})
        backfill.finished = now
        self.shelf.set_status(backfill, status)
        backfill.history.append((now, status))
        self._active.get(backfill.connection_id, {}).pop(backfill.id, None)
        for tell in self.on_end:
            tell(backfill)


def shard_count(start: float, end: float, days: float) -> int:
    """How many jobs a window is cut into."""
    whole, rest = divmod(end - start, days * _DAY)
    return max(1, min(MAX_SHARDS, int(whole) + (1 if rest > 0 else 0)))


def shard_outcome(outcome: str, shard: int, index: int) -> str:
    """A scripted outcome strikes one shard; a stuck or cancelled backfill is so in all of them."""
    if outcome in (STUCK, "cancelled", "succeeded"):
        return outcome
    return outcome if index == shard else "succeeded"
