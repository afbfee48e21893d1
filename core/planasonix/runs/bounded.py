"""Carry out steps within a bound of time, and several side by side: an API that hangs delays nobody.

Calls of the API are made in threads, and are not waited for past the bound; each ends by its own deadline. The book
and the log are used in the caller's thread only: an orchestrator's store may know no other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from planasonix.errors import PlanasonixError, TransportError
from planasonix.runs.drivers import Log, perform
from planasonix.runs.effects import Claimed, Effect, Save, Say, Sleep, Steps

if TYPE_CHECKING:
    from planasonix.client import Planasonix
    from planasonix.runs.ledger import Ledger

T = TypeVar("T")
_AT_A_TIME = 8
_CALL_SECONDS = 20.0
_LAST_SECONDS = 0.5
"""How much later the calls end: a quick API can still tell at the bound how it went."""


@dataclass(frozen=True)
class Together:
    """Effect: carry out all of these, side by side. Answer: what each came to, or the error that it raised."""

    steps: tuple[Callable[[], Steps[Any]], ...]


def perform_within(
    client: Planasonix,
    steps: Generator[Effect | Together, Any, T],
    seconds: float,
    *,
    ledger: Ledger | None = None,
    log: Log | None = None,
) -> T:
    """As `perform`; past the bound each call raises `TransportError`, and no pause lasts longer."""
    until = time.monotonic() + seconds
    hasty = client.with_options(deadline_seconds=min(_CALL_SECONDS, seconds + _LAST_SECONDS))
    pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="planasonix")

    def left(more: float = 0.0) -> float:
        return max(0.0, until + more - time.monotonic())

    def begun(steps: Steps[Any]) -> Future[Any]:
        return pool.submit(perform, hasty, steps, log=None)

    def do(effect: Effect | Together) -> Any:
        match effect:
            case Together(many):
                futures = [begun(make()) for make in many]
                return [_result(future, left(_LAST_SECONDS)) for future in futures]
            case Say():
                return perform(hasty, _only(effect), log=log)
            case Save() | Claimed():
                return perform(hasty, _only(effect), ledger=ledger)
            case Sleep(seconds):
                return time.sleep(min(seconds, left()))
            case _:
                answer = _result(begun(_only(effect)), left(_LAST_SECONDS))
                if isinstance(answer, PlanasonixError):
                    raise answer
                return answer

    try:
        effect = next(steps)
        while True:
            try:
                answer = do(effect)
            except Exception as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as end:
        return end.value
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _only(effect: Effect) -> Steps[Any]:
    return (yield effect)


def _result(future: Future[Any], seconds: float) -> Any:
    """What the call came to, or its error."""
    try:
        return future.result(seconds)
    except NotInTime:
        return TransportError("The API did not answer in time.", outcome="unknown")
    except PlanasonixError as error:
        return error
