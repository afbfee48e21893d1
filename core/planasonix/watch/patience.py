"""What one look at a run means for its wait.

==============================================  ================================================================
what was seen                                   what it means
==============================================  ================================================================
a terminal status                               the wait ends with that run
any other status, an unknown one included       go on
404 for less than `missing_grace_seconds`       go on: a list or a replica may lag behind the start
404 for longer                                  give up with that `NotFoundError`
401 or 403 for less than `auth_grace_seconds`   go on: keys are rotated, allow-lists are edited
401 or 403 for longer                           give up with that error
anything else: 5xx, 429, no connection, junk    go on: a bad poll never ends a wait, only the deadline does
==============================================  ================================================================

Giving up leaves the run alone: who cannot read a job has no ground to cancel it.
"""

from __future__ import annotations

from dataclasses import dataclass

from planasonix.errors import AuthenticationError, NotFoundError, PermissionDeniedError, PlanasonixError

MISSING_GRACE_SECONDS = 120.0
AUTH_GRACE_SECONDS = 300.0


@dataclass
class Patience:
    """The memory of one wait about looks that failed. Times are seconds of a monotonic clock."""

    missing_grace_seconds: float = MISSING_GRACE_SECONDS
    auth_grace_seconds: float = AUTH_GRACE_SECONDS
    _missing_since: float | None = None
    _refused_since: float | None = None

    def answered(self) -> None:
        """A look succeeded: forget the earlier failures."""
        self._missing_since = None
        self._refused_since = None

    def failed(self, error: PlanasonixError, now: float) -> PlanasonixError | None:
        """Take note of a failed look; return the error to give up with, or None to go on."""
        if isinstance(error, NotFoundError):
            self._refused_since = None
            if self._missing_since is None:
                self._missing_since = now
            return error if now - self._missing_since >= self.missing_grace_seconds else None
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            if self._refused_since is None:
                self._refused_since = now
            return error if now - self._refused_since >= self.auth_grace_seconds else None
        return None
