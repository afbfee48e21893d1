"""Whether a flow run is still wanted: one reader for all waits of it in this process.

A submitted task hears nothing of a cancel: Prefect interrupts the main thread, and kills the process half a minute
later. So whoever waits looks at the state of the run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from planasonix.errors import PlanasonixError
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.home import callers_of
from prefect_planasonix.owner import RunOwner
from prefect_planasonix.termination import SeenState, is_given_up

T = TypeVar("T")
logger = logging.getLogger("prefect_planasonix")

LOOK_SECONDS = 2.0
READ_SECONDS = 5.0
"""How long a look may take that a start waits for: the state is a hint there."""


class FlowRunGivenUpError(PlanasonixError):
    """The flow run was given up while the work was under way, or before it began; `state` is what was seen of it.

    Not Prefect's `TerminationSignal`: that one ends the whole process, which may be a user's script or notebook. Under
    a runner it comes by itself to whoever can be reached; a retry of this error is refused before anything is started.
    """

    def __init__(self, state: SeenState) -> None:
        super().__init__(
            f"The flow run is {state.name or state.type}: nothing is started or waited for in it any more.",
            hint="Start a new flow run.",
        )
        self.state = state

    def __reduce__(self) -> tuple[type[FlowRunGivenUpError], tuple[SeenState]]:
        return (FlowRunGivenUpError, (self.state,))


class StateWatch:
    """The reader of one flow run, for the loop that it was made in. Found with `watch_of`."""

    def __init__(self, owner: RunOwner) -> None:
        self._owner = owner
        self._run_ids: list[UUID] = []
        self._waiters: set[asyncio.Future[SeenState]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._seen: SeenState | None = None
        self._under_way: asyncio.Task[SeenState] | None = None
        self._next: asyncio.Task[SeenState] | None = None
        self._read_at = -float("inf")

    async def state(
        self, *, max_age_seconds: float = 0.0, read_seconds: float | None = READ_SECONDS
    ) -> SeenState | None:
        """The state of the run, or of the parent that was given up; None where there is no run, or it cannot be read
        within `read_seconds` (None: as long as Prefect's client tries).

        Raises nothing.
        """
        if self._owner.flow_run_id is None:
            return None
        if time.monotonic() - self._read_at > max_age_seconds:
            try:
                async with asyncio.timeout(read_seconds):
                    self._seen = await self._read_soon()
            except Exception as error:
                logger.debug("the state of flow run %s could not be read: %r", self._owner.flow_run_id, error)
                return None
            self._read_at = time.monotonic()
        return self._seen

    async def _read_soon(self) -> SeenState:
        """What a read shows that begins after this was called: one for all who call meanwhile.

        Hundreds of waits that end together would else fill the threads that their cancels need.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._read_after(self._under_way))
        return await asyncio.shield(self._next)

    async def _read_after(self, under_way: asyncio.Task[SeenState] | None) -> SeenState:
        if under_way is not None:
            await asyncio.wait([under_way])
        # Who calls from here on waits for the next one: this may show what was before that.
        self._under_way, self._next = self._next, None
        return await asyncio.get_running_loop().run_in_executor(_readers(), copy_context().run, self._read)

    async def while_wanted(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work, and end it where the run is given up meanwhile: raises `FlowRunGivenUpError` then."""
        if self._owner.flow_run_id is None:
            return await work
        doing = asyncio.ensure_future(work)
        given_up: asyncio.Future[SeenState] = asyncio.get_running_loop().create_future()
        self._waiters.add(given_up)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.ensure_future(self._look_on())
        try:
            await asyncio.wait([doing, given_up], return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise FlowRunGivenUpError(given_up.result())
        finally:
            self._waiters.discard(given_up)
            if not self._waiters and self._reader is not None:
                self._reader.cancel()
                self._reader = None
            if not doing.done():
                doing.cancel()
                await asyncio.wait([doing])

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            # Nobody waits for this look: one that takes long is worth having all the same.
            state = await self.state(read_seconds=None)
            if state is None or not is_given_up(state):
                continue
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(state)

    def _read(self) -> SeenState:
        client = prefect_client()
        if not self._run_ids:
            self._run_ids = _lineage(client, self._owner)
        states: list[SeenState] = []
        for run_id in self._run_ids:
            run = client.read_flow_run(run_id)
            state = run.state
            if state is None:
                states.append(SeenState(""))
            else:
                states.append(SeenState(state.type.value, state.name or "", state.message or "", run.run_count))
        # A parent that was given up takes its subflows along; else the run's own state counts.
        return next((state for state in states if is_given_up(state)), states[0])


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="planasonix-state")


# A child process has the pool without its threads.
os.register_at_fork(after_in_child=_readers.cache_clear)


def _lineage(client: Any, owner: RunOwner) -> list[UUID]:
    """The flow run, and those that a subflow does not outlive. A run of a deployment may outlive its caller."""
    run_id = UUID(str(owner.flow_run_id))
    called_by = owner.parent_task_run_id if owner.deployment_id is None else None
    return [run_id, *callers_of(client, run_id, called_by)]


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str | None, StateWatch]] = WeakKeyDictionary()
_WATCHES_KEPT = 1000


def watch_of(owner: RunOwner) -> StateWatch:
    """The reader that all waits of the owner's flow run share in the running loop."""
    of_loop = _watches.setdefault(asyncio.get_running_loop(), {})
    watch = of_loop.get(owner.flow_run_id)
    if watch is None:
        watch = of_loop[owner.flow_run_id] = StateWatch(owner)
        while len(of_loop) > _WATCHES_KEPT:
            del of_loop[next(iter(of_loop))]
    return watch
