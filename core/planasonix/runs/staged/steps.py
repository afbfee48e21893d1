"""Steps of one stage: `start`'s, with the record kept in the stage's entry, and what an end looks like there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

from planasonix.errors import (
    AuthenticationError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PlanasonixError,
    RateLimitError,
    ServerError,
    TransportError,
)
from planasonix.runs.decide import classify
from planasonix.runs.effects import Claimed, Save, Steps
from planasonix.runs.outcome import Outcome
from planasonix.runs.record import Record
from planasonix.runs.staged.wish import BookSteps, ClaimedBesides, ReadEntry, StageEntry, WriteEntry

T = TypeVar("T")
REFUSED_FOR_ALL = (InvalidRequestError, AuthenticationError, PermissionDeniedError, NotFoundError)
"""Refusals of a start that the next stage's would meet as well."""

_WARNINGS_KEPT = 20
_OF_OUTCOME = (
    "id",
    "status",
    "api_status",
    "rows_loaded",
    "error_code",
    "error_message",
    "finished_at",
    "duration_seconds",
    "generation",
    "owned",
    "link",
)


class BookFailed(Exception):
    """The book could not be used: no failure of a stage, so it must not be taken for the API's. `error` tells."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def read_entry(name: str) -> BookSteps[StageEntry | None]:
    data: dict[str, Any] | None = yield from _of_the_book(ReadEntry(name))
    return None if data is None else StageEntry.from_dict(data)


def write_entry(name: str, entry: StageEntry) -> BookSteps[None]:
    yield from _of_the_book(WriteEntry(name, entry.to_dict()))


def kept_in_entry(steps: Steps[T], name: str, label: Callable[[Record], StageEntry]) -> BookSteps[T]:
    """The steps, with the book's entry in the place of a ledger; `label` makes it of a record.

    Raises their errors, and `BookFailed`.
    """
    try:
        effect = next(steps)
        while True:
            try:
                match effect:
                    case Save(record):
                        answer = yield from write_entry(name, label(record))
                    case Claimed(run_ids):
                        answer = yield from _of_the_book(ClaimedBesides(run_ids, name))
                    case _:
                        answer = yield effect
            except Exception as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as end:
        return end.value


def ended(entry: StageEntry, outcome: Outcome, attempt: str | None) -> StageEntry:
    """The entry of a stage whose run's end was read. `attempt` is the one to which the end counts."""
    data = asdict(outcome)
    kept: dict[str, Any] = {name: data[name] for name in _OF_OUTCOME}
    kept["tables"] = list(data["tables"])
    kept["warnings"] = list(data["warnings"])[:_WARNINGS_KEPT]
    record = replace(entry.record, ended_as=outcome.api_status, verdict=outcome.status)
    return replace(entry, record=record, ended_in=attempt, outcome=kept)


def failed(entry: StageEntry, code: str, message: str, attempt: str | None) -> StageEntry:
    """The entry of a stage that counts as failed though no end of its run was read."""
    kept = {
        "id": entry.record.run_id,
        "status": "failed",
        "error_code": code,
        "error_message": message,
        "generation": entry.record.generation,
        "owned": entry.record.owned,
    }
    return replace(entry, ended_in=attempt, outcome=kept)


def not_started(entry: StageEntry, error: PlanasonixError, attempt: str | None) -> StageEntry:
    """The same for one whose start was refused, or came to nothing that is known."""
    what = "It could not be started" if entry.record.sent_at is None else "Whether it was started is not known"
    return failed(entry, type(error).__name__, f"{what}: {' '.join(str(error).split())}", attempt)


def no_failure_of_a_stage(error: PlanasonixError) -> bool:
    """Whether a start failed because the connection is busy or the API is away: the next stage's would as well."""
    if isinstance(error, OutcomeUnknownError):
        return False
    away = isinstance(error, TransportError | RateLimitError | ServerError | InvalidResponseError)
    return away or classify(error) in ("busy", "lost")


def _of_the_book(effect: ReadEntry | WriteEntry | ClaimedBesides) -> BookSteps[Any]:
    try:
        return (yield effect)
    except Exception as error:
        raise BookFailed(error) from error
