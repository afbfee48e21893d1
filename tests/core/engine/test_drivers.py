"""Both drivers carry out the same decisions in the same order."""

from __future__ import annotations

import asyncio
import random

import pytest

from planasonix.engine import Deadline, Pacer, Policy, Reply, Request, Sleep, adrive, call, drive
from planasonix.engine.simulate import ScriptedTransport, SimulatedClock, Timed, run
from planasonix.errors import PlanasonixError, TransportError

SCENARIOS = {
    "good": [Reply(200, {}, b"{}")],
    "slow and lost": [Timed(3.0, TransportError("reset")), Timed(99.0, Reply(200)), Reply(200, {}, b"{}")],
    "told to wait": [Reply(429, {"retry-after": "5"}), Reply(503), Reply(202, {}, b"{}")],
    "given up": [Reply(500)] * 5,
    "refused": [Reply(403)],
}


def world(script):
    clock = SimulatedClock()
    steps = call(
        Request("POST", "/x", headers={"idempotency-key": "k"}, body=b"{}", operation="op", priority="start"),
        lambda reply: reply.body,
        policy=Policy("safe"),
        deadline=Deadline.after(120.0, clock),
        pacer=Pacer(),
        clock=clock,
        rng=random.Random(3),
    )
    return clock, ScriptedTransport(script, clock), steps


def transcript(clock, transport, events, result):
    return [(s.at, s.timeout_seconds, s.request.body) for s in transport.sent], events, result, clock.now


def run_sync(script):
    clock, transport, steps = world(script)
    events = []
    try:
        result = drive(steps, transport, clock, events.append).value
    except PlanasonixError as error:
        result = (str(error), error.attempts)
    return transcript(clock, transport, events, result)


def run_async(script):
    clock, transport, steps = world(script)
    events = []

    async def main():
        try:
            return (await adrive(steps, transport, clock, events.append)).value
        except PlanasonixError as error:
            return (str(error), error.attempts)

    return transcript(clock, transport, events, asyncio.run(main()))


@pytest.mark.parametrize("name", SCENARIOS)
def test_sync_and_async_leave_the_same_transcript(name):
    assert run_sync(SCENARIOS[name]) == run_async(SCENARIOS[name])


def test_run_collects_the_events():
    clock, transport, steps = world([Reply(200, {}, b"{}")])
    answer, events = run(steps, transport, clock)
    assert answer.value == b"{}"
    assert len(events) == 2


def test_an_interrupt_gives_back_what_was_held():
    """Ctrl-C in the middle of a request: the pacer must not believe for ever that the call is on its way."""

    class Interrupted:
        def send(self, request, timeout_seconds):
            raise KeyboardInterrupt

    clock, _, _ = world([])
    pacer = Pacer()
    steps = call(
        Request("GET", "/x"),
        lambda reply: None,
        policy=Policy("read"),
        deadline=Deadline(),
        pacer=pacer,
        clock=clock,
        rng=random.Random(1),
    )
    with pytest.raises(KeyboardInterrupt):
        drive(steps, Interrupted(), clock)
    assert pacer._in_flight == 0


def test_cancelling_a_task_in_the_middle_of_a_sleep_is_immediate():
    closed = []

    def steps():
        try:
            yield Sleep(3600.0)
        finally:
            closed.append(True)

    class RealSleep(SimulatedClock):
        async def asleep(self, seconds):
            await asyncio.sleep(seconds)

    async def main():
        clock = RealSleep()
        task = asyncio.create_task(adrive(steps(), ScriptedTransport([], clock), clock))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closed == [True]
