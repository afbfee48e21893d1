"""Lists that lie, hints that lie, waiters that come and go at the worst moment: each by itself, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from planasonix.errors import (
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TransportError,
    WaitTimeoutError,
)
from planasonix.watch import watch_shared, watcher_for
from planasonix.watch.watched import LIST_BELIEVED_SECONDS
from tests.core.watch.hostile_api import EVERY_FIVE, HostileApi, leave, play, wait_all

# --- lists that lie ---------------------------------------------------------------------------------------------------


def test_an_end_that_only_a_list_shows_ends_nothing() -> None:
    """As of a run that had ended and was taken up again."""

    async def scene(api: HostileApi) -> None:
        waits = wait_all(api)
        api.set_weather(list_ignores_status=True)
        api.list_says["job", "x_0"] = "succeeded"
        await asyncio.sleep(1000)
        assert not any(wait.done() for wait in waits)
        # Two hundred rounds: the GET that found it alive is not repeated in each for the same lie.
        assert 1 <= api.gets["x_0"] <= 200 / 8 + 10
        for kind, run_id in api.runs:
            api.become(kind, run_id, "failed")
        assert {(await wait).status for wait in waits} == {"failed"}

    play(scene)


def test_a_list_that_shows_an_ended_run_alive_for_ever_is_believed_for_half_an_hour() -> None:
    async def scene(api: HostileApi) -> float:
        waits = wait_all(api)
        await asyncio.sleep(60)
        for kind, run_id in api.runs:
            api.list_says[kind, run_id] = "running"
            api.become(kind, run_id, "succeeded")
        began = api.loop.time()
        await asyncio.gather(*waits)
        return api.loop.time() - began

    assert play(scene) <= LIST_BELIEVED_SECONDS + 30


@pytest.mark.parametrize(
    "error",
    [
        ServerError("down", status_code=503),
        RateLimitError("slow", status_code=429),
        PermissionDeniedError("lists are not for you", status_code=403),
        NotFoundError("no such list", status_code=404),
        InvalidRequestError("no such filter", status_code=400),
        InvalidResponseError("junk"),
        TransportError("refused", outcome="not_sent"),
        ValueError("a defect in the reader"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_lists_that_always_fail_keep_no_wait_from_its_end(error: Exception) -> None:
    async def scene(api: HostileApi) -> float:
        api.set_weather(list_error=lambda: error)
        waits = wait_all(api)
        await asyncio.sleep(300)
        for kind, run_id in api.runs:
            api.become(kind, run_id, "succeeded")
        began = api.loop.time()
        await asyncio.wait_for(asyncio.gather(*waits), 3600)
        return api.loop.time() - began

    assert play(scene) <= 120


def test_an_answer_about_another_run_says_nothing() -> None:
    async def scene(api: HostileApi) -> None:
        api.set_weather(get_answers_for_another=True)
        wait = wait_all(api)[0]
        api.become("job", "x_0", "failed")
        await asyncio.sleep(600)
        assert not wait.done()
        api.set_weather(get_answers_for_another=False)
        run = await wait
        assert (run.id, run.status) == ("x_0", "failed")
        await leave(api)

    play(scene)


def test_ids_are_told_apart_by_kind() -> None:
    async def scene(api: HostileApi) -> None:
        api.runs.clear()
        for kind in ("job", "backfill", "run"):
            api.start(cast("Any", kind), "x_1")
        job, backfill, run = wait_all(api)
        api.become("run", "x_1", "failed")
        assert (await run).kind == "run"
        api.become("backfill", "x_1", "succeeded")
        assert (await backfill).kind == "backfill"
        assert not job.done()
        await leave(api)

    play(scene)


# --- hints ------------------------------------------------------------------------------------------------------------


def test_a_hint_is_followed_though_a_list_that_lags_shows_the_run_alive() -> None:
    async def scene(api: HostileApi) -> float:
        waits = wait_all(api)
        await asyncio.sleep(301.7)
        api.set_weather(list_lags_seconds=1e9)
        api.become("job", "x_0", "succeeded")
        for _ in range(3):
            watcher_for(cast("Any", api.client())).nudge("job", "x_0")
        began = api.loop.time()
        await waits[0]
        took = api.loop.time() - began
        await leave(api)
        return took

    assert play(scene) < 1.0


def test_hints_that_lie_cost_a_read_and_end_nothing() -> None:
    async def scene(api: HostileApi) -> None:
        waits = wait_all(api)
        # The first round begins after 4.5 to 5 s and takes less than one, the second not before 9: none is near.
        await asyncio.sleep(7.0)
        before, calls = api.gets.copy(), api.calls
        for run_id in ("x_0", "x_0", "x_unknown"):
            watcher_for(cast("Any", api.client())).nudge("job", run_id)
        await asyncio.sleep(0.5)
        assert api.gets - before == {"x_0": 1}
        assert api.calls - calls == 1
        assert not any(wait.done() for wait in waits)
        await leave(api)

    play(scene)


# --- waiters ----------------------------------------------------------------------------------------------------------


def test_who_joins_in_the_moment_of_giving_up_has_patience_of_their_own() -> None:
    async def scene(api: HostileApi) -> float:
        client = cast("Any", api.client())
        joined: list[asyncio.Task[Any]] = []

        def join() -> asyncio.Task[Any]:
            return api.loop.create_task(watch_shared(client, "job", "x_0", interval=EVERY_FIVE))

        def missing() -> Exception:
            if not first.done() and api.loop.time() > 110:
                joined.append(join())  # takes its first step before the others hear of this answer
            return NotFoundError("none", status_code=404)

        first = join()
        api.set_weather(get_error=missing)
        with pytest.raises(NotFoundError):
            await first
        gave_up = api.loop.time()
        with pytest.raises(NotFoundError):
            await joined[-1]
        await asyncio.gather(*joined, return_exceptions=True)
        return api.loop.time() - gave_up

    assert 115 <= play(scene) <= 150


def test_who_comes_after_the_others_gave_up_has_the_whole_patience() -> None:
    async def scene(api: HostileApi) -> float:
        client = cast("Any", api.client())
        with pytest.raises(NotFoundError):
            await watch_shared(client, "job", "x_none", interval=EVERY_FIVE)
        began = api.loop.time()
        with pytest.raises(NotFoundError):
            await watch_shared(client, "job", "x_none", interval=EVERY_FIVE)
        return api.loop.time() - began

    assert 115 <= play(scene) <= 150


def test_a_last_wait_that_is_cancelled_again_and_again_closes_the_client() -> None:
    """As Airflow's triggerer does, every second, until the trigger has ended."""

    async def scene(api: HostileApi) -> None:
        waits = wait_all(api)
        await asyncio.sleep(7)
        for _ in range(4):
            for wait in waits:
                wait.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*waits, return_exceptions=True)
        await asyncio.sleep(1)
        assert api.open_clients == 0

    play(scene)


def test_a_defect_in_the_last_look_does_not_hide_that_the_time_is_up() -> None:
    async def scene(api: HostileApi) -> None:
        def broken() -> Exception:
            return ValueError("a defect in the reader")

        api.set_weather(get_error=broken, list_error=broken)
        ends = await asyncio.gather(*wait_all(api, timeout_seconds=60.0), return_exceptions=True)
        assert {type(end) for end in ends} == {WaitTimeoutError}

    play(scene)


def test_a_deadline_that_nobody_can_look_at_tells_the_last_status_seen() -> None:
    async def scene(api: HostileApi) -> None:
        waits = wait_all(api, timeout_seconds=60.0)
        await asyncio.sleep(30)
        api.set_weather(get_error=lambda: TransportError("down"), list_error=lambda: TransportError("down"))
        api.become("job", "x_0", "succeeded")
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert api.loop.time() < 62
        told = [end.pending for end in ends if isinstance(end, WaitTimeoutError)]
        assert told == [[{"kind": "job", "id": run_id, "status": "queued"}] for _, run_id in api.runs]

    play(scene)
