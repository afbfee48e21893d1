"""Keys that are refused or rotated, runs that disappear, and clocks that jump while somebody waits."""

from __future__ import annotations

import asyncio
import random
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.engine import Reply
from planasonix.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    PlanasonixError,
    ServerError,
    WaitTimeoutError,
)
from planasonix.runs import RunHandle, await_run, wait_for_run
from planasonix.watch import Interval, look_until_ended, watch_shared, watcher_for
from planasonix.watch.blocking import Pause
from planasonix.watch.patience import Patience
from tests.core.watch.hostile_api import EVERY_FIVE, HostileApi, leave, play, wait_all

OLD, NEW = "plnx_live_CANARY_old_0123456789", "plnx_live_CANARY_new_0123456789"


# --- refusals and disappearance ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (AuthenticationError("no", status_code=401), 300),
        (PermissionDeniedError("no", status_code=403), 300),
        (NotFoundError("none", status_code=404), 120),
    ],
    ids=lambda value: getattr(value, "status_code", ""),
)
def test_what_lasts_ends_every_wait_and_not_before(error: PlanasonixError, seconds: int) -> None:
    async def scene(api: HostileApi) -> None:
        waits = wait_all(api)
        await asyncio.sleep(50)
        api.set_weather(get_error=lambda: error, list_error=lambda: error)
        await asyncio.sleep(seconds)
        assert not any(wait.done() for wait in waits)
        await asyncio.sleep(60)
        assert {type(wait.exception()) for wait in waits} == {type(error)}

    play(scene)


def test_a_refusal_that_passes_ends_nothing() -> None:
    async def scene(api: HostileApi) -> None:
        waits = wait_all(api)
        for _ in range(5):
            refused = AuthenticationError("no", status_code=401)
            api.set_weather(get_error=lambda refused=refused: refused, list_error=lambda refused=refused: refused)
            await asyncio.sleep(280)
            api.set_weather(get_error=None, list_error=None)
            await asyncio.sleep(60)
        assert not any(wait.done() for wait in waits)
        await leave(api)

    play(scene)


MISSING, REFUSED = NotFoundError("none", status_code=404), AuthenticationError("no", status_code=401)
DOWN = ServerError("down", status_code=503)


def test_an_outage_between_two_refusals_does_not_count() -> None:
    patience = Patience()
    assert patience.failed(MISSING, 0.0) is None
    assert [patience.failed(DOWN, float(at)) for at in range(5, 600, 5)] == [None] * 119
    assert patience.failed(MISSING, 600.0) is None
    assert patience.failed(MISSING, 660.0) is None
    assert patience.failed(MISSING, 719.0) is MISSING


def test_a_frozen_process_gives_up_nothing_at_once() -> None:
    patience = Patience()
    assert patience.failed(REFUSED, 0.0) is None
    assert patience.failed(REFUSED, 10_000.0) is None
    assert patience.failed(REFUSED, 10_030.0) is None
    assert patience.failed(REFUSED, 10_200.0) is REFUSED


def test_a_look_that_reports_late_is_counted_once() -> None:
    patience = Patience()
    for at, error in ((0.0, MISSING), (50.0, MISSING), (20.0, DOWN), (60.0, MISSING), (110.0, MISSING)):
        assert patience.failed(error, at) is None
    assert patience.failed(MISSING, 120.0) is MISSING


# --- a key that is rotated while somebody waits -----------------------------------------------------------------------


class RotatingApi:
    """A transport: a job that runs, and one key that is accepted."""

    def __init__(self) -> None:
        self.accepted = OLD
        self.status = "running"
        self.keys: list[str] = []

    def send(self, request: Any, timeout_seconds: float) -> Reply:
        key = request.headers["authorization"].removeprefix("Bearer ")
        self.keys.append(key)
        if key != self.accepted:
            return Reply(401, {}, b"{}")
        return Reply(
            200, {}, b'{"data": {"id": "%s", "status": "%s"}}' % (request.path[-5:].encode(), self.status.encode())
        )

    async def asend(self, request: Any, timeout_seconds: float) -> Reply:
        return self.send(request, timeout_seconds)


def test_a_wait_goes_on_with_the_new_key_and_the_watcher_is_found_under_it() -> None:
    async def scene(api: HostileApi) -> None:
        del api
        rotating, stored = RotatingApi(), OLD

        async def ask() -> str:
            return stored

        fast = Interval(fixed_seconds=0.02)
        async with AsyncPlanasonix(OLD, transport=rotating, reload_api_key=ask) as client:
            watcher = watcher_for(cast("Any", client))
            wait = asyncio.create_task(watch_shared(cast("Any", client), "job", "job_1", interval=fast))
            await asyncio.sleep(0.1)
            stored = rotating.accepted = NEW
            await asyncio.sleep(0.1)
            assert set(rotating.keys[-2:]) == {NEW}
            later = AsyncPlanasonix(NEW, transport=rotating, reload_api_key=ask)
            assert watcher_for(cast("Any", later)) is watcher
            second = asyncio.create_task(watch_shared(cast("Any", later), "job", "job_2", interval=fast))
            await asyncio.sleep(0.1)
            rotating.status = "succeeded"
            assert [run.id for run in await asyncio.gather(wait, second)] == ["job_1", "job_2"]
            assert watcher_for(cast("Any", later)) is not watcher

    play(scene)


