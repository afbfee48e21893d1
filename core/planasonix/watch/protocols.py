"""What the wait rules need to know of a run and of a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeVar

Kind = Literal["job", "backfill"]
T = TypeVar("T", covariant=True)

ENDED_PHASES = frozenset({"succeeded", "failed", "cancelled"})
"""The phases of `planasonix.models.status` that end a wait."""


class WatchedRun(Protocol):
    """A job or backfill as a list or a GET shows it."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> str | None: ...
    @property
    def phase(self) -> str: ...
    @property
    def created_at(self) -> datetime | None: ...


class PageOfRuns(Protocol):
    @property
    def rows(self) -> Sequence[WatchedRun]: ...
    @property
    def cursor(self) -> str | None: ...


class _Config(Protocol):
    @property
    def watch_key(self) -> Hashable:
        """Equal for clients that see the same runs: the same API, credential, organization and paths."""
        ...


class RunReader(Protocol):
    def get(self, run_id: str, /) -> WatchedRun: ...


class AsyncRunReader(Protocol):
    def get(self, run_id: str, /) -> Awaitable[WatchedRun]: ...

    @property
    def list_page(self) -> Callable[..., Awaitable[PageOfRuns]]:
        """Takes `cursor`, `status`, `limit`; for jobs also `since`."""
        ...


class WatchClient(Protocol):
    """The part of the sync client that a blocking wait uses."""

    def with_options(self, *, max_tries: int, deadline_seconds: float | None) -> WatchClient: ...

    @property
    def jobs(self) -> RunReader: ...
    @property
    def backfills(self) -> RunReader: ...


class AsyncWatchClient(Protocol):
    """The part of the async client that the watcher uses."""

    def detached(self, *, max_tries: int, deadline_seconds: float | None) -> OwnedWatchClient:
        """A client with the same settings and connections of its own, to be closed by whoever asked for it."""
        ...

    @property
    def config(self) -> _Config: ...
    @property
    def jobs(self) -> AsyncRunReader: ...
    @property
    def backfills(self) -> AsyncRunReader: ...


class OwnedWatchClient(Protocol):
    """A client that the watcher has for itself."""

    @property
    def jobs(self) -> AsyncRunReader: ...
    @property
    def backfills(self) -> AsyncRunReader: ...
    async def aclose(self) -> None: ...


class _WithRuns(Protocol[T]):
    @property
    def jobs(self) -> T: ...
    @property
    def backfills(self) -> T: ...


def reader_of(client: _WithRuns[T], kind: Kind) -> T:
    """The part of a client that reads runs of this kind. Raises ValueError for a kind it does not know."""
    if kind == "job":
        return client.jobs
    if kind == "backfill":
        return client.backfills
    raise ValueError(f"not a kind of run: {kind!r}")
