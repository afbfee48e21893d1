"""A clock that a test moves and a transport that a test scripts, so that hours of retrying take no time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from planasonix.engine.drivers import drive
from planasonix.engine.effects import Effect, Reply, Request
from planasonix.engine.events import Event
from planasonix.errors import TransportError

T = TypeVar("T")


class SimulatedClock:
    """Time that passes only by sleeping on it, and by `advance`. Starts at `monotonic=0` and the given
    epoch seconds.
    """

    def __init__(self, epoch: float = 1_700_000_000.0) -> None:
        self._epoch = epoch
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self._epoch + self.now

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Timed:
    """A scripted answer that takes `seconds` to come, or to fail to come."""

    seconds: float
    answer: Reply | TransportError


Scripted: TypeAlias = Reply | TransportError | Timed


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as the transport saw it: at which monotonic second, and with which timeout."""

    at: float
    request: Request
    timeout_seconds: float


class ScriptedTransport:
    """Answers requests from a list, or from a function of the request; keeps all it was asked in `sent`."""

    def __init__(self, script: Iterable[Scripted] | Callable[[Request], Scripted], clock: SimulatedClock) -> None:
        self.sent: list[Sent] = []
        self._clock = clock
        if callable(script):
            self._answer = script
        else:
            answers = iter(script)

            def answer_in_order(request: Request) -> Scripted:
                return next(answers)

            self._answer = answer_in_order

    def send(self, request: Request, timeout_seconds: float) -> Reply:
        self.sent.append(Sent(self._clock.now, request, timeout_seconds))
        scripted = self._answer(request)
        if isinstance(scripted, Timed):
            took = min(scripted.seconds, timeout_seconds)
            self._clock.advance(took)
            if took < scripted.seconds:
                raise TransportError("no answer in time", outcome="unknown")
            scripted = scripted.answer
        if isinstance(scripted, TransportError):
            raise scripted
        return scripted

    async def asend(self, request: Request, timeout_seconds: float) -> Reply:
        return self.send(request, timeout_seconds)


def run(
    steps: Generator[Effect, Reply | None, T], transport: ScriptedTransport, clock: SimulatedClock
) -> tuple[T, list[Event]]:
    """Drive the steps on the simulated clock; the result and the events that were emitted."""
    events: list[Event] = []
    return drive(steps, transport, clock, events.append), events
