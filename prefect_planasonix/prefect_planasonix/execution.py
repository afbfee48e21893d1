"""One call of an attempt: start its request's job, or find it, and wait for its end.

Everything here is one async body, which runs in the shared loop (`loop.on_shared_loop`), also for sync callers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from planasonix.errors import PlanasonixError, WaitTimeoutError
from planasonix.runs import (
    Outcome,
    Record,
    RunHandle,
    RunRequest,
    aoutcome_of,
    astart_run,
    await_run,
    end_at_deadline,
    find_lost_run,
    give_up,
    is_paused,
    told,
)
from planasonix.runs.aio import await_while_taken
from planasonix.runs.start_words import busy_text, busy_too_long, skipped_text, started_text
from planasonix.watch import Interval
from prefect_planasonix.bounded import NOTE_SECONDS, within
from prefect_planasonix.clients import shared_async_client, shared_client
from prefect_planasonix.hearing import Hearing
from prefect_planasonix.provenance import deployment_name_of, provenance_of, run_link
from prefect_planasonix.push import woken_by_inbox
from prefect_planasonix.settling import Settling
from prefect_planasonix.state_watch import watch_of
from prefect_planasonix.telling import PROGRESS_SECONDS, Telling
from prefect_planasonix.termination import SeenState
from prefect_planasonix.wish_ledger import WishLedger, named

if TYPE_CHECKING:
    from planasonix.runs import Provenance
    from prefect_planasonix.attempt import Attempt

T = TypeVar("T")


class Execution:
    """Made in the shared loop, for one call. `waits`: whether the caller waits for the end."""

    def __init__(self, attempt: Attempt, *, waits: bool) -> None:
        self._attempt = attempt
        self._options = attempt.options
        self._client = shared_async_client(attempt.credentials)
        self._sync_client = shared_client(attempt.credentials)
        self._watch = watch_of(attempt.owner)
        self._telling = Telling(attempt.options, attempt.logger)
        self._settling = Settling(attempt, self._watch)
        self._interval = Interval(fixed_seconds=self._options.poll_interval_seconds)
        self._wish = WishLedger(attempt, self._client.config, waits=waits, before_start=self._refuse_once_interrupted)
        self._handle: RunHandle | None = None
        self._ended = False
        self._interrupted = False

    async def run(self, request: RunRequest) -> Outcome | None:
        return await self.settled(self._run(request))

    async def start(self, request: RunRequest) -> RunHandle | None:
        return await self.settled(self._start(request))

    async def wait(self, handle: RunHandle, expected_tables: tuple[str, ...]) -> Outcome:
        return await self.settled(self._wait_for(handle, expected_tables))

    async def settled(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work, and settle what it began where it is interrupted."""
        try:
            return await self._settling.around(work, self._settle)
        finally:
            await self._telling.aclose()

    # --- steps -----------------------------------------------------------------------------------------------------

    async def _run(self, request: RunRequest) -> Outcome | None:
        handle = await self._start(request)
        return None if handle is None else await self._wait(handle, request.expected_tables)

    async def _wait_for(self, handle: RunHandle, expected_tables: tuple[str, ...]) -> Outcome:
        # What an interruption leaves in doubt is left running.
        self._handle = await self._wish.find(handle)
        return await self._wait(self._handle, expected_tables)

    async def _start(self, request: RunRequest) -> RunHandle | None:
        """The run of this wish. Waits while the connection is busy, without a time limit of its own but the job's."""
        await self._settling.refuse_given_up()
        wish = self._wish
        await wish.open(request)
        if (earlier := wish.asked_for_in_this_try() or wish.cancelled_by_somebody()) is not None:
            self._handle = earlier
            await wish.note_try()
            return earlier
        policy = self._options.policy(self._client.config.idempotency_of(request.operation))
        provenance = await self._provenance()
        began = time.time()
        until = began + policy.timeout_seconds
        while True:
            starting = astart_run(
                self._client,
                request,
                intent=wish.intent,
                ledger=wish.ledger,
                provenance=provenance,
                policy=policy,
                log=self._attempt.log,
            )
            try:
                started = await self._settling.unbroken(starting, self._note_interruption)
            except PlanasonixError as error:
                if is_paused(error) and self._options.on_paused == "skip":
                    self._attempt.log("warning", f"{error.headline()} on_paused is 'skip': nothing was started")
                    return None
                raise
            if started.handle is not None:
                break
            if started.how == "skipped":
                self._attempt.log("warning", skipped_text(request))
                return None
            if time.time() >= until:
                raise busy_too_long(request, policy.timeout_seconds)
            self._attempt.log("info", busy_text(request, started))
            taken = await_while_taken(
                self._client,
                started.busy_kind,
                started.busy_run_id,
                since=began,
                until=until,
                interval=self._interval,
            )
            await self._watch.while_wanted(taken)
        self._handle = handle = started.handle
        await wish.note_try()
        template = self._client.config.job_url_template
        self._attempt.log("info", started_text(started, handle, template))
        await self._telling.started(handle, handle.link(template))
        return handle

    async def _provenance(self) -> Provenance:
        owner = self._wish.owner
        try:
            name = await within(NOTE_SECONDS, lambda: deployment_name_of(owner))
        except TimeoutError:
            name = None
        return provenance_of(owner, number=self._wish.number, deployment_name=name, link=run_link(owner))

    async def _wait(self, handle: RunHandle, expected_tables: tuple[str, ...]) -> Outcome:
        waiting = woken_by_inbox(
            self._attempt.credentials,
            await_run,
            self._client,
            handle,
            interval=self._interval,
            on_change=Hearing(handle, self._attempt.logger.info, self._telling.listener(handle)),
            remind_seconds=PROGRESS_SECONDS,
        )
        try:
            await self._watch.while_wanted(waiting)
        except WaitTimeoutError:
            wanted = self._options.cancel_on_cancellation
            await asyncio.to_thread(end_at_deadline, self._sync_client, handle, cancel_it=wanted)
        self._ended = True
        outcome = await aoutcome_of(self._client, handle, expected_tables=expected_tables)
        await self._wish.note_end(handle, outcome)
        self._attempt.log(*told(outcome))
        await self._telling.ended(handle, outcome, outcome.link)
        return outcome

    # --- the end from outside --------------------------------------------------------------------------------------

    def _note_interruption(self) -> None:
        self._interrupted = True

    def _refuse_once_interrupted(self) -> None:
        if self._interrupted:
            raise PlanasonixError("The call was interrupted before its start request was sent.")

    async def _settle(self, state: SeenState | None) -> None:
        """Given up: cancel what this call started; else say that it goes on."""
        record = self._wish.ledger.read()
        if self._ended or (self._handle is None and (record is None or record.sent_at is None)):
            return
        verdict = await self._settling.verdict(self._wish.owner, state)
        if verdict.act == "leave":
            self._attempt.log("warning", f"{verdict.why}; left running: {self._name(record)}")
            return
        try:
            handle = self._handle
            if handle is None and record is not None:
                handle = await self._settling.in_thread(lambda: self._found_again(record))
            if handle is not None:
                sentence = await self._settling.in_thread(lambda: self._give_up(handle))
                self._attempt.log("warning", f"{verdict.why}: {sentence}")
        except asyncio.CancelledError:
            self._attempt.log("warning", f"{verdict.why}; not known to be cancelled: {self._name(record)}")
            raise

    def _found_again(self, record: Record) -> RunHandle | None:
        client = self._settling.hasty(self._sync_client)
        record = find_lost_run(
            client,
            record,
            policy=self._options.policy(client.config.idempotency_of(record.operation)),
            ledger=self._wish.ledger,
            log=self._attempt.log,
            # The other half is for the cancel.
            patience_seconds=0.5 * self._settling.left(),
        )
        return None if record.run_id is None else RunHandle.of(record, reattached=True)

    def _give_up(self, handle: RunHandle) -> str:
        client = self._settling.hasty(self._sync_client)
        return give_up(client, handle, patience_seconds=0.5 * self._settling.left())

    def _name(self, record: Record | None) -> str:
        handle = self._handle
        if handle is None and record is not None and record.run_id is not None:
            handle = RunHandle.of(record, reattached=True)
        if handle is not None:
            return named(self._client.config, handle)
        return f"the start request with the key {record.key}" if record is not None else "a start request"
