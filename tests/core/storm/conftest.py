"""Weather, and many starts that go through it.

One clock serves client and sandbox and runs a hundred times as fast as ours, so that back-off and `Retry-After` are
kept to the second without anybody waiting for them. What was started is read from the sandbox alone: it knows the
metadata of every job, also where it shows none.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.errors import OutcomeUnknownError, PlanasonixError
from planasonix.runs import MemoryLedger, Policy, Provenance, SyncRequest, start_run
from planasonix.runs.aio import astart_run
from planasonix.sandbox import Sandbox, VirtualClock

TRIES_AT_MOST = 100
THREADS = 32

# Every way to fail, in equal shares: before the effect, after it, and with a pause asked for in either form.
WEATHER: tuple[tuple[str, dict[str, Any]], ...] = (
    ("reset", {}),
    ("refused", {}),
    ("drop", {}),
    ("cut", {}),
    ("error", {"status": 503}),
    ("error", {"status": 500, "where": "after"}),
    ("error", {"status": 502, "where": "after", "body": "<h1>Bad gateway</h1>"}),
    ("error", {"status": 408}),
    ("timeout", {"where": "before"}),
    ("timeout", {"where": "after"}),
    ("rate_limit", {}),
    ("rate_limit", {"retry_after": 1}),
    ("rate_limit", {"retry_after": 1, "retry_after_format": "date"}),
)


class FastClock(VirtualClock):
    """The sandbox's clock and the client's. `served`: answers carry the real time in their `Date`."""

    def __init__(self, speed: float, *, served: bool = False) -> None:
        super().__init__(speed)
        self._served = served

    def real_seconds(self, virtual_seconds: float) -> float:
        return virtual_seconds

    def caller_time(self) -> float:
        return time.time() if self._served else self.time()

    def monotonic(self) -> float:
        return self.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


@dataclass(frozen=True)
class Call:
    """One request at the sandbox's door: when it came, and the answer's `Retry-After`."""

    at: float
    operation: str
    retry_after: str | None


class Door:
    """The sandbox's door in this process. Keeps what came through it."""

    def __init__(self, sandbox: Sandbox, clock: FastClock) -> None:
        self.calls: list[Call] = []
        self._inner = sandbox.transport()
        self._clock = clock

    def send(self, request: Any, timeout_seconds: float) -> Any:
        return self._noted(request, self._clock.time(), self._inner.send(request, timeout_seconds / self._clock.speed))

    async def asend(self, request: Any, timeout_seconds: float) -> Any:
        return self._noted(
            request, self._clock.time(), await self._inner.asend(request, timeout_seconds / self._clock.speed)
        )

    def _noted(self, request: Any, at: float, reply: Any) -> Any:
        self.calls.append(Call(at, request.operation, reply.headers.get("retry-after")))
        return reply


class SharedLedger:
    """A slot of one store in memory, which can tell what its other slots own."""

    def __init__(self, store: dict[str, Any], slot: str, lock: threading.Lock) -> None:
        self._store, self._slot, self._lock = store, slot, lock

    def read(self) -> Any:
        return self._store.get(self._slot)

    def write(self, record: Any) -> None:
        with self._lock:
            self._store[self._slot] = record

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        with self._lock:
            others = [record for slot, record in self._store.items() if slot != self._slot]
        return frozenset(run_ids) & {record.run_id for record in others if record.run_id and record.owned}


@dataclass
class Wish:
    """One intent with its ledger, and what became of its calls of start."""

    intent: str
    connection_id: str
    ledger: Any
    give_up_when_unknown: bool = False
    calls: int = 0
    how: str | None = None
    run_id: str | None = None
    owned: bool = False
    unknown: bool = False
    seen: Counter[str] = field(default_factory=Counter)

    def note(self, started: Any) -> bool:
        """Whether that was the end."""
        self.seen[started.how] += 1
        if started.handle is None:
            return False
        self.how, self.run_id, self.owned = started.how, started.handle.id, started.handle.owned
        return True

    def note_error(self, error: PlanasonixError) -> bool:
        self.seen[type(error).__name__] += 1
        self.unknown = self.unknown or isinstance(error, OutcomeUnknownError)
        return self.unknown and self.give_up_when_unknown


