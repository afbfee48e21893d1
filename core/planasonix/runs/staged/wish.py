"""What a staged backfill is asked for, and what its book remembers: a header, and an entry for each stage.

The entries are the truth. The header is the wish, and an index over them, so that a round need not read a thousand
entries to start one stage: a name stands in `active` before its stage may have sent anything, and leaves it once the
entry holds the stage's end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar, get_args

from planasonix.errors import ConfigurationError
from planasonix.runs.effects import Effect
from planasonix.runs.record import Record, damaged_entry
from planasonix.runs.requests import BackfillRequest
from planasonix.runs.staged.windows import Stage

T = TypeVar("T")
HEADER = "wish"
"""The name of the header's entry."""

VERSION = 1
_OF_ENTRY = ("wish", "epoch", "digest", "ended_in", "outcome", "given_up")
OnClear = Literal["resume", "restart"]


@dataclass(frozen=True)
class StagedBackfill:
    """A backfill of `request`'s connection and tables, stage by stage; the window is that of the stages.

    `max_active_stages`: how many run at a time. `stop_after_failures`: after so many failures in a row nothing new
    starts (None: all are tried). `on_clear`: whether a new wish goes on with what the last one loaded, or loads it
    all again; None: it goes on, unless the last wish succeeded.
    """

    request: BackfillRequest
    stages: tuple[Stage, ...]
    max_active_stages: int = 1
    stop_after_failures: int | None = 3
    on_clear: OnClear | None = None

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigurationError("A staged backfill needs at least one stage.", field="stages")
        if len({stage.name for stage in self.stages}) < len(self.stages):
            raise ConfigurationError(
                "Two stages have the same name.", field="stages", hint="Make them with plan_stages or plan_partitions."
            )
        _positive("max_active_stages", self.max_active_stages)
        if self.stop_after_failures is not None:
            _positive("stop_after_failures", self.stop_after_failures)
        if self.on_clear not in (None, *get_args(OnClear)):
            raise ConfigurationError(
                f"on_clear must be resume, restart or None, got {self.on_clear!r}.", field="on_clear"
            )

    def request_of(self, stage: Stage) -> BackfillRequest:
        return replace(self.request, start_at=stage.start_at, end_at=stage.end_at)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Of each stage: what it loads. Another digest is other work, though it bears the same name.

        It is of what the idempotency key is of: another priority, or the tables in another order, loads the same.
        """
        return tuple(
            _short_hash([self.request.connection_id, self.request_of(stage).identity()]) for stage in self.stages
        )

    @cached_property
    def plan(self) -> str:
        """Of all stages; an index over another plan says nothing about this one."""
        return _short_hash([[stage.name, digest] for stage, digest in zip(self.stages, self.digests, strict=True)])


def stage_intent(wish: str, digest: str, before: StageEntry | None) -> str:
    """The token of one stage: an intent of its own, which follows from the wish and from what is asked for.

    And from what the entry held before: a request that is edited and edited back must not meet its own old keys.
    """
    if before is not None and (before.wish, before.digest) == (wish, digest):
        return before.record.intent
    parts = [wish, digest, "" if before is None else before.record.intent]
    return hashlib.sha256(":".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Header:
    """The wish, and an index over the entries of its `plan`.

    `epoch` is the wish that began to load anew: what was loaded in another epoch is to be loaded again. `active` are
    the names of the stages that may have a job, of older wishes too; `done` are ranges of the plan's numbers, each
    with its last. `attempt` is the orchestrator's try that advanced last; `failed`, `failures_in_a_row`, `cancelled`
    (a stage was, by somebody else) and `stopped` (nothing new starts) tell of it alone. `busy_since` is when the
    connection was first found busy, for as long as it is. Times are seconds since the epoch, UTC.
    """

    intent: str
    epoch: str
    plan: str
    began_at: float
    attempt: str | None = None
    outcome: str | None = None
    failures_in_a_row: int = 0
    cancelled: bool = False
    stopped: bool = False
    active: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    done: tuple[tuple[int, int], ...] = ()
    busy_since: float | None = None
    version: int = VERSION

    def to_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Header:
        """Read what any version up to this one wrote; fields of a newer one are left alone."""
        if not isinstance(data.get("version"), int) or "epoch" not in data:
            raise ConfigurationError(
                "The stored header is not one of a staged backfill.",
                hint="Another tool wrote to the same key of the store; clear the entry.",
            )
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        try:
            known |= {name: tuple(known.get(name) or ()) for name in ("active", "failed")}
            known["done"] = tuple((first, last) for first, last in known.get("done") or ())
            return cls(**known)
        except (TypeError, ValueError) as error:
            raise damaged_entry(error) from error


def header_of_wish(asked: StagedBackfill, intent: str, before: Header | None, now: float) -> Header:
    """The header as the wish `intent` finds it: its own, or that of an older wish taken over."""
    if before is not None and before.intent == intent:
        return before
    header = Header(intent, epoch=intent, plan=asked.plan, began_at=now)
    if before is None:
        return header
    # The older wish's active stages are put an end to, whether what was loaded counts or not.
    header = replace(header, active=before.active)
    if resumes(asked.on_clear, before):
        header = replace(header, epoch=before.epoch, plan=before.plan, done=before.done)
    return header


def resumes(on_clear: OnClear | None, before: Header) -> bool:
    """Whether a new wish goes on with what the one before it loaded."""
    return on_clear == "resume" or (on_clear is None and before.outcome != "succeeded")


@dataclass(frozen=True)
class StageEntry:
    """A stage's record, for which wish, epoch and request it is, and what became of it.

    `outcome` is there once the stage has ended for its wish, whether its job did or not; `ended_in` is the attempt to
    which that end counts. `given_up` stands before its owner asks for the end of the job.
    """

    record: Record
    wish: str
    epoch: str
    digest: str
    ended_in: str | None = None
    outcome: dict[str, Any] | None = None
    given_up: bool = False

    def to_dict(self) -> dict[str, Any]:
        extra = {name: getattr(self, name) for name in _OF_ENTRY}
        return {**self.record.to_dict(), **extra}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StageEntry:
        if not isinstance(data.get("outcome"), dict | None):
            raise damaged_entry("it has a wrong outcome")
        return cls(
            record=Record.from_dict(data),
            wish=data.get("wish") or "",
            epoch=data.get("epoch") or "",
            digest=data.get("digest") or "",
            ended_in=data.get("ended_in"),
            outcome=data.get("outcome"),
            given_up=bool(data.get("given_up")),
        )

    @property
    def may_run(self) -> bool:
        """Whether there may be a job that has not ended: also that of a stage that failed by its deadline, or whose
        start's answer was lost.
        """
        return self.record.ended_as is None and (self.record.sent_at, self.record.run_id) != (None, None)

    @property
    def succeeded(self) -> bool:
        return self.outcome is not None and self.outcome.get("status") == "succeeded"


@dataclass(frozen=True)
class ReadEntry:
    """Effect: read the book's entry. Answer: it, or None."""

    name: str


@dataclass(frozen=True)
class WriteEntry:
    """Effect: make the entry durable. Answer: None."""

    name: str
    entry: dict[str, Any]


@dataclass(frozen=True)
class ClaimedBesides:
    """Effect: which of these run ids another entry of the store owns. Answer: a frozenset."""

    run_ids: tuple[str, ...]
    name: str


BookSteps = Generator[Effect | ReadEntry | WriteEntry | ClaimedBesides, Any, T]


def ranges_of(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """The numbers as ranges, each with its last."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


def numbers_in(ranges: Iterable[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def _positive(field: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{field} must be a whole number of at least 1, got {value!r}.", field=field)


def _short_hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
