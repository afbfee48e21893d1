"""A world without I/O for the run engine's generators: an API in a few lines, a ledger, a clock."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from planasonix.errors import Attempt, ConflictError, NotFoundError, TransportError
from planasonix.runs import effects
from planasonix.runs.decide import Policy
from planasonix.runs.provenance import Provenance
from planasonix.runs.record import Record
from planasonix.runs.requests import PipelineRunRequest, SyncRequest
from planasonix.runs.start import Start

PHASES = {"queued": "active", "running": "active", "canceling": "cancelling"}


@dataclass(frozen=True)
class FakeRun:
    id: str
    status: str
    created_at: datetime
    connection_id: str = "conn_1"
    pipeline_id: str = "pl_1"
    metadata: dict[str, Any] | None = None
    job_ids: tuple[str, ...] = ()
    queued_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def phase(self) -> str:
        return PHASES.get(self.status, self.status)


def attempts(count: int) -> tuple[Attempt, ...]:
    return tuple(Attempt(at=0.0, status=None, error="x", request_id=None, slept_seconds=0.0) for _ in range(count))


@dataclass
class World:
    """`keys`: honoured (a known key is replayed) or ignored. `replay`: what a replay shows, the live or the saved job.

    `lose`: how many POSTs lose their answer after the effect. `lose_before`: the same, before the effect.
    """

    kind: str = "job"
    keys: str = "honoured"
    replay: str = "live"
    lose: int = 0
    lose_before: int = 0
    busy: bool = False
    echoes: bool = False
    next_status: str = "queued"
    jobs: dict[str, FakeRun] = field(default_factory=dict)
    by_key: dict[str, tuple[FakeRun, str]] = field(default_factory=dict)
    claimed: frozenset[str] = frozenset()
    saved: list[Record] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    now: float = 1_000_000.0
    ends_after_sleeps: dict[str, int] = field(default_factory=dict)
    crash_at: int | None = None
    reads_lost: int = 0

    @property
    def request(self) -> Any:
        return PipelineRunRequest("pl_1") if self.kind == "run" else SyncRequest("conn_1")

    # --- what the table needs -------------------------------------------------------------------------------------

    def add_job(self, status: str, *, age: float = 10.0, job_id: str | None = None, **more: Any) -> FakeRun:
        job_id = job_id or f"job_{len(self.jobs) + 1}"
        if self.kind == "run":
            # Every run of the tenant is one of a pipeline.
            more = {"connection_id": None, "pipeline_id": more.pop("target_id", "pl_1"), **more}
        elif "target_id" in more:
            more["connection_id"] = more.pop("target_id")
        job = FakeRun(job_id, status, datetime.fromtimestamp(self.now - age, UTC), **more)
        self.jobs[job.id] = job
        return job

    def run(self, stored: Record | None = None, *, intent: str = "intent-1", **policy: Any) -> Any:
        policy = {"idempotency": "honoured", "on_edit": "keep"} | policy
        start = Start(self.request, intent, Provenance("test", "a test"), Policy(**policy), lambda: self.now)
        steps = start.steps(stored)
        try:
            effect = next(steps)
            while True:
                try:
                    answer = self.do(effect)
                except (ConflictError, NotFoundError, TransportError) as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(answer)
        except StopIteration as end:
            return end.value

    @property
    def stored(self) -> Record | None:
        return self.saved[-1] if self.saved else None

    @property
    def posts(self) -> int:
        return Counter(self.trace)["POST"]

    # --- the world's answers --------------------------------------------------------------------------------------

    def do(self, effect: Any) -> Any:
        if self.crash_at is not None and len(self.trace) >= self.crash_at:
            raise KeyboardInterrupt
        match effect:
            case effects.Save(record):
                self.trace.append("SAVE")
                self.saved.append(Record.from_dict(json.loads(json.dumps(record.to_dict()))))
            case effects.Post():
                self.trace.append("POST")
                return self.post(effect)
            case effects.Get(_, run_id):
                self.trace.append("GET")
                if self.reads_lost:
                    self.reads_lost -= 1
                    raise TransportError("no answer")
                if run_id not in self.jobs:
                    raise NotFoundError("no such job", status_code=404)
                return self.jobs[run_id] if self.echoes else replace(self.jobs[run_id], metadata=None)
            case effects.Nodes():
                self.trace.append("NODES")
            case effects.ListSince(kind, target_id):
                assert (kind, target_id) == (self.kind, "pl_1" if kind == "run" else "conn_1")
                self.trace.append("LIST")
                jobs = [job for job in self.jobs.values() if job.created_at.timestamp() >= effect.since]
                return effects.Listed(jobs, 0.0)
            case effects.Claimed(run_ids):
                return self.claimed.intersection(run_ids)
            case effects.Cancel(_, job_id):
                self.trace.append("CANCEL")
                self.jobs[job_id] = replace(self.jobs[job_id], status="cancelling")
                self.ends_after_sleeps.setdefault(job_id, 1)
                return self.jobs[job_id]
            case effects.Sleep(seconds):
                self.now += seconds
                self.settle()
            case effects.Say(_, text):
                self.said.append(text)
        return None

    def settle(self) -> None:
        for job_id, left in list(self.ends_after_sleeps.items()):
            self.ends_after_sleeps[job_id] = left - 1
            if left <= 1:
                self.jobs[job_id] = replace(self.jobs[job_id], status="cancelled")
                del self.ends_after_sleeps[job_id]

    def post(self, effect: effects.Post) -> tuple[FakeRun, int]:
        """Behaves like the client over a lossy line: it tries again while it may."""
        for attempt in range(1, 4):
            may_retry = effect.retry_unknown and attempt < 3
            if self.lose_before > 0:
                self.lose_before -= 1
                if may_retry:
                    continue
                raise TransportError("no answer", outcome="unknown", attempts=attempts(attempt))
            try:
                run = self.accept(effect.record, attempt)
            except ConflictError as error:
                if attempt > 1:
                    error.outcome = "unknown"
                raise
            if self.lose > 0:
                self.lose -= 1
                if may_retry:
                    continue
                raise TransportError("no answer", outcome="unknown", attempts=attempts(attempt))
            return run, attempt
        raise AssertionError("unreachable")

    def accept(self, record: Record, attempt: int) -> FakeRun:
        if self.keys == "honoured" and record.key in self.by_key:
            first, body = self.by_key[record.key]
            if body != record.body:
                raise ConflictError(
                    "key reused", status_code=409, code="idempotency_key_reuse", attempts=attempts(attempt)
                )
            return first if self.replay == "saved" else self.jobs[first.id]
        if self.busy or (self.keys == "ignored" and any(job.phase == "active" for job in self.jobs.values())):
            raise ConflictError("busy", status_code=409, attempts=attempts(attempt))
        metadata = json.loads(record.body).get("metadata")
        job = self.add_job(self.next_status, age=0.0, metadata=metadata)
        self.by_key[record.key] = (replace(job, status="queued"), record.body)
        return job


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> type[World]:
    return World
