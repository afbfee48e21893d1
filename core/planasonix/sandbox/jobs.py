"""The life of a job: queued, running, and an end; cancelling in between when somebody asks for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .indexes import Shelf
from .scripts import STUCK, Script
from .timeline import Timeline

SYNC = "connection_sync"
BACKFILL = "backfill"
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
_BYTES_PER_ROW = 148


@dataclass(slots=True)
class Job:
    """One job. Instants are virtual epoch seconds; `tables` are (name, rows to load, checksum)."""

    id: str
    seq: int
    type: str
    connection_id: str
    pipeline_id: str | None
    created: float
    plan: Script
    tables: list[tuple[str, int, str]]
    warnings: list[dict[str, str]]
    priority: str | None = None
    metadata: dict[str, Any] | None = None
    backfill_id: str | None = None
    idempotency_key: str | None = None
    delay: float = 0.0  # seconds in the queue
    duration: float = 0.0
    status: str = "queued"
    started: float | None = None
    finished: float | None = None
    cancel_requested: float | None = None
    is_terminal: bool = False
    error: Any = None
    turn: int = 0  # events planned before the last change of mind carry an older turn and are ignored
    history: list[tuple[float, str]] = field(default_factory=list)

    def share(self, now: float) -> float:
        """How much of the work is done for good or under way, 0..1."""
        if not self.is_terminal:
            return self.progress(now)
        if self.status == "succeeded":
            return 1.0
        return len(self.loaded(now)) / len(self.tables) if self.tables else 0.0

    def progress(self, now: float) -> float:
        """How far the run came in time, 0..1; it stands still once cancelling was asked for."""
        if self.started is None:
            return 0.0
        until = min(now, self.finished or now, self.cancel_requested or now)
        return min(1.0, max(0.0, (until - self.started) / self.duration)) if self.duration else 1.0

    def loaded(self, now: float) -> list[tuple[str, int, str]]:
        """The tables that are loaded for good, as results and metrics report them."""
        if not self.is_terminal:
            return []
        whole = [table for table in self.tables if table[0] not in self.plan.lost_tables]
        if self.status == "succeeded" or self.status not in TERMINAL:
            return whole
        if self.status == "cancelled":
            return whole[: int(len(whole) * self.progress(now))]
        if self.plan.loaded_tables is not None:
            return [table for table in whole if table[0] in self.plan.loaded_tables]
        return whole[: len(whole) // 2]

    def metrics(self, now: float) -> dict[str, int]:
        if self.is_terminal:
            loaded = sum(rows for _, rows, _ in self.loaded(now))
            extracted = loaded
        else:
            total = sum(rows for _, rows, _ in self.tables)
            share = self.progress(now)
            # A source is read a little ahead of what is loaded.
            loaded, extracted = int(total * share), int(total * min(1.0, share * 1.01))
        return {"rows_extracted": extracted, "rows_loaded": loaded, "bytes_read": extracted * _BYTES_PER_ROW}


class JobBook:
    """All jobs, their transitions, and who waits for whom."""

    def __init__(self, timeline: Timeline) -> None:
        self.shelf: Shelf[Job] = Shelf()
        self.hidden: set[str] = set()
        self.on_end: list[Callable[[Job], None]] = []
        self._timeline = timeline
        self._active: dict[tuple[str, str], dict[str, Job]] = {}
        self._lines: dict[tuple[str, str], deque[Job]] = {}

    def get(self, job_id: str) -> Job | None:
        return None if job_id in self.hidden else self.shelf.by_id.get(job_id)

    def active(self, connection_id: str, job_type: str) -> Job | None:
        """The oldest job of this connection and type that has not ended."""
        return next(iter(self._active.get((connection_id, job_type), {}).values()), None)

    def add(self, job: Job, *, in_line: bool) -> None:
        """Queues a job. `in_line`: it starts only after those of its connection and type that came before."""
        self.shelf.add(job)
        job.history.append((job.created, job.status))
        key = (job.connection_id, job.type)
        waiting = in_line and bool(self._active.get(key))
        self._active.setdefault(key, {})[job.id] = job
        if waiting:
            self._lines.setdefault(key, deque()).append(job)
        else:
            self._timeline.at(job.created + job.delay, self._start, job, job.turn)

    def cancel(self, job: Job, now: float, *, seconds: float, outcome: str) -> bool:
        """Asks a job to stop; False when it has ended or is stopping already."""
        if job.is_terminal or job.cancel_requested is not None:
            return False
        job.cancel_requested = now
        job.turn += 1
        self._move(job, "cancelling", now)
        self._timeline.at(now + seconds, self._end, job, job.turn, outcome)
        return True

    def finish(self, job: Job, now: float, outcome: str) -> None:
        """Ends a job at once, whatever its plan was."""
        if not job.is_terminal:
            job.turn += 1
            self._end(now, job, job.turn, outcome)

    def _start(self, now: float, job: Job, turn: int) -> None:
        if turn != job.turn or job.status != "queued":
            return
        job.started = now
        self._move(job, "running", now)
        job.turn += 1
        if job.plan.outcome != STUCK:
            self._timeline.at(now + job.duration, self._end, job, job.turn, job.plan.outcome)

    def _end(self, now: float, job: Job, turn: int, outcome: str) -> None:
        if turn != job.turn:
            return
        if outcome not in TERMINAL and not job.plan.ended:
            self._move(job, outcome, now)
            return
        job.finished = now
        job.is_terminal = True
        if outcome == "failed":
            job.error = job.plan.error
        self._move(job, outcome, now)
        self._leave(job, now)
        for tell in self.on_end:
            tell(job)

    def _leave(self, job: Job, now: float) -> None:
        """Lets the next in line start once nothing before it is active."""
        key = (job.connection_id, job.type)
        self._active.get(key, {}).pop(job.id, None)
        line = self._lines.get(key)
        while line and line[0].is_terminal:
            line.popleft()
        if line and next(iter(self._active[key])) == line[0].id:
            job = line.popleft()
            self._timeline.at(now + job.delay, self._start, job, job.turn)

    def _move(self, job: Job, status: str, now: float) -> None:
        self.shelf.set_status(job, status)
        job.history.append((now, status))
