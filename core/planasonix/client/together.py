"""Several calls at a time: in threads, or on the event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Together:
    """Makes calls in up to `at_most` threads at a time."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The results in the order of the calls. Raises what the first of them in that order raised; those
        not begun by then are not made.
        """
        if len(calls) < 2:
            return [call() for call in calls]
        pool = ThreadPoolExecutor(max_workers=min(self._at_most, len(calls)), thread_name_prefix="planasonix")
        try:
            # Each with a context of its own, as tasks have: one context cannot be entered twice at a time.
            begun = [pool.submit(contextvars.copy_context().run, call) for call in calls]
            return [future.result() for future in begun]
        finally:
            pool.shutdown(cancel_futures=True)


class AsyncTogether:
    """Makes calls in up to `at_most` tasks at a time."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most

    async def run(self, calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """The results in the order of the calls. Raises what the first of them to fail raised; the others are
        then cancelled.
        """
        gate = asyncio.Semaphore(self._at_most)

        async def admitted(call: Callable[[], Awaitable[T]]) -> T:
            async with gate:
                return await call()

        tasks = [asyncio.ensure_future(admitted(call)) for call in calls]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
