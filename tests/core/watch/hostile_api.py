"""An API in memory whose runs change, whose lists lie, and whose answers get lost. Its truth is what a GET shows."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from types import SimpleNamespace
from typing import Any, cast

from benchmarks.virtual_time import VirtualTimeLoop
from planasonix.errors import InvalidRequestError, NotFoundError, PlanasonixError, TransportError
from planasonix.watch import Interval, Kind, watch_shared

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = ("succeeded", "failed", "cancelled")
EVERY_FIVE = Interval(fixed_seconds=5.0)


@dataclass(frozen=True)
class Row:
    """A run as a GET or a list shows it."""

    kind: Kind
    id: str
    status: str
    created_at: datetime | None

    @property
    def phase(self) -> str:
        return self.status if self.status in ENDED else "cancelling" if self.status == "cancelling" else "active"


@dataclass
class Run:
    """What a run really is: its statuses with their times, and from when on a GET finds it."""

    kind: Kind
    id: str
    began: float
    visible_from: float
    history: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def status_at(self, at: float) -> str:
        return [status for since, status in self.history if since <= at or since == self.history[0][0]][-1]

    @property
    def status(self) -> str:
        return self.history[-1][1]

    def ended_between(self, status: str, began: float, until: float) -> bool:
        """Whether that was its status at some moment of the span."""
        ends = [*(since for since, _ in self.history[1:]), inf]
        spans = zip(self.history, ends, strict=True)
        return any(word == status and since <= until and end >= began for (since, word), end in spans)

    def row(self, status: str) -> Row:
        return Row(self.kind, self.id, status, EPOCH + timedelta(seconds=self.began))


@dataclass
class Weather:
    """What goes wrong now. Shares are chances of each single answer."""

    get_error: Callable[[], Exception] | None = None
    get_error_share: float = 1.0
    get_answers_for_another: bool = False
    get_seconds: float = 0.05
    list_error: Callable[[], Exception] | None = None
    list_error_share: float = 1.0
    list_seconds: float = 0.05
    list_lags_seconds: float = 0.0
    list_omits_share: float = 0.0
    list_shuffles: bool = False
    list_ignores_status: bool = False
    list_cursor_never_ends: bool = False
    largest_page: int = 100
    page: int = 4


class HostileApi:
    """The truth, and what is done to it on the way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seed: int = 0) -> None:
        self.loop = loop
        self.rng = random.Random(seed)
        self.runs: dict[tuple[Kind, str], Run] = {}
        self.weather = Weather()
        self.list_says: dict[tuple[Kind, str], str] = {}
        self.open_clients = 0
        self.closed_twice_or_used_closed = 0
        self.failures: dict[tuple[Kind, str], list[tuple[float, type[Exception]]]] = {}
        self.gets_answer_since = 0.0
        self.calls = 0
        self.gets: Counter[str] = Counter()
        self.unreadable: dict[str, Callable[[], Exception]] = {}

    def start(self, kind: Kind, run_id: str, visible_after: float = 0.0) -> Run:
        now = self.loop.time()
        run = self.runs[kind, run_id] = Run(kind, run_id, now, now + visible_after, [(now, "queued")])
        return run

    def become(self, kind: Kind, run_id: str, status: str) -> None:
        self.runs[kind, run_id].history.append((self.loop.time(), status))

    def set_weather(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self.weather, name, value)
        now = self.weather
        sound = now.get_error is None and not now.get_answers_for_another and now.get_seconds < 20.0
        self.gets_answer_since = min(self.gets_answer_since, self.loop.time()) if sound else inf
        if sound and self.gets_answer_since == inf:
            self.gets_answer_since = self.loop.time()

    def client(self, name: str = "cred") -> HostileClient:
        return HostileClient(self, name)

    def fails(self, error: Callable[[], Exception] | None, share: float) -> Exception | None:
        return error() if error is not None and self.rng.random() < share else None


class HostileClient:
    """What the watcher sees of a client."""

    def __init__(self, api: HostileApi, name: str, *, owned: bool = False) -> None:
        self.api = api
        self.config = SimpleNamespace(watch_key=name)
        self.closed = False
        self.owned = owned
        self.jobs, self.backfills, self.runs = (Reader(self, kind) for kind in ("job", "backfill", "run"))

    def detached(self, **_: Any) -> HostileClient:
        self.api.open_clients += 1
        owned = HostileClient(self.api, self.config.watch_key, owned=True)
        owned.config = self.config  # as with the client's copies: a key that is replaced is replaced for all
        return owned

    async def aclose(self) -> None:
        await asyncio.sleep(0.01)
        self.api.closed_twice_or_used_closed += self.closed
        self.closed = True
        self.api.open_clients -= 1


