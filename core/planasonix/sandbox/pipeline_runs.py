"""The life of a pipeline run: queued, running from node to node, and an end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .indexes import Shelf
from .pipelines import Node
from .scripts import STUCK, Script
from .timeline import Timeline

TERMINAL = frozenset({"succeeded", "failed", "canceled"})
_BYTES_PER_ROW = 438


class NodeRun(NamedTuple):
    """What became of one node so far."""

    node: Node
    status: str
    started: float | None
    finished: float | None
    rows: int


@dataclass(slots=True)
class PipelineRun:
    """One run. Instants are virtual epoch seconds; `rows` is what it reads in each source."""

    id: str
    seq: int
    pipeline_id: str
    created: float
    plan: Script
    nodes: tuple[Node, ...]
    rows: int
    trigger: str = "manual"
    variables: dict[str, Any] | None = None
    environment_id: str | None = None
    idempotency_key: str | None = None
    status: str = "queued"
    started: float | None = None
    finished: float | None = None
    cancel_requested: float | None = None
    is_terminal: bool = False
    error: Any = None
    turn: int = 0  # events planned before the last change of mind carry an older turn and are ignored
    history: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def node_runs(self, now: float) -> list[NodeRun]:
        """The nodes in their order. Each takes the same share of the time; a planned failure strikes at the end."""
        path = self._path()
        share = self.plan.duration_seconds / len(path)
        until = min(now, self.finished or now, self.cancel_requested or now)
        return [self._node_run(node, index, share, until, len(path)) for index, node in enumerate(self.nodes)]

    def _path(self) -> tuple[Node, ...]:
        """The nodes that are to run: none follows the one that is to fail."""
        if self.plan.outcome == "failed":
            for index, node in enumerate(self.nodes):
                if node.id == self.plan.failed_node:
                    return self.nodes[: index + 1]
        return self.nodes

    def _node_run(self, node: Node, index: int, share: float, until: float, length: int) -> NodeRun:
        if self.started is None or index >= length:
            return NodeRun(node, "canceled" if self.is_terminal else "queued", None, None, 0)
        start, end = self.started + index * share, self.started + (index + 1) * share
        if self.status == "succeeded" and self.finished is not None:
            # It may have been ended ahead of its time.
            return NodeRun(node, "succeeded", min(start, self.finished), min(end, self.finished), self.rows)
        if until < start:
            return NodeRun(node, "canceled" if self.is_terminal else "queued", None, None, 0)
        if until >= end and index < length - 1:
            return NodeRun(node, "succeeded", start, end, self.rows)
        done = min(1.0, (until - start) / share) if share else 1.0
        status = self.status if self.is_terminal else "running"
        return NodeRun(node, status, start, self.finished, int(self.rows * done))

    def metrics(self, now: float) -> dict[str, int]:
        nodes = self.node_runs(now)
        read = sum(each.rows for each in nodes if each.node.is_source)
        written = sum(each.rows for each in nodes if each.node.is_sink)
        return {"rowsRead": read, "rowsWritten": written, "bytesShuffled": read * _BYTES_PER_ROW}

    def progress_percent(self, now: float) -> int:
        if self.status == "succeeded":
            return 100
        ended = sum(each.status == "succeeded" for each in self.node_runs(now))
        return int(100 * ended / len(self.nodes))


class RunBook:
    """All runs and their transitions. Runs of one pipeline do not wait for each other."""

    def __init__(self, timeline: Timeline) -> None:
        self.shelf: Shelf[PipelineRun] = Shelf("pipeline_id")
        self.hidden: set[str] = set()
        self._timeline = timeline

    def get(self, run_id: str) -> PipelineRun | None:
        return None if run_id in self.hidden else self.shelf.by_id.get(run_id)

    def active(self, pipeline_id: str) -> bool:
        """Whether a run of the pipeline goes on."""
        return any(not run.is_terminal for run in self.shelf.walk(owner=pipeline_id))

    def add(self, run: PipelineRun) -> None:
        self.shelf.add(run)
        run.history.append((run.created, run.status))
        self._timeline.at(run.created + run.plan.queue_seconds, self._start, run, run.turn)

    def cancel(self, run: PipelineRun, now: float, *, seconds: float, outcome: str) -> bool:
        """Asks a run to stop; False when it was asked before. Until it has, it shows the status that it had."""
        if run.cancel_requested is not None:
            return False
        run.cancel_requested = now
        run.turn += 1
        self._timeline.at(now + seconds, self._end, run, run.turn, outcome)
        return True

    def finish(self, run: PipelineRun, now: float, outcome: str) -> None:
        """Ends a run at once, whatever its plan was."""
        if not run.is_terminal:
            run.turn += 1
            self._end(now, run, run.turn, outcome)

    def _start(self, now: float, run: PipelineRun, turn: int) -> None:
        if turn != run.turn:
            return
        run.started = now
        self._move(run, "running", now)
        if run.plan.outcome != STUCK:
            self._timeline.at(now + run.plan.duration_seconds, self._end, run, run.turn, run.plan.outcome)

    def _end(self, now: float, run: PipelineRun, turn: int, outcome: str) -> None:
        if turn != run.turn:
            return
        # Scripts and switches speak the words of jobs.
        status = "canceled" if outcome == "cancelled" else outcome
        if status not in TERMINAL and not run.plan.ended:
            self._move(run, status, now)
            return
        run.finished = now
        run.is_terminal = True
        if status == "failed":
            run.error = run.plan.error
        self._move(run, status, now)

    def _move(self, run: PipelineRun, status: str, now: float) -> None:
        self.shelf.set_status(run, status)
        run.history.append((now, status))
