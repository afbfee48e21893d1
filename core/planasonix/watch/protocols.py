"""What the wait rules need to know of a run and of a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeVar

Kind = Literal["job", "backfill", "run"]
"""What can be waited for: a job, a backfill, or the run of a pipeline."""

KINDS: tuple[Kind, ...] = ("job", "backfill", "run")
T = TypeVar("T", covariant=True)

ENDED_PHASES = frozenset({"succeeded", "failed", "cancelled"})
"""The phases of `planasonix.models.status` that end a wait."""


@dataclass(frozen=True)
class ActiveLists:
    """How the active runs of a kind are listed: one list for each of `statuses`.

    `since_of` are those whose `list_page` may be given `since`, an aware datetime that leaves older runs out.
    """

    statuses: tuple[str, ...] = ("queued", "running")
    since_of: frozenset[str] = field(default_factory=frozenset[str])


ACTIVE_LISTS: Mapping[Kind, ActiveLists] = {
    "job": ActiveLists(since_of=frozenset({"queued", "running"})),
    "backfill": ActiveLists(),  # its list has no such filter (facts §1.1)
    # `from` bounds when a run started, as its rows show no other time (facts §1.4): a queued one has not.
    "run": ActiveLists(since_of=frozenset({"running"})),
}


class WatchedRun(Protocol):
    """A job, backfill or pipeline run as a list or a GET shows it."""

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
        """Equal for clients that see the same runs: the same API, credential, organization and paths. Changes when
        the client's key was replaced by a newer one.
        """
        ...


class RunReader(Protocol):
    def get(self, run_id: str, /) -> WatchedRun: ...


ListPage = Callable[..., Awaitable[PageOfRuns]]
"""Takes `cursor`, `status`, `limit`, and `since` where `ACTIVE_LISTS` says so."""


class AsyncRunReader(Protocol):
    """Reads runs of one kind. One that has `list_page` too (see `list_page_of`) saves many waits their calls."""

    def get(self, run_id: str, /) -> Awaitable[WatchedRun]: ...


class WatchClient(Protocol):
    """The part of the sync client that a blocking wait uses."""

    def with_options(self, *, max_tries: int, deadline_seconds: float | None) -> WatchClient: ...

    @property
    def jobs(self) -> RunReader: ...
    @property
    def backfills(self) -> RunReader: ...
    @property
    def runs(self) -> RunReader: ...


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
    @property
    def runs(self) -> AsyncRunReader: ...


class OwnedWatchClient(Protocol):
    """A client that the watcher has for itself."""

    @property
    def config(self) -> _Config: ...
    @property
    def jobs(self) -> AsyncRunReader: ...
    @property
    def backfills(self) -> AsyncRunReader: ...
    @property
    def runs(self) -> AsyncRunReader: ...
    async def aclose(self) -> None: ...


class _WithRuns(Protocol[T]):
    @property
    def jobs(self) -> T: ...
    @property
    def backfills(self) -> T: ...
    @property
    def runs(self) -> T: ...


def reader_of(client: _WithRuns[T], kind: Kind) -> T:
    """The part of a client that reads runs of this kind. Raises ValueError for a kind it does not know."""
    if kind == "job":
        return client.jobs
    if kind == "backfill":
        return client.backfills
    if kind == "run":
        return client.runs
    raise ValueError(f"not a kind of run: {kind!r}")


def list_page_of(reader: AsyncRunReader) -> ListPage | None:
    """The reader's list, or None: then every run of its kind is read by itself."""
    return getattr(reader, "list_page", None)
