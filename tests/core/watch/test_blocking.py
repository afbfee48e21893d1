"""The blocking wait, its I/O-free loop driven by a simulated clock."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix.errors import AuthenticationError, NotFoundError, PlanasonixError, RunFailedError, ServerError
from planasonix.watch import Interval, look_until_ended, wait_blocking
from planasonix.watch.blocking import Pause, TimeIsUp


def run(status: str) -> Any:
    phase = {"running": "active", "odd": "active"}.get(status, status)
    return SimpleNamespace(id="job_1", status=status, phase=phase, created_at=None, error=None)


def drive(answers: Any, *, deadline: float | None = None, interval: Interval | None = None) -> tuple[Any, float, int]:
    """Run the loop; `answers(now)` gives a run or an error. Returns the run, the time and the number of looks."""
    clock, looks = [0.0], 0
    loop = look_until_ended(
        run_id="job_1",
        deadline=deadline,
        interval=interval or Interval(),
        now=lambda: clock[0],
        rng=random.Random(1),
    )
    effect = next(loop)
    try:
        while True:
            if isinstance(effect, Pause):
                clock[0] += effect.seconds
                effect = loop.send(None)
                continue
            looks += 1
            answer = answers(clock[0])
            effect = loop.throw(answer) if isinstance(answer, PlanasonixError) else loop.send(answer)
    except StopIteration as end:
        return end.value, clock[0], looks


def test_it_ends_with_the_run() -> None:
    found, at, _ = drive(lambda now: run("succeeded" if now >= 100 else "running"))
    assert found.status == "succeeded"
    assert 100 <= at <= 112


def test_the_adaptive_pause_grows_with_age_and_stays_bounded() -> None:
    _, at, looks = drive(lambda now: run("succeeded" if now >= 3600 else "running"))
    assert at <= 3618
    assert looks < 250


def test_a_fixed_pause_is_a_bound() -> None:
    _, at, _ = drive(lambda now: run("failed" if now >= 60 else "running"), interval=Interval(fixed_seconds=5))
    assert 60 <= at <= 65


def test_server_errors_never_end_it() -> None:
    found, _, _ = drive(lambda now: run("succeeded") if now > 1000 else ServerError("down", status_code=503))
    assert found.status == "succeeded"


def test_a_missing_run_ends_it_after_two_minutes() -> None:
    error = NotFoundError("gone", status_code=404)
    at = 0.0

    def answer(now: float) -> Any:
        nonlocal at
        at = now
        return error

    with pytest.raises(NotFoundError):
        drive(answer)
    assert 120 <= at <= 140


def test_a_run_that_shows_up_late_is_waited_for() -> None:
    found, _, _ = drive(
        lambda now: run("succeeded" if now > 300 else "running") if now > 60 else NotFoundError("?", status_code=404)
    )
    assert found.status == "succeeded"


def test_a_key_refused_for_a_while_ends_nothing_and_for_five_minutes_does() -> None:
    refused = AuthenticationError("no", status_code=401)
    found, _, _ = drive(lambda now: refused if now < 200 else run("succeeded"))
    assert found.status == "succeeded"
    with pytest.raises(AuthenticationError):
        drive(lambda now: refused)


def test_the_deadline_takes_a_last_look() -> None:
    found, at, _ = drive(lambda now: run("succeeded" if now >= 50 else "running"), deadline=50)
    assert (found.status, at) == ("succeeded", 50)
    with pytest.raises(TimeIsUp) as caught:
        drive(lambda now: run("running"), deadline=50)
    assert caught.value.status == "running"


def test_wait_blocking_raises_for_a_failed_run_with_its_reason() -> None:
    failed = run("failed")
    failed.error = SimpleNamespace(code="source_unreachable", message="no route")
    client: Any = SimpleNamespace(jobs=SimpleNamespace(get=lambda run_id: failed))
    client.with_options = lambda **_: client
    with pytest.raises(RunFailedError, match="source_unreachable: no route") as caught:
        wait_blocking(client, "job", "job_1")
    assert caught.value.run_id == "job_1"
