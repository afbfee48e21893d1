"""An event loop whose clock jumps to the next timer as soon as nothing else is to do: a quarter of an hour takes as
long as the work in it. It serves code without sockets only.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting, lets the loop's time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            # Nothing is ready, and no timer is set: only another thread could go on.
            return super().select(0.01)
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0. `longest_turn_seconds` is the most processor time that one turn of the loop took: what
    blocks the loop, on a machine that does nothing else.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self.longest_turn_seconds = 0.0

    def time(self) -> float:
        return self._jumping.now

    def _run_once(self) -> None:
        began = time.thread_time()
        super()._run_once()  # type: ignore[misc]
        self.longest_turn_seconds = max(self.longest_turn_seconds, time.thread_time() - began)


def run(work: Coroutine[Any, Any, T], loop: VirtualTimeLoop | None = None) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=lambda: loop or VirtualTimeLoop()) as runner:
        return runner.run(work)


class LoopClock:
    """The running loop's time as a client's `clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch: float) -> None:
        self._loop = loop
        self._epoch = epoch

    def monotonic(self) -> float:
        return self._loop.time()

    def time(self) -> float:
        return self._epoch + self._loop.time()

    def sleep(self, seconds: float) -> None:
        raise RuntimeError("nothing blocks in virtual time")

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
