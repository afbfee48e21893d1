"""What the ledger remembers of one wish: written before the POST, completed after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from planasonix.errors import ConfigurationError
from planasonix.runs.intent import idempotency_key
from planasonix.runs.requests import Operation, RunRequest
from planasonix.runs.target import connection_of, pipeline_of, with_target_id
from planasonix.watch import Kind

if TYPE_CHECKING:
    from planasonix.runs.effects import RunView

VERSION = 2
_IDS = ("earlier_ids", "passed_ids")


@dataclass(frozen=True)
class Record:
    """One intent's present job. Times are seconds since the epoch, UTC.

    `target_id` is the connection that a job or backfill loads, or the pipeline of a `run`.
    `sent_at` is the moment of the first POST of this key, or None when nothing may have been sent; `run_id` is known
    once an answer, a replay or a look named the job. `owned` is False for a job that somebody else may have started:
    those are waited for, never cancelled. `earlier_ids` are this intent's jobs of earlier generations. `passed_ids` are
    jobs that a look passed over, because they had ended badly: each may have been this intent's or anybody's, so that
    no look takes one for a later job, and nobody claims it.
    `leave_running`: whoever finds the job without its owner leaves it alone. `ended_as` is the API's word for the end
    once the owner has read it; None while nobody did. `verdict` is what the owner made of it: a run that the API calls
    a success failed if one of its tables did. `named_at` is when we learned `run_id`.
    """

    intent: str
    operation: Operation
    kind: Kind
    target_id: str
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
    passed_ids: tuple[str, ...] = ()
    leave_running: bool = False
    ended_as: str | None = None
    verdict: str | None = None
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
        passed_ids: tuple[str, ...] = (),
        leave_running: bool = False,
    ) -> Record:
        """The record of a job that has not been asked for yet; fixes the bytes and the key of its POST."""
        return cls(
            intent=intent,
            operation=request.operation,
            kind=request.kind,
            target_id=request.target_id,
            key=idempotency_key(intent, generation, request, refusals=refusals),
            body=json.dumps(request.body(metadata), sort_keys=True, separators=(",", ":"), ensure_ascii=False),
            generation=generation,
            refusals=refusals,
            depth=depth,
            earlier_ids=earlier_ids,
            passed_ids=passed_ids,
            leave_running=leave_running,
        )

    @property
    def connection_id(self) -> str | None:
        """The connection of a job or backfill; None for the run of a pipeline."""
        return connection_of(self)

    @property
    def pipeline_id(self) -> str | None:
        """The pipeline of a `run`; None for the rest."""
        return pipeline_of(self)

    def named(self, run: RunView, now: float, timeout_seconds: float) -> Record:
        """The record once it is known which run its request made."""
        created = run.created_at.timestamp() if run.created_at is not None else self.sent_at or now
        # The deadline runs by our own clock, which may be hours from the server's: from our POST where there was one.
        begin = self.sent_at if self.sent_at is not None else min(created, now)
        return replace(self, run_id=run.id, created_at=created, deadline_at=begin + timeout_seconds, named_at=now)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; what the orchestrator's store keeps."""
        data = asdict(self)
        for name in _IDS:
            data[name] = list(data[name])
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Record:
        """Read what any version up to this one wrote; fields of a newer one are left alone."""
        if not isinstance(data.get("version"), int) or "intent" not in data:
            raise ConfigurationError(
                "The stored ledger entry is not one of planasonix.",
                hint="Another tool wrote to the same key of the store; clear the entry.",
            )
        data = with_target_id(data)
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        try:
            known |= {name: tuple(known.get(name) or ()) for name in _IDS}
            record = cls(**known)
        except TypeError as error:
            raise damaged_entry(error) from error
        record._check()
        return record

    def _check(self) -> None:
        texts = ("intent", "operation", "kind", "target_id", "key", "body")
        moments = ("sent_at", "created_at", "deadline_at", "named_at")
        wrong = [name for name in texts if not isinstance(getattr(self, name), str)]
        wrong += [name for name in moments if not isinstance(getattr(self, name), int | float | None)]
        wrong += [name for name in ("run_id", "ended_as") if not isinstance(getattr(self, name), str | None)]
        wrong += [name for name in ("generation", "refusals") if not isinstance(getattr(self, name), int)]
        try:
            if "body" not in wrong and not isinstance(json.loads(self.body), dict):
                wrong.append("body")
        except ValueError:
            wrong.append("body")
        if wrong:
            raise damaged_entry(f"it has a wrong {', '.join(wrong)}")


def damaged_entry(why: object) -> ConfigurationError:
    """What is raised for an entry of ours that makes no sense."""
    return ConfigurationError(
        f"The stored ledger entry is damaged: {why}.",
        field="ledger",
        hint="Look at the connection's jobs for one that still runs, then clear the entry.",
    )