class Storm:
    """A sandbox in bad weather, and starts against it. `client` options go to the client of either kind."""

    def __init__(
        self, profile: str, *, speed: float = 100.0, served: bool = False, seed: int = 20, **switches: Any
    ) -> None:
        self.clock = FastClock(speed, served=served)
        self.sandbox = Sandbox(profile, seed=seed, clock=self.clock, **switches)
        self.sandbox.script("*", "stuck")
        self.door = Door(self.sandbox, self.clock)
        self.running = self.sandbox.serve() if served else None
        self.seed = seed
        self.store: dict[str, Any] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        if self.running is not None:
            self.running.stop()
        self.sandbox.close()

    def connections(self, count: int) -> list[str]:
        """New connections; two jobs at a time are refused on each, unless the switch `busy` says otherwise."""
        headers = {"authorization": f"Bearer {self.sandbox.api_key}"}
        body = b'{"name": "one of many", "type": "postgres", "config": {}}'
        for _ in range(count):
            assert self.sandbox.handle("POST", "/api/connections", (), headers, body).status == 201
        return [entry.effect["connection_created"] for entry in self.sandbox.journal if entry.effect]

    def wishes(
        self, count: int, connections: list[str], *, claims: bool = False, give_up_when_unknown: bool = False
    ) -> list[Wish]:
        """`claims`: their ledgers are slots of one store. `give_up_when_unknown`: as a user may, by whom it is read."""
        return [
            Wish(
                f"intent-{number}",
                connections[number % len(connections)],
                SharedLedger(self.store, str(number), self._lock) if claims else MemoryLedger(),
                give_up_when_unknown,
            )
            for number in range(count)
        ]

    def break_out(self, share: float = 0.3, operation: str = "*") -> None:
        """From now on `share` of all calls go wrong, each in one of the ways of `WEATHER`."""
        each, left = share / len(WEATHER), 1.0
        for kind, options in WEATHER:
            # A rule is asked only when those before it have passed the call on.
            self.sandbox.fault(operation, kind, times=None, probability=each / left, **options)
            left -= each

    def settings(self, **client: Any) -> dict[str, Any]:
        way = {"transport": self.door} if self.running is None else {"base_url": self.running.url}
        return {
            "api_key": self.sandbox.api_key,
            "rng": random.Random(self.seed),
            "clock": self.clock,
            "deadline_seconds": 3600.0,
            # Sockets count in our own seconds.
            "timeout_seconds": 5.0 if self.running is None else 2.0,
            **way,
            **client,
        }

    def fulfil(self, kind: str, wishes: list[Wish], **client: Any) -> None:
        """Call start for each wish, again and again, as an orchestrator's retries do."""
        if kind == "async":
            asyncio.run(self._fulfil_all(wishes, client))
            return
        with Planasonix(**self.settings(**client)) as planasonix, ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(self._fulfil, planasonix, wish) for wish in wishes]:
                done.result()

    async def _fulfil_all(self, wishes: list[Wish], client: dict[str, Any]) -> None:
        # Over sockets, no more at a time than the client has connections: queueing is not what is tested.
        gate = asyncio.Semaphore(len(wishes) if self.running is None else THREADS)
        async with AsyncPlanasonix(**self.settings(**client)) as planasonix:

            async def fulfil(wish: Wish) -> None:
                async with gate:
                    while wish.calls < TRIES_AT_MOST:
                        wish.calls += 1
                        try:
                            started = await astart_run(planasonix, **self._arguments(planasonix, wish))
                        except PlanasonixError as error:
                            if wish.note_error(error):
                                return
                        else:
                            if wish.note(started):
                                return

            await asyncio.gather(*map(fulfil, wishes))

    def _fulfil(self, planasonix: Planasonix, wish: Wish) -> None:
        while wish.calls < TRIES_AT_MOST:
            wish.calls += 1
            try:
                started = start_run(planasonix, **self._arguments(planasonix, wish))
            except PlanasonixError as error:
                if wish.note_error(error):
                    return
            else:
                if wish.note(started):
                    return

    def _arguments(self, planasonix: Any, wish: Wish) -> dict[str, Any]:
        return {
            "request": SyncRequest(wish.connection_id),
            "intent": wish.intent,
            "ledger": wish.ledger,
            "provenance": Provenance("test", "a storm"),
            # In this process no request is ever on its way.
            "policy": Policy(idempotency=planasonix.config.idempotency, settle_seconds=0.01),
        }

    # --- the judge ---------------------------------------------------------------------------------------------------

    def jobs_by_intent(self) -> dict[str, list[str]]:
        """The ids of the jobs that each intent started, by the metadata that the sandbox was sent."""
        found: dict[str, list[str]] = {}
        for entry in self.sandbox.journal:
            if "job_started" in entry.effect and not entry.replayed:
                found.setdefault(entry.body["metadata"]["planasonix_intent"], []).append(entry.effect["job_started"])
        return found

    def share_struck(self) -> float:
        """The share of the starts' POSTs that something happened to."""
        posts = [entry for entry in self.sandbox.journal if entry.operation == "connections.sync"]
        return sum(entry.fault is not None for entry in posts) / len(posts)


@pytest.fixture
def make_storm() -> Iterator[Callable[..., Storm]]:
    made: list[Storm] = []

    def make(*args: Any, **options: Any) -> Storm:
        made.append(Storm(*args, **options))
        return made[-1]

    yield make
    for storm in made:
        storm.close()
