"""The end of a call from outside: one bound of time for all that is still to be done.

Prefect kills a process thirty seconds after its signal, and the shared loop lets go of a call after `SETTLE_SECONDS`.
So what follows an interruption shares one deadline, whatever of it is slow: an API, or Prefect's server.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from prefect_planasonix.bounded import within
from prefect_planasonix.loop import SETTLE_SECONDS, interruption
from prefect_planasonix.state_watch import FlowRunGivenUpError, StateWatch
from prefect_planasonix.termination import SeenState, Verdict, is_given_up, verdict_on

if TYPE_CHECKING:
    from planasonix import Planasonix
    from prefect_planasonix.attempt import Attempt
    from prefect_planasonix.owner import RunOwner

T = TypeVar("T")

START_SECONDS = 8.0
"""How long a start that is under way is awaited once the call was interrupted."""

RUNNER_SECONDS = 20.0
"""How long the signal of a runner is awaited. One that cannot hear of a cancel at once looks every ten seconds."""

_LAST_SECONDS = 2.0
"""What is kept of the bound for the last words: the page of the run, and the way back to the caller."""


class Settling:
    """What one call does when it is interrupted, and how much time it has for that."""

    def __init__(self, attempt: Attempt, watch: StateWatch) -> None:
        self._attempt = attempt
        self._watch = watch
        self._until: float | None = None

    def left(self) -> float:
        """The seconds that are left. The first question starts the clock."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + SETTLE_SECONDS - _LAST_SECONDS
        return max(0.0, self._until - now)

    async def refuse_given_up(self) -> None:
        """Raises `FlowRunGivenUpError` where nothing is to be started for the flow run any more."""
        state = await self._watch.state(max_age_seconds=2.0)
        if state is not None and is_given_up(state):
            raise FlowRunGivenUpError(state)

    async def unbroken(self, starting: Coroutine[Any, Any, T], on_interrupt: Callable[[], None]) -> T:
        """A start that was broken off would lose the id of the job that it makes: it is awaited for a while first."""
        task = asyncio.ensure_future(starting)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            on_interrupt()
            await asyncio.wait([task], timeout=min(START_SECONDS, self.left()))
            task.cancel()
            with suppress(BaseException):
                await task
            raise

    async def around(self, work: Coroutine[Any, Any, T], settle: Callable[[SeenState | None], Awaitable[None]]) -> T:
        """Do the work. Where something ends it from outside, `settle` is called with the state that was seen, if any;
        then that goes on its way.
        """
        try:
            return await work
        except FlowRunGivenUpError as error:
            await self.bounded(settle, error.state)
            await _leave_the_end_to_the_runner(error.state)
            raise
        except asyncio.CancelledError:
            await self.bounded(settle, None)
            raise

    async def bounded(self, settle: Callable[[SeenState | None], Awaitable[None]], state: SeenState | None) -> None:
        """Raises nothing, and takes no longer than what is left."""
        try:
            async with asyncio.timeout(self.left()):
                await settle(state)
        except TimeoutError:
            told = "what was started could not be settled in time, look at it: Planasonix or Prefect answers too slowly"
            self._attempt.log("warning", told)
        except Exception as error:
            self._attempt.log("warning", f"what becomes of what was started could not be settled: {error!r}")

    async def verdict(self, owner: RunOwner, state: SeenState | None) -> Verdict:
        """What becomes of the jobs; `state` is what was seen of the flow run, None to look now."""
        in_run = owner.run_id is not None
        if in_run and owner.flow_run_id is None:
            # A task without a flow: there is no flow run to ask, and Prefect retries the task.
            state = SeenState("RUNNING")
        if state is None:
            # In doubt the job would be left. So a slow Prefect gets half of the time; the rest is for the cancel.
            state = await self._watch.state(read_seconds=0.5 * self.left())
        flow_try = self._attempt.owner.tries[0]
        return verdict_on(interruption(), state, self._attempt.options, in_run=in_run, flow_try=flow_try)

    async def in_thread(self, blocking: Callable[[], T]) -> T:
        """Raises `TimeoutError` once nothing is left."""
        return await within(self.left(), blocking)

    def hasty(self, client: Planasonix) -> Planasonix:
        """The client, with two calls to be made in what is left: a look, and a cancel."""
        return client.with_options(deadline_seconds=max(0.5, 0.45 * self.left()))


async def _leave_the_end_to_the_runner(state: SeenState) -> None:
    """Where a cancel was seen before the runner of this process acts on it, let it: it ends the process, calls the
    flow's hooks and writes Cancelled. A flow that ends by itself meanwhile stays Cancelling, and nobody ends that.
    """
    if state.type == "CANCELLING" and os.environ.get("PREFECT__FLOW_RUN_ID"):
        await asyncio.sleep(RUNNER_SECONDS)
