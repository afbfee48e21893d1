"""The parts of the model of *start*'s world: a tenant's habits, its jobs, what may go wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

CONNECTION = "conn_shop_orders"
TRIES = 3
LATE_SECONDS = 2.0
CANCEL_SECONDS = 3.0

POST_FATES = ("ok", "lost_before", "lost_after", "late", "error_before", "error_after", "cut", "not_sent", "refused")
"""What may happen to one try of a POST. `late`: the answer is lost now, the request arrives in a while."""


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass(frozen=True)
class Crash:
    """Die at this effect; `inside`: after it was carried out, before its answer was seen."""

    at: int
    inside: bool


@dataclass(frozen=True)
class Habits:
    """One tenant. `lag_seconds`: how far lists and reads are behind; `says_date`: whether answers carry a `Date`."""

    honours_keys: bool = True
    key_ttl_seconds: float = 86_400.0
    replay: str = "saved"
    saves_refusals: bool = False
    busy: str = "409"
    tells: bool = False
    echoes: bool = False
    lag_seconds: float = 0.0
    says_date: bool = True
    clock_offset_seconds: float = 0.0


@dataclass(frozen=True)
class Shown:
    """A job as the API shows it."""

    id: str
    status: str
    created_at: datetime
    finished_at: datetime | None
    metadata: dict[str, Any] | None
    type: str = "connection_sync"
    connection_id: str = CONNECTION

    @property
    def phase(self) -> str:
        return "active" if self.status == "running" else self.status


@dataclass
class Job:
    """A job as it is. `wish`: the intent and generation that it was created for, None for somebody else's."""

    id: str
    created: float
    wish: tuple[str, int] | None
    metadata: dict[str, Any]
    history: list[tuple[float, str]]
    cancelled_by_start: bool = False
    hidden: bool = False

    @property
    def status(self) -> str:
        return self.history[-1][1]

    @property
    def alive(self) -> bool:
        return self.status in ("running", "cancelling")

    def status_at(self, moment: float) -> str:
        return [status for at, status in self.history if at <= moment][-1]


@dataclass
class Saved:
    """The API's memory of a key: the job as it was first shown, or None for a refusal."""

    at: float
    body: str
    shown: Shown | None


@dataclass
class Sending:
    """The last POST of one generation, to see that its bytes change only after a definite refusal."""

    key: str
    body: str
    refused: bool


def offset_of(habits: Habits, seconds: float) -> Habits:
    """The habits with the API's clock off by so much; without a `Date`, only as far as the policy allows for."""
    most = 3_600.0 if habits.says_date else 45.0
    return replace(habits, clock_offset_seconds=max(-most, min(most, seconds)))
