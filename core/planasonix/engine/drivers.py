"""Carrying out what the generators decide: the only difference between the sync and the async client."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

from planasonix.engine.clock import Clock
from planasonix.engine.effects import Effect, Reply, Request, Send, Sleep
from planasonix.engine.events import Event
from planasonix.errors import TransportError

T = TypeVar("T")
OnEvent = Callable[[Event], None]


class Transport(Protocol):
    """Sends one request and reads the whole answer, or raises `TransportError`."""

    def send(self, request: Request, timeout_seconds: float) -> Reply: ...


class AsyncTransport(Protocol):
    """Sends one request and reads the whole answer, or raises `TransportError`."""

    async def asend(self, request: Request, timeout_seconds: float) -> Reply: ...


def drive(
    steps: Generator[Effect, Reply | None, T],
    transport: Transport,
    clock: Clock,
    on_event: OnEvent | None = None,
) -> T:
    """Run the decisions with blocking calls."""
    answer: Reply | None = None
    failure: TransportError | None = None
    try:
        while True:
            try:
                effect = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as done:
                return done.value
            answer = failure = None
            if isinstance(effect, Send):
                try:
                    answer = transport.send(effect.request, effect.timeout_seconds)
                except TransportError as error:
                    failure = error
            elif isinstance(effect, Sleep):
                clock.sleep(effect.seconds)
            elif on_event is not None:
                on_event(effect.event)
    finally:
        # An interrupt ends the decisions too, so that they give back what they hold.
        steps.close()


async def adrive(
    steps: Generator[Effect, Reply | None, T],
    transport: AsyncTransport,
    clock: Clock,
    on_event: OnEvent | None = None,
) -> T:
    """Run the decisions on the running event loop."""
    answer: Reply | None = None
    failure: TransportError | None = None
    try:
        while True:
            try:
                effect = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as done:
                return done.value
            answer = failure = None
            if isinstance(effect, Send):
                try:
                    answer = await transport.asend(effect.request, effect.timeout_seconds)
                except TransportError as error:
                    failure = error
            elif isinstance(effect, Sleep):
                await clock.asleep(effect.seconds)
            elif on_event is not None:
                on_event(effect.event)
    finally:
        # A cancelled task or an interrupt ends the decisions too, so that they give back what they hold.
        steps.close()
