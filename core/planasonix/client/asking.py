"""A function of the user's, called in a thread of its own.

It may ask a secrets store that hangs, for hours. So nobody's threads are lent to it, neither the caller's nor those in
which the event loop looks names up, and the process need not wait for it to end.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import TypeAlias

from planasonix.client.secret import Secret

Heard: TypeAlias = "Secret | BaseException"
"""What was answered, or why nothing was."""


class Question:
    """One call under way. `heard` gets the answer in the thread, however late, before anybody who waits wakes up."""

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.is_given_up = False
        """Whether somebody has waited in vain: the first one alone tells."""
        self._to_await: Awaitable[str] | None = None
        self._lock = threading.Lock()
        self._ended: Future[None] = Future()
        self._ended.set_running_or_notify_cancel()  # who stops waiting ends nothing

    @property
    def has_ended(self) -> bool:
        """Whether the function has returned."""
        return self._ended.done()

    def ask(self, function: Callable[[], str | Awaitable[str]], heard: Callable[[Heard], None]) -> None:
        """Begin. Raises nothing: what keeps the thread from its start is heard as well."""
        context = copy_context()
        thread = threading.Thread(
            target=lambda: context.run(self._call, function, heard), name="planasonix-reload-api-key", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            # No more threads, or the interpreter is about to end.
            heard(error)
            self._ended.set_result(None)

    def wait(self, seconds: float) -> bool:
        """Whether it ended in time; blocks."""
        with suppress(TimeoutError):
            self._ended.result(seconds)
        return self.has_ended

    async def await_end(self, seconds: float) -> bool:
        """As `wait`, on the event loop."""
        if not self.has_ended:
            ended = asyncio.wrap_future(self._ended)
            try:
                await asyncio.wait({ended}, timeout=seconds)
            finally:
                ended.cancel()
        return self.has_ended

    def take_to_await(self) -> Awaitable[str] | None:
        """What the function returned to be awaited, if it did; once, as a coroutine is awaited once."""
        with self._lock:
            taken, self._to_await = self._to_await, None
        return taken

    def _call(self, function: Callable[[], str | Awaitable[str]], heard: Callable[[Heard], None]) -> None:
        try:
            answer = function()
            if isinstance(answer, Awaitable):
                self._to_await = answer
            else:
                heard(Secret(answer))
        except BaseException as error:
            # Whatever it is: it ends this thread alone, and its text is shown nowhere.
            heard(error)
        finally:
            self._ended.set_result(None)


async def heard_within(function: Callable[[], Awaitable[str]], seconds: float) -> Heard | None:
    """What the function's coroutine answers, asked on the event loop; None if it does not in time.

    A task of its own, so that a cancellation from within is told from one of the caller's, and so that what does not
    let itself be cancelled is left behind.
    """
    task = asyncio.ensure_future(_heard(function))
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
    return task.result() if task.done() and not task.cancelled() else None


def close(to_await: Awaitable[str]) -> None:
    """What nobody will await is not warned of either."""
    if inspect.iscoroutine(to_await):
        to_await.close()


async def _heard(function: Callable[[], Awaitable[str]]) -> Heard:
    try:
        return Secret(await function())
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        return error
