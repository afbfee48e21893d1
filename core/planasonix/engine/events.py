"""What the engine tells those who listen (`on_event`): one typed record per decision, never with a secret
or a body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request is about to be sent. `attempt` counts from 1."""

    operation: str
    method: str
    path: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A complete answer arrived, good or bad."""

    operation: str
    status: int
    request_id: str | None
    attempt: int
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Retrying:
    """The try failed and will be repeated after `delay_seconds`."""

    operation: str
    attempt: int
    delay_seconds: float
    reason: str
    status: int | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Paced:
    """The call waits its turn: the server asked for a pause, or the rate budget is short."""

    operation: str
    priority: str
    delay_seconds: float
    reason: Literal["retry_after", "rate_limit"]


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The call failed for good. `status` is that of the last answer; None if none came."""

    operation: str
    attempts: int
    reason: str
    status: int | None = None


Event: TypeAlias = RequestStarted | ResponseReceived | Retrying | Paced | GaveUp
