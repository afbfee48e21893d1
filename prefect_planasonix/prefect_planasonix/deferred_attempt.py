"""One try of a wish for whose job nobody waits: it is started or found, looked at once, and left to run."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from planasonix.errors import PlanasonixError
from planasonix.runs import Outcome, RunHandle, RunRequest, give_up
from planasonix.runs.identity import is_another
from planasonix.watch.protocols import ENDED_PHASES, reader_of
from prefect_planasonix.attempt import Attempt
from prefect_planasonix.bounded import within
from prefect_planasonix.execution import Execution
from prefect_planasonix.ledger import ArtifactLedger
from prefect_planasonix.loop import interruption
from prefect_planasonix.suspend import why_not

WITHDRAW_SECONDS = 60.0
"""How long the end of a job is asked for whose siblings could not be started."""


class DeferredAttempt(Attempt):
    """What a deferred call does for its requests. Its methods are bodies for the shared loop, as those of `Attempt`."""

    async def look(self, request: RunRequest, *, return_when: str) -> Outcome | RunHandle | None:
        """The outcome where the job has ended, its handle where it runs; None as with `run`. Raises as `run`.

        Where it runs, the ledger says so before this returns: the flow run may be suspended then.
        """
        return await _Look(await self.in_place(), waits=True).look(request, return_when)

    async def has_ended(self, handle: RunHandle) -> bool:
        """Whether a look shows the end; no where the job cannot be read. Raises nothing."""
        return await _Look(await self.in_place(), waits=True).has_ended(handle) is True

    async def abandon(self, handle: RunHandle, cause: BaseException) -> None:
        """The flow was interrupted by `cause` between a look and its suspension: settle as a wait would."""
        interruption().cause = cause
        await _Look(await self.in_place(), waits=True).abandon(handle)

    async def withdraw(self, handle: RunHandle, *, for_good: bool) -> str:
        """Another job of the same call could not be started: cancel this one where that will not change (`for_good`), a
        cancel is wanted, and the job is this run's. Returns a sentence that tells what came of it, and raises nothing.
        """
        return await _Look(await self.in_place(), waits=True).withdraw(handle, for_good=for_good)


class _Look(Execution):
    async def look(self, request: RunRequest, return_when: str) -> Outcome | RunHandle | None:
        return await self.settled(self._look(request, return_when))

    async def _look(self, request: RunRequest, return_when: str) -> Outcome | RunHandle | None:
        handle = await self._start(request)
        if handle is None:
            return None
        # What cannot be looked at is for a wait to judge: it knows for how long.
        if time.time() >= handle.deadline_at or await self.has_ended(handle) is not False:
            return await self._wait(handle, request.expected_tables)
        if why_not(self._wish.owner) is None:
            try:
                await asyncio.to_thread(self._note_deferral, return_when)
            except PlanasonixError as error:
                # Nobody would wake the run; failing would leave its job without anybody.
                self._attempt.log("warning", f"waiting in this process instead of suspending: {error.headline()}")
                return await self._wait(handle, request.expected_tables)
        return handle

    async def has_ended(self, handle: RunHandle) -> bool | None:
        """None where it cannot be said."""
        try:
            run = await reader_of(self._client, handle.kind).get(handle.id)
        except PlanasonixError:
            return None
        return None if is_another(run, handle) else run.phase in ENDED_PHASES

    async def abandon(self, handle: RunHandle) -> None:
        self._handle = handle
        try:
            await self._settling.bounded(self._settle, None)
        finally:
            await self._telling.aclose()

    async def withdraw(self, handle: RunHandle, *, for_good: bool) -> str:
        wanted = for_good and self._options.cancel_on_cancellation
        try:
            return await within(WITHDRAW_SECONDS, lambda: give_up(self._sync_client, handle, wanted=wanted))
        except TimeoutError:
            return f"Planasonix {handle.kind} {handle.id} is not known to be cancelled: the API answers too slowly."
        finally:
            await self._telling.aclose()

    def _note_deferral(self, return_when: str) -> None:
        ledger = self._wish.ledger
        if isinstance(ledger, ArtifactLedger) and ledger.entry is not None:
            deferral = {"try": self._wish.owner.tries[0], "return_when": return_when}
            if ledger.entry.deferral != deferral or not ledger.entry.waits:
                ledger.entry = replace(ledger.entry, deferral=deferral, waits=True)
                ledger.write(ledger.entry.record)
