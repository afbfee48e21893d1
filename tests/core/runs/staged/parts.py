"""What a world of staged backfills is made of, and what tests ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from planasonix.errors import Attempt, TransportError
from planasonix.runs import BackfillRequest, StagedBackfill, plan_stages
from planasonix.runs.effects import ListSince

CONNECTION = "conn_1"
PHASES = {"running": "active", "canceling": "cancelling", "completed": "succeeded"}


class Killed(BaseException):
    """The process is gone."""


@dataclass(frozen=True)
class Shown:
    """A backfill as the API shows it."""

    id: str
    status: str
    start_at: datetime
    end_at: datetime
    created_at: datetime
    tables: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None
    finished_at: datetime | None = None
    connection_id: str = CONNECTION

    @property
    def phase(self) -> str:
        return PHASES.get(self.status, self.status)

    @property
    def job_ids(self) -> tuple[str, ...]:
        return (f"job-of-{self.id}",)


@dataclass(frozen=True)
class Made:
    """Why a backfill exists: None where it is somebody else's."""

    intent: str | None
    generation: int = 0
    wish: str | None = None
    epoch: str | None = None
    digest: str | None = None
    stage: str | None = None


def staged(days: int = 4, *, tables: tuple[str, ...] | None = None, **options: Any) -> StagedBackfill:
    stages = plan_stages("2026-01-01T00:00Z", f"2026-01-{days + 1:02}T00:00Z", "1d")
    request = BackfillRequest(CONNECTION, stages[0].start_at, stages[-1].end_at, tables=tables)
    return StagedBackfill(request, stages, **options)


def attempts(count: int) -> tuple[Attempt, ...]:
    return tuple(Attempt(at=0.0, status=None, error="x", request_id=None, slept_seconds=0.0) for _ in range(count))


def run_on(world: Any, asked: StagedBackfill, *ends: str, **options: Any) -> Any:
    """Advance until it ended; each backfill that is waited for ends as the next of `ends` says, then well."""
    words = list(ends)
    for _ in range(100):
        progress = world.advance(asked, **options)
        if progress.ended:
            return progress
        for handle in progress.active:
            world.now += 60
            world.end(handle.id, words.pop(0) if words else "completed")
    raise AssertionError("it goes on and on")


def lose_an_answer(world: Any, asked: StagedBackfill, *, idempotency: str = "honoured") -> None:
    """A stage's start has its effect, and nobody hears of it."""
    world.fates = ["lost_after"] * 3
    crash_at = None if idempotency == "honoured" else ListSince
    with pytest.raises(TransportError if idempotency == "honoured" else Killed):
        world.advance(asked, idempotency=idempotency, crash_at=crash_at)
    world.fates = []
