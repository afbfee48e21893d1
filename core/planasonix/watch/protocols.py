"""What the wait rules need to know of a run and of a client."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

Kind = Literal["job", "backfill"]

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
    def share_key(self) -> Hashable:
        """Equal for clients that talk to the same API with the same credential."""
        ...


class RunReader(Protocol):
    def get(self, run_id: str, /) -> WatchedRun: ...


class AsyncRunReader(Protocol):
    def get(self, run_id: str, /) -> Awaitable[WatchedRun]: ...
    def list_page(self, *, cursor: str | None = None, **filters: Any) -> Awaitable[PageOfRuns]: ...


class WatchClient(Protocol):
    """The part of the sync client that a blocking wait uses."""

    @property
    def jobs(self) -> RunReader: ...
    @property
    def backfills(self) -> RunReader: ...


class AsyncWatchClient(Protocol):
    """The part of the async client that the watcher uses."""

    def with_options(self, *, max_tries: int, deadline_seconds: float | None) -> AsyncWatchClient: ...

    @property
    def config(self) -> _Config: ...
    @property
    def jobs(self) -> AsyncRunReader: ...
    @property
    def backfills(self) -> AsyncRunReader: ...
