"""A thousand waits and an API that is away: how much they ask meanwhile, and how soon they hear of it afterwards."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from planasonix.errors import InvalidResponseError, RateLimitError, ServerError, TransportError
from planasonix.watch import Interval, watch_shared, watcher_for
from tests.core.watch.hostile_api import EVERY_FIVE, HostileApi, leave, play

WAITS = 1000
OUTAGE_SECONDS = 60.0
FIRST_SECONDS = 5.0
CALLS_PER_SECOND = 10.0
SOON_SECONDS = 8.0
ERRORS = {
    "no connection": lambda: TransportError("refused", outcome="not_sent"),
    "reset": lambda: TransportError("reset"),
    "503": lambda: ServerError("down", status_code=503),
    "429": lambda: RateLimitError("slow", status_code=429),
    "junk": lambda: InvalidResponseError("a page of a proxy"),
}


def many_jobs(api: HostileApi) -> None:
    for number in range(len(api.runs), WAITS):
        api.start("job", f"x_{number}")
    api.set_weather(page=100)


def begin_wait(api: HostileApi, run_id: str, seen: set[str], **options: Any) -> asyncio.Task[Any]:
    """A wait for a run of which nothing but the id is known, as `jobs.wait` begins it."""
    options = {"on_change": lambda run: seen.add(run.id), **options}
    return api.loop.create_task(watch_shared(cast("Any", api.client()), "job", run_id, **options))


@pytest.mark.parametrize(
    ("error", "spread_seconds", "interval"),
    [
        ("no connection", 0.0, Interval()),
        ("no connection", OUTAGE_SECONDS, Interval()),
        ("503", 0.0, EVERY_FIVE),
        ("503", OUTAGE_SECONDS, Interval(fixed_seconds=0.5)),
        ("429", 0.0, Interval(fixed_seconds=0.5)),
        ("junk", OUTAGE_SECONDS, EVERY_FIVE),
    ],
)
def test_waits_that_begin_in_an_outage_ask_little_and_see_its_end(
    error: str, spread_seconds: float, interval: Interval
) -> None:
    async def scene(api: HostileApi) -> None:
        many_jobs(api)
        api.set_weather(get_error=ERRORS[error], list_error=ERRORS[error])
        seen: set[str] = set()
        calls: list[int] = []
        for second in (FIRST_SECONDS, OUTAGE_SECONDS):
            api.loop.call_at(api.loop.time() + second, lambda: calls.append(api.calls))
        for _, run_id in api.runs:
            begin_wait(api, run_id, seen, interval=interval)
            await asyncio.sleep(spread_seconds / WAITS)
        await asyncio.sleep(OUTAGE_SECONDS - api.loop.time() + 0.1)
        of_first_seconds, of_outage = calls
        assert of_first_seconds <= 20 * CALLS_PER_SECOND
        assert of_outage - of_first_seconds <= CALLS_PER_SECOND * (OUTAGE_SECONDS - FIRST_SECONDS)
        assert seen == set()
        api.set_weather(get_error=None, list_error=None)
        await asyncio.sleep(interval.base(OUTAGE_SECONDS) + SOON_SECONDS)
        assert len(seen) == WAITS
        await leave(api)

    play(scene)


def test_an_api_that_hangs_is_asked_little_too() -> None:
    async def scene(api: HostileApi) -> None:
        many_jobs(api)
        api.set_weather(get_seconds=60.0, list_seconds=60.0)
        seen: set[str] = set()
        for _, run_id in api.runs:
            begin_wait(api, run_id, seen)
        await asyncio.sleep(2 * OUTAGE_SECONDS)
        assert api.calls <= 4 * OUTAGE_SECONDS
        api.set_weather(get_seconds=0.05, list_seconds=0.05)
        # What hangs when the API comes back takes its 20 seconds.
        await asyncio.sleep(20.0 + 0.1 * 2 * OUTAGE_SECONDS + SOON_SECONDS)
        assert len(seen) == WAITS
        await leave(api)

    play(scene)


def test_runs_that_alone_cannot_be_read_hold_no_other_up() -> None:
    """More in a row than make an outage: they were begun together, before the others."""

    async def scene(api: HostileApi) -> None:
        many_jobs(api)
        ids = [run_id for _, run_id in api.runs]
        api.unreadable = dict.fromkeys(ids[:100], ERRORS["503"])
        seen: set[str] = set()
        for run_id in ids:
            begin_wait(api, run_id, seen, interval=EVERY_FIVE)
        await asyncio.sleep(2 * 5.0 + SOON_SECONDS)
        assert seen == set(ids[100:])
        for _, run_id in api.runs:
            api.become("job", run_id, "succeeded")
        await asyncio.sleep(2 * 5.0 + SOON_SECONDS)
        assert watcher_for(cast("Any", api.client())).waiting == 100
        api.unreadable.clear()
        await asyncio.sleep(2 * 5.0 + SOON_SECONDS)
        assert api.open_clients == 0

    play(scene)


def test_a_wait_that_was_not_read_in_an_outage_is_not_given_up_for_it() -> None:
    """Missing at first, as a list or replica may lag; then away for long; then missing for a moment more."""

    async def scene(api: HostileApi) -> None:
        many_jobs(api)
        for run in api.runs.values():
            run.visible_from = 480.0
        seen: set[str] = set()
        waits = [begin_wait(api, run_id, seen, interval=EVERY_FIVE) for _, run_id in api.runs]
        await asyncio.sleep(20)
        api.set_weather(get_error=ERRORS["503"], list_error=ERRORS["503"])
        await asyncio.sleep(400)
        api.set_weather(get_error=None, list_error=None)
        await asyncio.sleep(50)
        assert not any(wait.done() for wait in waits)
        await asyncio.sleep(30)
        assert len(seen) == WAITS
        await leave(api)

    play(scene)
