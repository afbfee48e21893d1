"""What the parts of one look share: its time, what it has seen, what it came to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planasonix.errors import AuthenticationError, NotFoundError, PlanasonixError, RateLimitError
from planasonix.runs.drivers import Log
from planasonix.runs.effects import RunView
from planasonix.runs.polled.cursor import OpenRun, Place, PollCursor, RunKey
from planasonix.runs.polled.listener import Interest, Listener

if TYPE_CHECKING:
    from planasonix.client import Planasonix

TRIES = 5
"""In how many looks, at least, a run that cannot be told is tried."""
TRIED_SECONDS = 120.0
"""And for how long, at least: looks may follow each other at once."""
ERRORS_BORNE = 3
"""Calls in a row without an answer: then the API is away, and the look ends."""


@dataclass
class Polled:
    """What a look came to. `told` ends; `left` that it did not get to; `failed` that could not be told yet.

    `lists_left`: of so many connections nothing new was listed, as the time was over. `calls_failed`: the errors of the
    API on the way, none if it went well.
    """

    told: int = 0
    left: int = 0
    failed: int = 0
    lists_left: int = 0
    calls_failed: list[PlanasonixError] = field(default_factory=list[PlanasonixError])


@dataclass
class Look:
    """One look. `now` gives our own seconds since the epoch; the time limit runs by the monotonic clock."""

    client: Planasonix
    cursor: PollCursor
    listener: Listener
    log: Log
    seconds: float
    overlap_seconds: float
    first_look_back_seconds: float
    now: Callable[[], float]
    began: float = field(default_factory=time.monotonic)
    polled: Polled = field(default_factory=Polled)
    rows: dict[tuple[str, RunKey], RunView] = field(default_factory=dict[tuple[str, RunKey], RunView])
    read: set[tuple[str, RunKey]] = field(default_factory=set[tuple[str, RunKey]])
    alive: set[tuple[str, RunKey]] = field(default_factory=set[tuple[str, RunKey]])
    tried: set[tuple[str, RunKey]] = field(default_factory=set[tuple[str, RunKey]])
    new_places: set[str] = field(default_factory=set[str])
    errors_in_a_row: int = 0
    is_refused: bool = False
    lists_were_cut: bool = False

    def time_is_over(self, share: float = 1.0) -> bool:
        """Whether this share of its time has passed."""
        return time.monotonic() >= self.began + share * self.seconds

    def is_over(self) -> bool:
        """Whether its time has passed, or the API is away."""
        return self.time_is_over() or self.is_refused or self.errors_in_a_row >= ERRORS_BORNE

    def call_failed(self, error: PlanasonixError, what: str) -> None:
        """The API did not answer, or refused the key or its rate, which ends the look."""
        self.is_refused = self.is_refused or isinstance(error, AuthenticationError | RateLimitError)
        self.errors_in_a_row += 1
        self.polled.calls_failed.append(error)
        self.log("warning", f"{what}: {error.headline()}")

    def ask(self, connection_id: str, place: Place, key: RunKey, one: OpenRun, run: RunView) -> Interest | None:
        """Ask whose run this is; None, and unsure, where that cannot be told."""
        try:
            interest = self.listener.sees(connection_id, key[0], run)
        except Exception as error:
            self.could_not(connection_id, place, key, one, error)
            return None
        one.sure, one.due_at = interest.sure, interest.due_at
        if interest.sure and not interest.wanted:
            place.deal_with(key, one.created_at)
        return interest

    def could_not(self, connection_id: str, place: Place, key: RunKey, one: OpenRun, error: Exception) -> None:
        """This run could not be told: later looks try again, a few times, and until it is due."""
        if not self._was_last_try(connection_id, key, one, "is skipped in this look", error):
            return
        kind, run_id = key
        place.deal_with(key, one.created_at)
        try:
            self.listener.given_up(connection_id, kind, run_id, error, one.created_at)
        except Exception as second:
            self.log("error", f"that {_name(connection_id, key)} was given up could not be told either: {second!r}")

    def could_not_say_overdue(self, connection_id: str, key: RunKey, one: OpenRun, error: Exception) -> None:
        """That it goes on past its time could not be told. It is tried a few times; its end is waited for as before."""
        if self._was_last_try(connection_id, key, one, "is overdue, which could not be told", error):
            one.due_at, one.tries, one.failing_since = None, 0, None

    def _was_last_try(self, connection_id: str, key: RunKey, one: OpenRun, what: str, error: Exception) -> bool:
        """Count a try, one in each look."""
        if (connection_id, key) in self.tried:
            return False
        self.tried.add((connection_id, key))
        self.polled.failed += 1
        one.tries += 1
        if one.failing_since is None:
            one.failing_since = self.now()
        name = _name(connection_id, key)
        too_early = one.tries < TRIES or self.now() - one.failing_since < TRIED_SECONDS
        if too_early or self._may_go_on(connection_id, key, one, error):
            self.log("warning", f"{name} {what} (try {one.tries}): {error!r}")
            return False
        self.log("error", f"{name} {what}, and is given up after {one.tries} tries: {error!r}")
        return True

    def _may_go_on(self, connection_id: str, key: RunKey, one: OpenRun, error: Exception) -> bool:
        """Whether its owner still wants to hear at its due time of a run that nobody has seen to end."""
        if one.due_at is None or one.due_at <= self.now():
            return False
        return isinstance(error, NotFoundError) or (connection_id, key) not in self.read


def _name(connection_id: str, key: RunKey) -> str:
    return f"{key[0]} {key[1]} of connection {connection_id}"
