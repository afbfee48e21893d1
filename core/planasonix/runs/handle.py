"""A job on its way, as plain data that can be stored, deferred with and picked up in another process."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, cast, get_args
from urllib.parse import quote

from planasonix.errors import ConfigurationError
from planasonix.runs.record import Record
from planasonix.runs.target import connection_of, pipeline_of, target_word, with_target_id
from planasonix.watch import Kind

VERSION = 2


@dataclass(frozen=True)
class RunHandle:
    """Everything that waiting for a run, cancelling it and reporting it needs. Holds no secret.

    `target_id` is the connection that a job or backfill loads, or the pipeline of a `run`.
    `created_at` and `deadline_at` are seconds since the epoch, UTC: wall clock, so that they survive a process.
    """

    kind: Kind
    id: str
    target_id: str
    owned: bool
    created_at: float
    deadline_at: float
    intent: str
    generation: int = 0
    reattached: bool = False
    version: int = VERSION

    @classmethod
    def of(cls, record: Record, *, reattached: bool) -> RunHandle:
        """The handle of a record whose job is known."""
        if record.run_id is None or record.created_at is None or record.deadline_at is None:
            raise ValueError("the record names no job yet")
        return cls(
            kind=record.kind,
            id=record.run_id,
            target_id=record.target_id,
            owned=record.owned,
            created_at=record.created_at,
            deadline_at=record.deadline_at,
            intent=record.intent,
            generation=record.generation,
            reattached=reattached,
        )

    @property
    def connection_id(self) -> str | None:
        """The connection of a job or backfill; None for the run of a pipeline."""
        return connection_of(self)

    @property
    def pipeline_id(self) -> str | None:
        """The pipeline of a `run`; None for the rest."""
        return pipeline_of(self)

    @property
    def created(self) -> datetime:
        return datetime.fromtimestamp(self.created_at, UTC)

    def age_seconds(self, now: float) -> float:
        """How old the run is, never below zero: clocks differ."""
        return max(0.0, now - self.created_at)

    def link(self, job_url_template: str | None) -> str | None:
        """The page of the run, by the `job_url_template` setting; None without one: no dead links.

        `{job_id}` stands for a job's id only, so that a template with nothing else has no link for a backfill; `{kind}`
        (`job`, `backfill`, `run`) and `{id}` serve all. `{connection_id}` may stand anywhere, and `{pipeline_id}` is
        its like for the run of a pipeline: a template with the one that the run has not gives no link.
        """
        if not job_url_template or ("{id}" not in job_url_template and self.kind != "job"):
            return None
        names = {
            "connection_id": self.connection_id,
            "pipeline_id": self.pipeline_id,
            "kind": self.kind,
            "job_id": self.id,
            "id": self.id,
        }
        link = job_url_template
        for name, value in names.items():
            # A run that is known by its id alone has the empty text as its target.
            if not value and f"{{{name}}}" in link:
                return None
            link = link.replace(f"{{{name}}}", quote(value or "", safe=""))
        return link

    def to_dict(self) -> dict[str, Any]:
        """Only str, int, float, bool: fit for any orchestrator's serializer."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunHandle:
        """Read what any version up to this one wrote; fields of a newer one are left alone."""
        data = with_target_id(data)
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})

    @classmethod
    def named(cls, value: object, *, kind: Kind | None = None, field: str = "handle") -> RunHandle | None:
        """The run that another step returned; None where that step returned none.

        `value` is a handle or an outcome as its `to_dict()`, or the text of one, as JSON or as Python writes it:
        templates give text. `kind` is meant where it tells none. A target that it does not tell is "", and the times
        are 0.0: who has only a name has seen nothing yet. Raises `ConfigurationError`, which names `field`.

        >>> RunHandle.named("{'kind': 'job', 'id': 'job_1', 'connection_id': 'conn_1', 'owned': True}").target_id
        'conn_1'
        >>> RunHandle.named("None") is None
        True
        """
        if isinstance(value, str):
            value = _read(value)
        if value is None:
            return None
        data: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
        shown, run_id = data.get("kind", kind), data.get("id")
        if shown not in get_args(Kind) or not isinstance(run_id, str) or not run_id.strip():
            raise ConfigurationError(
                f"{field} is no run that a task or step of this package returned.",
                field=field,
                hint="Give what it returned, or the run's id. A backfill in stages is many runs.",
            )
        target_id = data.get("target_id") or data.get(f"{target_word(shown)}_id") or ""
        return cls(shown, run_id.strip(), str(target_id), data.get("owned") is True, 0.0, 0.0, "")


def _read(text: str) -> object:
    """What a text stands for; itself where it stands for nothing."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return text
