"""Whether the task of an orchestrator should try again after an error, when, and why. One table, no I/O.

================================================  ========  =====================================================
the error                                         advice    how long to wait at least
================================================  ========  =====================================================
ConfigurationError, InvalidRequestError (400,     fail
422), AuthenticationError (401),
PermissionDeniedError (403), NotFoundError (404),
NotPublishedError, SignatureError,
FeedbackLoopError, PagingError
the same, of a wait that left its run running     retry     5 minutes: the retry waits for that run again
(`run_goes_on`)
RunCancelledError                                 fail      somebody wanted it to end
RunFailedError                                    retry     as the task is set up; fail if its error code is one of
                                                            `never_heal`, or if it says that it is not retryable
ConflictError (409)                               retry     1, 2, 4, ... up to 10 minutes
RateLimitError (429)                              retry     what the server asked for, a minute at least
TransportError, ServerError (5xx),                retry     30 s, 1, 2, ... up to 10 minutes; fail where the same
InvalidResponseError, other APIErrors                       call cannot end otherwise (501, 505, 3xx, 405, 413)
WaitTimeoutError                                  retry     as the task is set up
OutcomeUnknownError                               retry     5 minutes: the retry looks before it sends anything
another PlanasonixError                           retry     as the task is set up
an error that is not ours                         None      somebody else's to judge
================================================  ========  =====================================================

A retry is safe in each of these: the ledger says what was started, and only a job that failed is started anew.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from planasonix.errors.base import ConfigurationError, PlanasonixError
from planasonix.errors.calls import (
    APIError,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PagingError,
    PermissionDeniedError,
    RateLimitError,
    TransportError,
)
from planasonix.errors.runs import (
    FeedbackLoopError,
    NotPublishedError,
    OutcomeUnknownError,
    RunCancelledError,
    RunFailedError,
    SignatureError,
    WaitTimeoutError,
)

LONGEST_DELAY_SECONDS = 600.0
_BUSY_SECONDS = 60.0
_AWAY_SECONDS = 30.0
_UNKNOWN_SECONDS = 300.0
_LEFT_RUNNING_SECONDS = 300.0

_NEVER: tuple[tuple[type[PlanasonixError], str], ...] = (
    (ConfigurationError, "a setting or a parameter is wrong, and a retry sends the same one"),
    (InvalidRequestError, "the API does not accept the request, and a retry sends the same one"),
    (AuthenticationError, "the API does not accept the key"),
    (PermissionDeniedError, "the key may not do this"),
    (NotFoundError, "there is no such object for this key"),
    (NotPublishedError, "this tenant does not have the route"),
    (SignatureError, "the delivery is not proven to be genuine"),
    (FeedbackLoopError, "the chain of events would start itself again"),
    (PagingError, "the list never ends"),
    (RunCancelledError, "somebody cancelled the run, and a retry would start it against their will"),
)


@dataclass(frozen=True, slots=True)
class RetryAdvice:
    """What to do after an error.

    `again` is False where a retry cannot help. `delay_seconds` is how long to wait before it; None leaves that to the
    settings of the task. `reason` is one line that holds no secret.
    """

    again: bool
    reason: str
    delay_seconds: float | None = None


def retry_advice(
    error: BaseException,
    *,
    try_number: int = 1,
    never_heal: Collection[str] = (),
    rng: random.Random | None = None,
) -> RetryAdvice | None:
    """Judge an error by the table above; None for one that is not a `PlanasonixError`.

    `try_number` counts from 1 and makes pauses grow. `never_heal` are error codes of failed runs for which another run
    would fail as well. `rng` spreads the pauses, so that tasks that failed together do not come back together; without
    one they are spread by chance.

    >>> from planasonix.errors import PermissionDeniedError
    >>> retry_advice(PermissionDeniedError("no", status_code=403)).again
    False
    """
    if not isinstance(error, PlanasonixError):
        return None
    rng = rng or random.Random()
    for kind, reason in _NEVER:
        if isinstance(error, kind):
            if error.run_goes_on:
                # What is refused now may be mended by then; without a retry nobody waits for the run.
                return _later(error, "its run goes on, and nobody waits for it", _LEFT_RUNNING_SECONDS, rng)
            return RetryAdvice(False, f"{type(error).__name__}: {reason}")
    if isinstance(error, RunFailedError):
        return _after_a_failed_run(error, never_heal)
    if isinstance(error, ConflictError):
        return _later(error, "the object is busy", _growing(_BUSY_SECONDS, try_number), rng)
    if isinstance(error, RateLimitError):
        asked = error.retry_after_seconds or 0.0
        return _later(error, "the rate limit is used up", max(asked, _BUSY_SECONDS), rng)
    if isinstance(error, OutcomeUnknownError):
        reason = "it is not known what was started, and the retry looks before it sends anything"
        return _later(error, reason, _UNKNOWN_SECONDS, rng)
    if isinstance(error, WaitTimeoutError):
        return RetryAdvice(True, "WaitTimeoutError: the deadline came before the end")
    if isinstance(error, TransportError | APIError | InvalidResponseError):
        # Whether the call as such is worth repeating is said by the error: 501 stays 501.
        if isinstance(error, APIError) and not error.retryable:
            return RetryAdvice(False, f"{type(error).__name__}: HTTP {error.status_code} will not change by itself")
        return _later(error, "the API is away or failing", _growing(_AWAY_SECONDS, try_number), rng)
    return RetryAdvice(True, type(error).__name__)


def _after_a_failed_run(error: RunFailedError, never_heal: Collection[str]) -> RetryAdvice:
    code = error.outcome_data.get("error_code")
    if code is not None and str(code) in never_heal:
        return RetryAdvice(False, f"RunFailedError: {error.kind} failed with {code}, which never heals by itself")
    if not error.retryable:
        return RetryAdvice(False, f"RunFailedError: a new {error.kind} would fail as well")
    return RetryAdvice(True, f"RunFailedError: {error.kind} failed{f' with {code}' if code else ''}, a new one may not")


def _growing(first: float, try_number: int) -> float:
    return min(LONGEST_DELAY_SECONDS, first * 2.0 ** min(max(0, try_number - 1), 16))


def _later(error: PlanasonixError, reason: str, seconds: float, rng: random.Random) -> RetryAdvice:
    # Upwards only: what a server asked for is never undercut.
    return RetryAdvice(True, f"{type(error).__name__}: {reason}", seconds * rng.uniform(1.0, 1.25))
