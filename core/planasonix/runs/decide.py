"""The decisions of *start*, one pure function for each kind of evidence. `start` tells the whole table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, get_args

from planasonix.errors import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    PermissionDeniedError,
    PlanasonixError,
)
from planasonix.watch.interval import require_positive
from planasonix.watch.protocols import Kind

IfRunning = Literal["wait", "attach", "skip", "fail"]

BAD_ENDS = ("failed", "cancelled")
"""Phases in which a run has ended and loaded nothing that counts."""

_PAUSED_CODE = re.compile(r"(^|[^a-z])paused$")
_PAUSED_TEXT = re.compile(r"\b(is|are|been)\s+paused(?![\w-])|^paused(?![\w-])")
_SAYS_LITTLE = frozenset({"", "bad_request", "conflict", "forbidden", "invalid_request"})
"""Codes that only repeat what the HTTP status says: beside one of them the text is read."""

_CALL_SECONDS = 180.0
"""One call with all its tries lasts less: the client's deadline is two minutes."""


def _one_of(field: str, value: object, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ConfigurationError(f"{field} must be one of {', '.join(words)}, got {value!r}.", field=field)


class Next(Enum):
    """What start does next."""

    POST = "send the POST"
    POST_AGAIN = "send the same bytes with the same key"
    READ = "GET the run that the ledger names"
    LOOK = "list the connection's runs since the first POST"
    ATTACH = "wait for that run"
    ADOPT = "wait for that run, unowned"
    USE = "its result is the result"
    NEXT_GENERATION = "a new job with a new key"
    AWAIT_END = "wait until it has ended, then judge again"
    WAIT_FOR_OTHER = "busy: wait without a worker, then start again"
    SKIP = "busy: do nothing and say so"
    REFUSED = "raise the API's refusal"
    LOST = "raise: the answer is lost, the ledger keeps the key"
    UNKNOWN = "raise OutcomeUnknownError"


@dataclass(frozen=True)
class Policy:
    """How start behaves.

    `idempotency`: whether the API is known to honour the key header for what is started, and `key_ttl_seconds` for how
    long after the first POST. The header's name is published nowhere (facts §2), so that the default trusts no
    key: after a lost answer, start looks before it sends again.
    `if_running`: what to do when the connection is busy. `timeout_seconds`: a job's deadline, from its creation.
    `clock_skew_seconds`: how far the API's clock may be from ours when runs are looked up by time.
    `settle_seconds`: how long a request whose answer was lost may still be on its way before a list is trusted.
    `missing_after_seconds`: how long a run named by the API may stay invisible before it counts as gone.
    `cancel_older`: whether an older intent's run is cancelled first; otherwise it goes on, and `if_running` decides.
    `on_edit`: what to do when the stored job of this intent was asked for with another request: `keep` waits for that
    job (but starts anew for another connection or operation), `refuse` raises.
    `leave_running`: whoever finds a job of ours without its owner leaves it alone; written into each new record.
    `retire_seconds`: how long the end of a run that was asked to stop is awaited.
    """

    idempotency: Literal["honoured", "unproven", "ignored"] = "unproven"
    key_ttl_seconds: float = 3600.0
    if_running: IfRunning = "wait"
    timeout_seconds: float = 86_400.0
    clock_skew_seconds: float = 60.0
    settle_seconds: float = 5.0
    missing_after_seconds: float = 120.0
    retire_seconds: float = 300.0
    cancel_older: bool = True
    leave_running: bool = False
    on_edit: Literal["keep", "refuse"] = "refuse"

    def __post_init__(self) -> None:
        _one_of("if_running", self.if_running, get_args(IfRunning))
        _one_of("idempotency", self.idempotency, ("honoured", "unproven", "ignored"))
        _one_of("on_edit", self.on_edit, ("keep", "refuse"))
        for name in ("timeout_seconds", "key_ttl_seconds"):
            require_positive(name, getattr(self, name))

    def towards(self, older: Kind, *, asked: Kind) -> Policy:
        """The policy towards what was asked for before. What is known of the keys of jobs says nothing of those of
        pipeline runs, nor the other way round.
        """
        return self if (older == "run") == (asked == "run") else replace(self, idempotency="unproven")

    def key_counts(self, sent_at: float, now: float) -> bool:
        """Whether sending the same key again is safe: also for the last of the client's tries, a while from now."""
        margin = min(_CALL_SECONDS, self.key_ttl_seconds / 2)
        return self.idempotency == "honoured" and now - sent_at < self.key_ttl_seconds - margin


def by_memory(*, run_id: str | None, sent_at: float | None, now: float, policy: Policy) -> Next:
    """The ledger alone."""
    if run_id is not None:
        return Next.READ
    if sent_at is None:
        return Next.POST
    return Next.POST_AGAIN if policy.key_counts(sent_at, now) else Next.LOOK


def by_reading(phase: str | None, *, again: bool, gone: bool = False, failed_for_us: bool = False) -> Next:
    """A GET of the run that the ledger or an answer names; `phase` is None when it is missing, for good if `gone`.

    `again`: the job was asked for in an earlier try, so that a bad end is one that the orchestrator retries.
    `failed_for_us`: its owner has read that end, and failed by it whatever the API calls it.
    """
    if phase is None:
        return Next.NEXT_GENERATION if again and gone else Next.ATTACH
    if phase == "succeeded":
        return Next.NEXT_GENERATION if again and failed_for_us else Next.USE
    if phase in BAD_ENDS:
        return Next.NEXT_GENERATION if again else Next.ATTACH
    if phase == "cancelling":
        return Next.AWAIT_END
    return Next.ATTACH


def by_looking(phases: Sequence[str], *, ours: bool, again: bool, young: bool = False) -> Next:
    """A list of the runs that may be ours, by their phases; `ours`: one of them carries our token.

    `again`: asked for in an earlier try. A worker that was told to stop may have cancelled its job with its last
    breath, where the ledger took no note any more: such a run is nothing to wait for, whosoever it was.
    `young`: asked for a moment ago, so that ours may not be listed yet. Then a run that failed may well be another's,
    and a new key would make a second job of ours. One that was cancelled says why our worker is gone: it is taken
    for ours.
    """
    if ours:
        return Next.READ
    alive = [phase for phase in phases if not (again and phase in BAD_ENDS)]
    if not alive:
        if not phases:
            return Next.POST
        return Next.WAIT_FOR_OTHER if young and "cancelled" not in phases else Next.NEXT_GENERATION
    if len(alive) > 1:
        return Next.UNKNOWN
    return Next.WAIT_FOR_OTHER if again and alive == ["cancelling"] else Next.ADOPT


Answer = Literal["accepted", "busy", "misused", "refused", "lost"]


def classify(error: PlanasonixError) -> Answer:
    """Which kind of answer a failed POST was."""
    if is_paused(error):
        return "refused"
    if isinstance(error, ConflictError):
        return "misused" if "idempoten" in f"{error.code or ''} {error.message or ''}".lower() else "busy"
    if error.outcome in ("refused", "not_sent"):
        return "refused"
    return "lost"


def is_paused(error: BaseException) -> bool:
    """Whether a start was refused because its target is paused, which no wait ends.

    The API publishes no code for that: a code that ends with the word counts. Where the code tells no more than the
    status does, the text must say that something *is paused*: the word alone may be part of a name.
    """
    if not isinstance(error, ConflictError | InvalidRequestError | PermissionDeniedError):
        return False
    code = (error.code or "").lower()
    if code not in _SAYS_LITTLE:
        return _PAUSED_CODE.search(code) is not None
    return _PAUSED_TEXT.search(error.message.strip().lower()) is not None


def by_answer(answer: Answer, *, tries: int, in_doubt: bool, policy: Policy) -> Next:
    """The answer to a POST. `in_doubt`: an earlier sending of this key may have had its effect."""
    if answer == "accepted":
        # Where it may be a replay, the saved first answer says nothing of the present: only a GET decides.
        return Next.READ if tries > 1 or in_doubt else Next.ATTACH
    if answer == "busy":
        # A replay was due, were the job ours and the key honoured. So what keeps the connection busy may be our own
        # lost job at an API that does not honour keys: looking costs one call, a second job costs more.
        return Next.LOOK if in_doubt else BUSY[policy.if_running]
    if answer == "lost":
        return Next.LOST if policy.idempotency == "honoured" else Next.LOOK
    return Next.REFUSED


BUSY = {"wait": Next.WAIT_FOR_OTHER, "attach": Next.ADOPT, "skip": Next.SKIP, "fail": Next.REFUSED}
"""What `if_running` asks for."""
