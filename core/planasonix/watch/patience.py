"""What one look at a run means for its wait.

==============================================  ================================================================
what was seen                                   what it means
==============================================  ================================================================
a terminal status, by a GET                     the wait ends with that run
any other status, an unknown one included       go on
404 for less than `missing_grace_seconds`       go on: a list or a replica may lag behind the start
404 for longer                                  give up with that `NotFoundError`
401 or 403 for less than `auth_grace_seconds`   go on: keys are rotated, allow-lists are edited
401 or 403 for longer                           give up with that error
anything else: 5xx, 429, no connection, junk    go on: a bad poll never ends a wait, only the deadline does
==============================================  ================================================================

Each look answers for the time since the look before it, and for half of the grace at most. So an outage between two
404s does not count, nor does the time in which this process was frozen, and three looks at least agree on giving up.
The client has asked for a newer key by then, if it knows where (`reload_api_key`).

Giving up leaves the run alone: who cannot read a job has no ground to cancel it.
"""

from __future__ import annotations

from dataclasses import dataclass

from planasonix.errors import AuthenticationError, NotFoundError, PermissionDeniedError, PlanasonixError

MISSING_GRACE_SECONDS = 120.0
AUTH_GRACE_SECONDS = 300.0
LOOK_SECONDS = 20.0
"""What one look may take whose answer a wait depends on: each of a blocking wait, the one at the deadline of any."""


@dataclass(slots=True)
class Patience:
    """The memory of one wait about looks that failed. Times are seconds of a monotonic clock."""

    missing_grace_seconds: float = MISSING_GRACE_SECONDS
    auth_grace_seconds: float = AUTH_GRACE_SECONDS
    _missing_seconds: float = 0.0
    _refused_seconds: float = 0.0
    _failed_at: float | None = None

    def answered(self) -> None:
        """A look succeeded: forget the earlier failures."""
        self._missing_seconds = self._refused_seconds = 0.0
        self._failed_at = None

    def failed(self, error: PlanasonixError, now: float) -> PlanasonixError | None:
        """Take note of a failed look; return the error to give up with, or None to go on."""
        # A look that took long may report after a later one.
        before = now if self._failed_at is None else self._failed_at
        since_last, self._failed_at = max(0.0, now - before), max(now, before)
        if isinstance(error, NotFoundError):
            self._missing_seconds += min(since_last, self.missing_grace_seconds / 2)
            return error if self._missing_seconds >= self.missing_grace_seconds else None
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            self._refused_seconds += min(since_last, self.auth_grace_seconds / 2)
            return error if self._refused_seconds >= self.auth_grace_seconds else None
        return None
