"""One event loop of this process in which every start and wait runs, whoever asks for it.

Prefect runs a flow in the main thread, a submitted task in a thread, and an async one in a thread with a loop of its
own. Waits that share a watcher, and with it list pages instead of one call a job, must share a loop. So there is one,
in a daemon thread; sync callers block on it, async ones await it, and what happens when a caller is interrupted is
written once.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from prefect_planasonix.blocked_loop import warn_of_a_blocked_loop

P = ParamSpec("P")
T = TypeVar("T")

SETTLE_SECONDS = 22.0
"""How long an interrupted call may take to put an end to its job: Prefect kills a process thirty seconds after it
asked for its end."""

_SLICE_SECONDS = 0.5
"""How long a sync caller sleeps at once: what Prefect raises in a thread arrives only between two of them."""

_THREADS = 32


@dataclass
class Interruption:
    """Why the caller of a body is no longer waiting; `cause` is None as long as it does.

    `timed_out`: an enclosing scope of the caller was cancelled or ran out of time, and no signal came.
    """

    cause: BaseException | None = None
    timed_out: bool = False


_interruption: ContextVar[Interruption | None] = ContextVar("planasonix_interruption", default=None)


def interruption() -> Interruption:
    """What is known of the caller, for a body; one that nobody interrupted where it runs on its own."""
    return _interruption.get() or Interruption()


def on_shared_loop(body: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run an async function in the shared loop, with the caller's context variables, and block until it has ended.

    Returns and raises what it does. Whatever interrupts the caller (a signal, Ctrl-C, Prefect's timeout) cancels the
    body, gives it `SETTLE_SECONDS` to settle what it began, and is raised again. Raises `RuntimeError` where it is
    called in the shared loop itself.
    """
    warn_of_a_blocked_loop()
    call = _Call(body, args, kwargs)
    try:
        call.wait()
    except BaseException as cause:
        call.interrupt(Interruption(cause, timed_out=isinstance(cause, asyncio.CancelledError)))
        call.wait(SETTLE_SECONDS)
        raise
    return call.future.result()


async def aon_shared_loop(body: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for a caller in an event loop of its own, which goes on meanwhile."""
    call = _Call(body, args, kwargs)
    ended = asyncio.wrap_future(call.ended)
    try:
        await asyncio.shield(ended)
    except BaseException as cause:
        import anyio  # here, because only an interrupted caller needs it

        timed_out = anyio.current_effective_deadline() == -math.inf
        call.interrupt(Interruption(cause, timed_out=timed_out))
        with anyio.CancelScope(shield=True):
            await asyncio.wait([ended], timeout=SETTLE_SECONDS)
        raise
    return call.future.result()


class _Call:
    """One body on its way. `future` has its result; `ended` has None, and is done when `future` is."""

    def __init__(self, body: Callable[..., Coroutine[Any, Any, Any]], args: Any, kwargs: Any) -> None:
        self.future: Future[Any] = Future()
        self.ended: Future[None] = Future()
        self._done = threading.Event()
        self._task: asyncio.Task[Any] | None = None
        self._loop = loop = shared_loop()
        if _running_loop() is loop:
            raise RuntimeError("a call of the shared loop cannot wait for another one: await its body")
        self._why = Interruption()
        context = copy_context()
        context.run(_interruption.set, self._why)
        loop.call_soon_threadsafe(self._begin, body, args, kwargs, context)

    def wait(self, seconds: float | None = None) -> None:
        """Block until the body has ended, or for so long."""
        if seconds is not None:
            self._done.wait(seconds)
            return
        while not self._done.wait(_SLICE_SECONDS):
            pass

    def interrupt(self, why: Interruption) -> None:
        """Cancel the body, which can read why."""
        self._why.cause, self._why.timed_out = why.cause, why.timed_out
        self._loop.call_soon_threadsafe(self._cancel)

    def _begin(self, body: Callable[..., Coroutine[Any, Any, Any]], args: Any, kwargs: Any, context: Context) -> None:
        try:
            self._task = self._loop.create_task(body(*args, **kwargs), context=context)
        except Exception as error:
            self.future.set_exception(error)
            self._tell()
            return
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.future.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())
        self._tell()

    def _tell(self) -> None:
        self._done.set()
        self.ended.set_result(None)


class _Shared:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None


_shared = _Shared()


def _forget() -> None:
    """A fork has the loop's memory, but not its thread."""
    global _shared
    _shared = _Shared()


os.register_at_fork(after_in_child=_forget)


def shared_loop() -> asyncio.AbstractEventLoop:
    """The loop, running; it is started at the first call in a process."""
    with _shared.lock:
        if _shared.loop is None:
            loop = asyncio.new_event_loop()
            loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="planasonix"))
            # In an empty context: what the first caller's flow has set must not leak into later ones.
            run = threading.Thread(target=Context().run, args=(loop.run_forever,), name="planasonix-loop", daemon=True)
            run.start()
            _shared.loop = loop
        return _shared.loop


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