def test_who_still_comes_with_the_old_key_pushes_no_watcher_out() -> None:
    """Two keys are replaced, one by the key that the other was; each watcher is found under its present one."""

    async def scene(api: HostileApi) -> None:
        clients = {key: cast("Any", api.client(key)) for key in ("k1", "k2")}
        for client in clients.values():
            api.loop.create_task(watch_shared(client, "job", "x_0", interval=EVERY_FIVE))
        await asyncio.sleep(1)
        first, second = (watcher_for(client) for client in clients.values())
        clients["k1"].config.watch_key, clients["k2"].config.watch_key = "k2", "k3"
        late = cast("Any", api.client("k1"))
        api.loop.create_task(watch_shared(late, "job", "x_1", interval=EVERY_FIVE))
        await asyncio.sleep(1)
        found = [watcher_for(cast("Any", api.client(key))) for key in ("k1", "k2", "k3", "k1")]
        assert found[1:3] == [first, second]
        assert found[0] is found[3] is watcher_for(late)
        assert found[0] not in (first, second)
        assert api.open_clients == 3
        await leave(api)

    play(scene)


def test_the_blocking_wait_goes_on_with_the_new_key() -> None:
    rotating = RotatingApi()

    def rotate() -> str:
        rotating.status = "succeeded"
        return NEW

    rotating.accepted = NEW
    with Planasonix(OLD, transport=rotating, reload_api_key=rotate) as client:
        assert client.jobs.wait("job_1").status == "succeeded"
    assert rotating.keys == [OLD, NEW]


# --- clocks that jump -------------------------------------------------------------------------------------------------


def handle(timeout_seconds: float) -> RunHandle:
    now = time.time()
    return RunHandle("job", "job_1", "conn_1", True, now, now + timeout_seconds, "intent")


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_wall_clock_that_jumps_moves_no_deadline_of_a_wait(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """Neither a false end an hour early, nor an hour too long."""
    rotating, real_time = RotatingApi(), time.time

    async def wait() -> float:
        began = time.monotonic()
        async with AsyncPlanasonix(OLD, transport=rotating) as client:
            waiting = asyncio.create_task(await_run(client, handle(0.6), interval=Interval(fixed_seconds=0.05)))
            await asyncio.sleep(0.1)
            monkeypatch.setattr(time, "time", lambda: real_time() + jump)
            await asyncio.sleep(0.1)
            assert not waiting.done()
            with pytest.raises(WaitTimeoutError):
                await waiting
        return time.monotonic() - began

    assert 0.5 <= asyncio.run(wait()) <= 5


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_the_same_for_a_blocking_wait(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    rotating, real_time, began = RotatingApi(), time.time, time.monotonic()

    def set_the_clock(run: Any) -> None:
        monkeypatch.setattr(time, "time", lambda: real_time() + jump)

    with Planasonix(OLD, transport=rotating) as client, pytest.raises(WaitTimeoutError):
        wait_for_run(client, handle(0.4), interval=Interval(fixed_seconds=0.05), on_change=set_the_clock)
    assert 0.3 <= time.monotonic() - began <= 5


def test_a_run_that_ended_is_never_reported_late_however_wrong_the_clock_at_reattach() -> None:
    """The deadline seems long past; the look that is taken at it tells the truth."""
    rotating = RotatingApi()
    rotating.status = "succeeded"

    async def wait() -> Any:
        async with AsyncPlanasonix(OLD, transport=rotating) as client:
            return await await_run(client, handle(-3600.0))

    assert asyncio.run(wait()).status == "succeeded"
    with Planasonix(OLD, transport=rotating) as client:
        assert wait_for_run(client, handle(-3600.0)).status == "succeeded"


def test_the_blocking_wait_takes_no_answer_about_another_run() -> None:
    looks = iter([("other", "failed"), ("job_1", "running"), ("other", "succeeded"), ("job_1", "succeeded")])
    loop = look_until_ended(run_id="job_1", deadline=None, interval=EVERY_FIVE, now=lambda: 0.0, rng=random.Random(1))

    def answer_each_look() -> Any:
        effect = next(loop)
        while True:
            try:
                if isinstance(effect, Pause):
                    effect = loop.send(None)
                    continue
                run_id, status = next(looks)
                phase = "active" if status == "running" else status
                effect = loop.send(SimpleNamespace(id=run_id, status=status, phase=phase, created_at=None))
            except StopIteration as end:
                return end.value

    run = answer_each_look()
    assert (run.id, run.status) == ("job_1", "succeeded")
