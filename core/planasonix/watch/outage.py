"""Whether the API answers at all, as the reads of many runs tell.

Each run that is waited for wants its look in each round. While the API is away that would be thousands of calls that
teach one thing, once a pause, from every process that waits. So after some reads in a row without one answer the API
counts as away: then few reads are tried, and rarely, until one is answered.
"""

from __future__ import annotations

from planasonix.errors import InvalidResponseError, PlanasonixError, RateLimitError, ServerError, TransportError

_FAILURES_BORNE = 20
"""More in a row than a few runs that alone cannot be read would make before another one is answered."""

_TRIES = 10
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 4.0
"""By so much at most does a wait hear later of its run's end, once the API is back."""


class Outage:
    """Counts reads in a row that the API did not answer. Times are seconds of the loop's clock."""

    def __init__(self) -> None:
        self.last_error: PlanasonixError | None = None
        """What the API counts as away for; None while it does not."""
        self._failures = 0
        self._tries_left = 0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._try_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the API counts as away."""
        return self.last_error is not None

    def answered(self) -> None:
        """The API spoke, if only to refuse or to say that it knows no such run."""
        self.last_error = None
        self._failures = 0

    def failed(self, error: PlanasonixError, now: float) -> None:
        """Take note of what a read ended with."""
        if not isinstance(error, TransportError | ServerError | RateLimitError | InvalidResponseError):
            self.answered()
            return
        self._failures += 1
        if self._failures < _FAILURES_BORNE:
            return
        if self.last_error is None:
            # The first tries follow at once: it may have been the fault of just these runs.
            self._tries_left = _TRIES
            self._pause_seconds = _FIRST_PAUSE_SECONDS
            self._try_at = now + self._pause_seconds
        self.last_error = error

    def take_tries(self, wanted: int, now: float) -> int:
        """How many of the wanted reads may be made now; while the API is away they count as made."""
        if self.last_error is None:
            return wanted
        if now >= self._try_at:
            self._tries_left = _TRIES
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
            self._try_at = now + self._pause_seconds
        taken = min(wanted, self._tries_left)
        self._tries_left -= taken
        return taken
