"""One call on the simulated clock, in one line."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from planasonix.engine import Answer, Deadline, Pacer, Policy, Reply, Request, RetryBudget, call, drive
from planasonix.engine.simulate import ScriptedTransport, SimulatedClock
from planasonix.errors import InvalidResponseError, PlanasonixError


def read_json(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except ValueError:
        raise InvalidResponseError("no JSON", retryable=True) from None


@dataclass
class Outcome:
    """What became of a simulated call."""

    clock: SimulatedClock
    transport: ScriptedTransport
    answer: Answer[Any] | None = None
    error: PlanasonixError | None = None
    events: list[Any] = field(default_factory=list)

    @property
    def sent_at(self) -> list[float]:
        return [sent.at for sent in self.transport.sent]


class Simulation:
    """A world with one clock and one pacer, in which calls can be made one after the other."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.pacer = Pacer()
        self.rng = random.Random(7)

    def call(
        self,
        script: Any,
        repeat: str = "read",
        *,
        max_tries: int = 5,
        deadline_seconds: float | None = 120.0,
        timeout_seconds: float = 30.0,
        priority: str = "other",
        method: str = "GET",
        budget: RetryBudget | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Outcome:
        transport = ScriptedTransport(script, self.clock)
        outcome = Outcome(self.clock, transport)
        request = Request(method, "/x", headers=headers or {}, body=body, operation="test.op", priority=priority)
        steps = call(
            request,
            read_json,
            policy=Policy(repeat, max_tries=max_tries, timeout_seconds=timeout_seconds),
            deadline=Deadline.after(deadline_seconds, self.clock),
            pacer=self.pacer,
            clock=self.clock,
            rng=self.rng,
            budget=budget,
        )
        try:
            outcome.answer = drive(steps, transport, self.clock, outcome.events.append)
        except PlanasonixError as error:
            outcome.error = error
        return outcome


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


@pytest.fixture(scope="session")
def simulate() -> type[Simulation]:
    """For tests that need many worlds, such as property tests."""
    return Simulation
