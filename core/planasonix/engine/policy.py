"""Which failures of which operations may be repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from planasonix.engine.backoff import Backoff
from planasonix.errors import APIError, PlanasonixError

Repeat: TypeAlias = Literal["read", "safe", "unsafe"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How one operation is tried.

    `repeat` is a property of the operation, not of the HTTP method:

    - `read`: repeating changes nothing. Repeated on every passing failure, within the credential's retry budget.
    - `safe`: a write whose repetition has the effect of one (a POST with an idempotency key, a cancel, PUT,
      DELETE). Repeated on every passing failure; the budget never stops it.
    - `unsafe`: a write whose repetition may have its effect twice. Repeated only when it certainly had
      none: never sent, or refused with 429.

    `max_tries` counts all tries of one call, the first included. `timeout_seconds` bounds one try.
    """

    repeat: Repeat
    max_tries: int = 5
    timeout_seconds: float = 30.0
    backoff: Backoff = field(default_factory=Backoff)

    def may_repeat(self, error: PlanasonixError) -> bool:
        """Whether this failure, of one try, may be answered with another try.

        `error.retryable` says whether another try has a chance. A 409 has none: only the end of its reason
        would help, and callers know what that is.
        """
        return error.retryable and (self.repeat != "unsafe" or not is_unclear(error))


def is_unclear(error: PlanasonixError) -> bool:
    """Whether the failed try may have had its effect."""
    # 408 says that the server gave up waiting for the rest of the request, not that it did nothing with it.
    return error.outcome == "unknown" or (isinstance(error, APIError) and error.status_code == 408)
