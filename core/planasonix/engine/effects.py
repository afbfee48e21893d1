"""What a decision may ask of the outside world, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from planasonix.engine.events import Event

Priority: TypeAlias = Literal["start", "cancel", "poll", "other"]


def _no_headers() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without its credential: the transport adds that, so no request can leak it.

    `path` starts with a slash, is percent-encoded and has no query. `operation` is the name of the route
    ("jobs.get"). `priority` says who waits first when the rate budget is short.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=_no_headers, repr=False)
    body: bytes | None = field(default=None, repr=False)
    operation: str = ""
    priority: Priority = "other"


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete HTTP response. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=_no_headers, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request and answer with a `Reply`, or throw `TransportError` into the generator."""

    request: Request
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let this many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell whoever listens what was decided."""

    event: Event


Effect: TypeAlias = Send | Sleep | Emit