class Reader:
    """Reads runs of one kind."""

    def __init__(self, client: HostileClient, kind: Any) -> None:
        self._client = client
        self._api = client.api
        self._kind: Kind = kind

    async def get(self, run_id: str) -> Row:
        api, key = self._api, (self._kind, run_id)
        api.gets[run_id] += 1
        error = await self._call(api.weather.get_seconds)
        error = error or api.fails(api.weather.get_error, api.weather.get_error_share)
        error = error or api.fails(api.unreadable.get(run_id), 1.0)
        run = api.runs.get(key)
        if error is None and (run is None or api.loop.time() < run.visible_from):
            error = NotFoundError("no such run", status_code=404)
        if error is not None:
            api.failures.setdefault(key, []).append((api.loop.time(), type(error)))
            raise error
        assert run is not None
        if api.weather.get_answers_for_another:
            return Row(self._kind, "x_other", "succeeded", EPOCH)
        api.failures.pop(key, None)
        return run.row(run.status)

    async def list_page(self, *, status: str, limit: int, cursor: str | None = None, since: Any = None) -> Any:
        api, weather = self._api, self._api.weather
        error = await self._call(weather.list_seconds)
        error = error or api.fails(weather.list_error, weather.list_error_share)
        if error is not None:
            raise error
        if limit > weather.largest_page:
            raise InvalidRequestError("the limit is too large", status_code=400)
        at = api.loop.time() - weather.list_lags_seconds
        shown = [(run, api.list_says.get(key) or run.status_at(at)) for key, run in api.runs.items()]
        rows = [
            run.row(word)
            for run, word in shown
            if run.kind == self._kind
            and run.began <= at
            and (weather.list_ignores_status or word == status or (run.kind, run.id) in api.list_says)
            and (since is None or run.row(word).created_at >= since)
            and api.rng.random() >= weather.list_omits_share
        ]
        if weather.list_shuffles:
            api.rng.shuffle(rows)
        start, size = int(cursor or 0), min(limit, weather.page)
        more = start + size < len(rows)
        if weather.list_cursor_never_ends and rows:
            return SimpleNamespace(rows=rows[:size], cursor=str((start + 1) % 7))
        return SimpleNamespace(rows=rows[start : start + size], cursor=str(start + size) if more else None)

    async def _call(self, seconds: float) -> Exception | None:
        self._api.calls += 1
        self._api.closed_twice_or_used_closed += self._client.closed
        await asyncio.sleep(min(seconds, 20.0))
        return TransportError("no answer in time") if seconds > 20.0 else None


def failing_since(api: HostileApi, kind: Kind, run_id: str, *errors: type[PlanasonixError]) -> float:
    """For how long the GETs of a run have ended in errors, if the last one was of these."""
    failures = api.failures.get((kind, run_id), [])
    return failures[-1][0] - failures[0][0] if failures and issubclass(failures[-1][1], errors) else 0.0


def play(scene: Callable[[HostileApi], Any]) -> Any:
    """Run a scene in virtual time, with many runs so that lists are used; nothing may be left of it."""
    loop = VirtualTimeLoop()
    trouble: list[Any] = []
    loop.set_exception_handler(lambda _, context: trouble.append(context))
    api = HostileApi(loop)
    for number in range(20):
        api.start("job", f"x_{number}")
    try:
        result = loop.run_until_complete(scene(api))
        assert asyncio.all_tasks(loop) == set()
        assert api.open_clients == api.closed_twice_or_used_closed == 0
        assert trouble == []
        return result
    finally:
        loop.close()


def wait_all(api: HostileApi, **options: Any) -> list[asyncio.Task[Any]]:
    client = cast("Any", api.client())
    return [
        api.loop.create_task(
            watch_shared(client, kind, run_id, created_at=run.row("queued").created_at, interval=EVERY_FIVE, **options)
        )
        for (kind, run_id), run in api.runs.items()
    ]


async def leave(api: HostileApi) -> None:
    """Whoever waits still, leaves."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        if not task.get_name().startswith("planasonix"):
            task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert api.open_clients == 0
