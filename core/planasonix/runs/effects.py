"""What the run engine asks of the world. The generators yield these; `drivers` carries them out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from planasonix.runs.record import Record
from planasonix.watch import Kind

T = TypeVar("T")


class RunView(Protocol):
    """A job, backfill or pipeline run as the client's models show it."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> str | None: ...
    @property
    def phase(self) -> str: ...
    @property
    def created_at(self) -> datetime | None: ...


@dataclass(frozen=True)
class Save:
    """Make the record durable. Answer: None."""

    record: Record


@dataclass(frozen=True)
class Post:
    """Send exactly these bytes with exactly this key. Answer: (run, tries); throws the client's errors.

    `retry_unknown` lets the client send again after an unclear answer: only safe while the key is honoured.
    """

    record: Record
    retry_unknown: bool


@dataclass(frozen=True)
class Get:
    """Read one run. Answer: the run; throws `NotFoundError` and the rest."""

    kind: Kind
    run_id: str


@dataclass(frozen=True)
class ListSince:
    """All runs of one target, kind and type (None: any) created since then (our epoch time). Answer: `Listed`."""

    kind: Kind
    target_id: str
    job_type: str | None
    since: float


@dataclass(frozen=True)
class Listed:
    """The answer to `ListSince`. `clock_offset_seconds` is the server's time minus ours; None where it is not known."""

    runs: list[Any]
    clock_offset_seconds: float | None = None


@dataclass(frozen=True)
class Claimed:
    """Which of these run ids another slot of the ledger owns. Answer: a frozenset."""

    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Cancel:
    """Ask for the cancellation of one run. Answer: the run as the API then shows it."""

    kind: Kind
    run_id: str


@dataclass(frozen=True)
class Results:
    """Read the results of one job. Answer: the results, or None where the API has none (409, 404)."""

    job_id: str


@dataclass(frozen=True)
class Nodes:
    """Read what became of each node of a pipeline run. Answer: them, or None where the API has none (409, 404)."""

    run_id: str


@dataclass(frozen=True)
class Sleep:
    """Wait. Answer: None."""

    seconds: float


@dataclass(frozen=True)
class Say:
    """One line for the orchestrator's log. Answer: None."""

    level: Literal["info", "warning"]
    text: str


Effect = Save | Post | Get | ListSince | Claimed | Cancel | Results | Nodes | Sleep | Say
Steps = Generator[Effect, Any, T]
