"""What goes into an inbox and comes out of it. No database library here, so that any file may name these."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from planasonix.errors import PlanasonixError
from planasonix.webhooks.event import Event

Source = Literal["webhook", "sweep", "replay"]
"""Who brought an event: a delivery, the sweep that looks for what no delivery brought, or a person who asked for it."""


class InboxUnavailable(PlanasonixError):
    """The store behind the inbox cannot be reached, is full, or takes too long. The same call may succeed later."""

    retryable = True


class InboxRefused(PlanasonixError):
    """The store is there and takes a row for impossible; a later try would end the same."""


class LeaseLost(PlanasonixError):
    """Another holder has taken the lease over: whatever this one still does, it must not move the cursor."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One delivery or finding on its way in: an event, or the body of a genuine delivery that nobody can read.

    Made by `of` and `unreadable`.
    """

    event: Event | None
    source: Source
    body: bytes | None = field(default=None, repr=False)
    reason: str | None = None

    @classmethod
    def of(cls, event: Event, source: Source = "webhook") -> Arrival:
        """An event to be stored once."""
        return cls(event, source)

    @classmethod
    def unreadable(cls, body: bytes, reason: str, source: Source = "webhook") -> Arrival:
        """A dead letter: the sender would repeat the delivery for ever, and no repetition makes it readable."""
        return cls(None, source, body, reason)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of an arrival. `seq` is the event's number, None for a dead letter and where it is not known."""

    seq: int | None
    duplicate: bool


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the inbox. `seq` rises in the order in which events became visible.

    `received_at` is aware, in UTC. Of a replay, `replay_of` is the number that the event had at first, and `only_for`
    the one consumer that it is for; None means all.
    """

    seq: int
    event: Event
    received_at: datetime
    source: Source
    replay_of: int | None = None
    only_for: str | None = None

    def effect_key(self, consumer: str) -> str:
        """The key under which a consumer's effect of this event is done once, however often it is seen.

        The same for a delivery, the sweep's finding of the same end, and a replay: 64 hexadecimal digits.
        """
        event = self.event
        what = end_of(event) or ("event", event.event_id)
        return hashlib.sha256("\0".join((consumer, *what)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be the only one for a while. `token` rises with each holder, so that an older one is told apart."""

    name: str
    holder: str
    seconds: float
    token: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that one consumer gave up, or a delivery that nobody could read (`consumer` and `stored` are None).

    `at` is when it was given up, aware, in UTC; `error` is one line without secrets.
    """

    id: int
    consumer: str | None
    stored: StoredEvent | None
    error: str
    attempts: int
    at: datetime
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much a clean-up removed, and which consumers had not read all of it."""

    events: int
    keys: int
    dead_letters: int
    behind: tuple[str, ...] = ()


def end_of(event: Event) -> tuple[str, ...] | None:
    """What an event says has ended, and how; None for one that tells no end of a known run."""
    if event.kind is None or event.object_id is None or event.status is None:
        return None
    return ("end", event.kind, event.object_id, event.status)
