"""What the ledger remembers of one wish: written before the POST, completed after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from planasonix.errors import ConfigurationError
from planasonix.runs.intent import idempotency_key
from planasonix.runs.requests import Operation, RunRequest
from planasonix.watch import Kind

VERSION = 1


@dataclass(frozen=True)
class Record:
    """One intent's present job. Times are seconds since the epoch, UTC.

    `sent_at` is the moment of the first POST of this key, or None when nothing may have been sent; `run_id` is known
    once an answer, a replay or a look named the job. `owned` is False for a job that somebody else may have started:
    those are waited for, never cancelled. `earlier_ids` are this intent's jobs of earlier generations.
    `leave_running`: whoever finds the job without its owner leaves it alone. `ended_as` is the API's word for the end
    once the owner has read it; None while nobody did. `named_at` is when we learned `run_id`.
    """

    intent: str
    operation: Operation
    kind: Kind
    connection_id: str
    key: str
    body: str
    generation: int = 0
    refusals: int = 0
    sent_at: float | None = None
    run_id: str | None = None
    created_at: float | None = None
    deadline_at: float | None = None
    owned: bool = True
    depth: int = 0
    earlier_ids: tuple[str, ...] = ()
    leave_running: bool = False
    ended_as: str | None = None
    named_at: float | None = None
    version: int = VERSION

    @classmethod
    def fresh(
        cls,
        intent: str,
        request: RunRequest,
        metadata: dict[str, object],
        *,
        generation: int = 0,
        refusals: int = 0,
        depth: int = 0,
        earlier_ids: tuple[str, ...] = (),
        leave_running: bool = False,
    ) -> Record:
        """The record of a job that has not been asked for yet; fixes the bytes and the key of its POST."""
        return cls(
            intent=intent,
            operation=request.operation,
            kind=request.kind,
            connection_id=request.connection_id,
            key=idempotency_key(intent, generation, request, refusals=refusals),
            body=json.dumps(request.body(metadata), sort_keys=True, separators=(",", ":"), ensure_ascii=False),
            generation=generation,
            refusals=refusals,
            depth=depth,
            earlier_ids=earlier_ids,
            leave_running=leave_running,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; what the orchestrator's store keeps."""
        data = asdict(self)
        data["earlier_ids"] = list(self.earlier_ids)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Record:
        """Read what any version up to this one wrote; fields of a newer one are left alone."""
        if not isinstance(data.get("version"), int) or "intent" not in data:
            raise ConfigurationError(
                "The stored ledger entry is not one of planasonix.",
                hint="Another tool wrote to the same key of the store; clear the entry.",
            )
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        known["earlier_ids"] = tuple(known.get("earlier_ids") or ())
        return cls(**known)
