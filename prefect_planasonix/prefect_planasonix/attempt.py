"""One try of one wish: from a request to its job's end, whatever happened before and whoever interrupts.

Everything here is one async body, which runs in the shared loop (`loop.on_shared_loop`), also for sync callers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from planasonix.errors import PlanasonixError, WaitTimeoutError
from planasonix.runs import (
    MemoryLedger,
    Outcome,
    Record,
    RunHandle,
    RunRequest,
    Started,
    aoutcome_of,
    astart_run,
    await_run,
    busy_pause_seconds,
    end_at_deadline,
    find_lost_run,
    give_up,
    is_paused,
    new_intent,
    told,
)
from planasonix.runs.start_words import busy_text, busy_too_long, skipped_text, started_text
from planasonix.watch import Interval, watch_shared
from prefect_planasonix.claims import wish_of
from prefect_planasonix.clients import prefect_client, shared_async_client, shared_client
from prefect_planasonix.credentials import require_credentials
from prefect_planasonix.hearing import Hearing
from prefect_planasonix.home import at_home
from prefect_planasonix.intent import TRIES, Wish, wish_name
from prefect_planasonix.ledger import ArtifactLedger, ArtifactStore
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.loop import interruption
from prefect_planasonix.options import RunOptions
from prefect_planasonix.owner import current_owner
from prefect_planasonix.provenance import deployment_name_of, provenance_of, run_link
from prefect_planasonix.state_watch import FlowRunGivenUpError, watch_of
from prefect_planasonix.telling import PROGRESS_SECONDS, Telling
from prefect_planasonix.termination import CANCEL_SECONDS, SeenState, is_given_up, verdict_on

if TYPE_CHECKING:
    from prefect_planasonix.credentials import PlanasonixCredentials

T = TypeVar("T")
START_SECONDS = 8.0
"""How long a start that is under way is awaited once the call was interrupted."""


class Attempt:
    """What a call does for its requests. Made where the call is made: it reads the context of the run.

        outcome = on_shared_loop(Attempt(credentials, RunOptions()).run, SyncRequest("conn_shop_orders"))

    Raises `ConfigurationError` for what is no credentials block.
    """

    def __init__(self, credentials: PlanasonixCredentials, options: RunOptions | None = None) -> None:
        self.credentials = require_credentials(credentials)
        self.options = options or RunOptions()
        self.owner = current_owner()
        self.logger = run_logger()

    async def run(self, request: RunRequest) -> Outcome | None:
        """Start the request's job, or find the one that runs already, and wait for its end, good or bad.

        Returns the outcome of any end, None where the connection was busy and `if_running` is `skip`, or paused and
        `on_paused` is `skip`. Raises `WaitTimeoutError` past the deadline, having cancelled the job; the client's
        errors; `LedgerError`; and `FlowRunGivenUpError` where the flow run was given up, having cancelled the job.
        Whatever interrupts the call passes through once that was settled.
        """
        return await _Execution(self, waits=True).run(request)

    async def start(self, request: RunRequest) -> RunHandle | None:
        """The same without the wait; None where `run` would return it."""
        return await _Execution(self, waits=False).start(request)

    async def wait(self, handle: RunHandle, *, expected_tables: tuple[str, ...] = ()) -> Outcome:
        """Wait for the end of a job that is running, good or bad. Raises as `run`."""
        return await _Execution(self, waits=True).wait(handle, expected_tables)

    def log(self, level: str, text: str) -> None:
        getattr(self.logger, level)(text)


class _Execution:
    """The same for one call of it."""

    def __init__(self, attempt: Attempt, *, waits: bool) -> None:
        self._attempt = attempt
        self._options = attempt.options
        self._owner = attempt.owner
        self._waits = waits
        self._client = shared_async_client(attempt.credentials)
        self._sync_client = shared_client(attempt.credentials)
        self._watch = watch_of(attempt.owner)
        self._telling = Telling(attempt.options, attempt.logger)
        self._ledger: ArtifactLedger | MemoryLedger = MemoryLedger()
        self._handle: RunHandle | None = None
        self._number = 0
        self._intent = ""
        self._resumes = False
        self._ended = False
        self._interrupted = False

    async def run(self, request: RunRequest) -> Outcome | None:
        return await self._settling(self._run(request))

    async def start(self, request: RunRequest) -> RunHandle | None:
        return await self._settling(self._start(request))

    async def wait(self, handle: RunHandle, expected_tables: tuple[str, ...]) -> Outcome:
        self._handle = handle
        return await self._settling(self._wait_for(handle, expected_tables))

    # --- steps -----------------------------------------------------------------------------------------------------

    async def _run(self, request: RunRequest) -> Outcome | None:
        handle = await self._start(request)
        return None if handle is None else await self._wait(handle, request.expected_tables)

    async def _wait_for(self, handle: RunHandle, expected_tables: tuple[str, ...]) -> Outcome:
        await self._find_entry(handle)
        return await self._wait(handle, expected_tables)

    async def _start(self, request: RunRequest) -> RunHandle | None:
        """The run of this wish. Waits while the connection is busy, without a time limit of its own but the job's."""
        state = await self._watch.state(max_age_seconds=2.0)
        if state is not None and is_given_up(state):
            raise FlowRunGivenUpError(state)
        await self._open_ledger(request)
        policy = self._options.policy(self._client.config.idempotency_of(request.operation))
        if (earlier := self._asked_for_in_this_try() or self._cancelled_by_somebody()) is not None:
            self._handle = earlier
            await asyncio.to_thread(self._note_try)
            return earlier
        deployment_name = await asyncio.to_thread(deployment_name_of, self._owner)
        provenance = provenance_of(
            self._owner, number=self._number, deployment_name=deployment_name, link=run_link(self._owner)
        )
        began = time.time()
        until = began + policy.timeout_seconds
        while True:
            starting = astart_run(
                self._client,
                request,
                intent=self._intent,
                ledger=self._ledger,
                provenance=provenance,
                policy=policy,
                log=self._attempt.log,
            )
            try:
                started = await self._unbroken(starting)
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
            await self._watch.while_wanted(self._wait_while_busy(started, began, until))
        self._handle = handle = started.handle
        await asyncio.to_thread(self._note_try)
        template = self._client.config.job_url_template
        self._attempt.log("info", started_text(started, handle, template))
        await self._telling.started(handle, handle.link(template))
        return handle

    def _asked_for_in_this_try(self) -> RunHandle | None:
        """Prefect runs a resumed flow from its top. That is no retry: a job that failed before is the result."""
        entry = self._ledger.entry if isinstance(self._ledger, ArtifactLedger) else None
        if entry is None or not self._resumes:
            return None
        self._attempt.log("info", f"going on with {self._name(entry.record)}, which this try has asked for before")
        return entry.handle

    def _cancelled_by_somebody(self) -> RunHandle | None:
        """The job of an earlier try that somebody cancelled: an automatic retry must not overrule them."""
        record = self._ledger.read()
        if record is None or record.verdict != "cancelled" or not TRIES.was_cancelled(self._owner, record):
            return None
        self._attempt.log("warning", f"{record.kind} {record.run_id} was cancelled by somebody: no new one is started")
        return RunHandle.of(record, reattached=True)

    async def _unbroken(self, starting: Coroutine[Any, Any, T]) -> T:
        """A start that was broken off would lose the id of the job that it makes: it is awaited for a while first."""
        task = asyncio.ensure_future(starting)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._interrupted = True
            await asyncio.wait([task], timeout=START_SECONDS)
            task.cancel()
            with suppress(BaseException):
                await task
            raise

    async def _wait_while_busy(self, started: Started, began: float, until: float) -> None:
        """Until the run that keeps the connection busy has ended, or for a while: the next start asks again itself."""
        now = time.time()
        pause = max(0.0, min(until - now, busy_pause_seconds(now - began)))
        if started.busy_run_id is None:
            await asyncio.sleep(pause)
            return
        try:
            await watch_shared(
                self._client,
                started.busy_kind,
                started.busy_run_id,
                timeout_seconds=max(0.0, until - now),
                interval=Interval(fixed_seconds=self._options.poll_interval_seconds),
            )
        except WaitTimeoutError:
            return
        except PlanasonixError:
            await asyncio.sleep(pause)

    async def _wait(self, handle: RunHandle, expected_tables: tuple[str, ...]) -> Outcome:
        waiting = await_run(
            self._client,
            handle,
            interval=Interval(fixed_seconds=self._options.poll_interval_seconds),
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
        await asyncio.to_thread(self._note_end, handle, outcome)
        self._attempt.log(*told(outcome))
        await self._telling.ended(handle, outcome, outcome.link)
        return outcome

    # --- the ledger ------------------------------------------------------------------------------------------------

    async def _open_ledger(self, request: RunRequest) -> None:
        if self._owner.run_id is None:
            self._intent = new_intent()
            return
        self._owner = await asyncio.to_thread(lambda: at_home(prefect_client(), self._owner))
        name = wish_name(request, self._options.run_key)
        number = TRIES.number_of(self._owner, name)
        store = await asyncio.to_thread(lambda: ArtifactStore(prefect_client(), self._owner))
        wish = await asyncio.to_thread(wish_of, store, TRIES, self._owner, number, name, request.target_id)
        self._intent, self._number = wish.intent, number
        entry = wish.entry
        self._resumes = entry is not None and entry.asked_for_in(self._owner.tries)
        is_noted = entry is None or self._resumes
        if entry is not None and not is_noted:
            entry = replace(entry, owner=self._owner, tries=self._owner.tries, claim=self._owner.claim)
        fresh, refuse = self._fresh_entry(wish), self._refuse_once_interrupted
        self._ledger = ArtifactLedger(store, entry, fresh, refuse, is_noted=is_noted)

    async def _find_entry(self, handle: RunHandle) -> None:
        """The entry of a job that was started before in this run: its end is noted there. A wait can do without."""
        if self._owner.run_id is None:
            return
        try:
            self._owner = await asyncio.to_thread(lambda: at_home(prefect_client(), self._owner))
            store = await asyncio.to_thread(lambda: ArtifactStore(prefect_client(), self._owner))
            entries = await asyncio.to_thread(store.entries, handle.target_id)
            for entry in entries:
                if entry.record.run_id == handle.id:
                    waited_for = (
                        entry if entry.waits else await asyncio.to_thread(store.write, replace(entry, waits=True))
                    )
                    self._ledger = ArtifactLedger(store, waited_for)
        except PlanasonixError as error:
            self._attempt.log("warning", f"the ledger entry of {handle.kind} {handle.id} is not at hand: {error}")

    def _fresh_entry(self, wish: Wish) -> Any:
        config = self._client.config
        block = self._attempt.credentials.block_name

        def fresh(record: Record) -> LedgerEntry:
            return LedgerEntry(
                slot=wish.slot,
                owner=self._owner,
                record=record,
                number=wish.number,
                waits=self._waits,
                on_shutdown=self._options.on_shutdown,
                base_url=config.base_url,
                organization_id=config.organization_id,
                credentials_block=block,
                job_url_template=config.job_url_template,
                tries=self._owner.tries,
                claim=self._owner.claim,
            )

        return fresh

    def _note_try(self) -> None:
        """A resume must know that this try asked for the job. How the call goes on does not hang on that note."""
        try:
            if isinstance(self._ledger, ArtifactLedger):
                self._ledger.note()
        except PlanasonixError as error:
            self._attempt.log("warning", f"that this try asks for the job could not be noted: {error}")

    def _refuse_once_interrupted(self) -> None:
        if self._interrupted:
            raise PlanasonixError("The call was interrupted before its start request was sent.")

    def _note_end(self, handle: RunHandle, outcome: Outcome) -> None:
        """Tell reconcile that this end was seen, and a retry what was made of it. How the call ends does not hang on
        that note.
        """
        try:
            record = self._ledger.read()
            if record is not None and record.run_id == handle.id:
                record = replace(record, ended_as=outcome.api_status, verdict=outcome.status)
                TRIES.note_end(self._owner, record)
                self._ledger.write(record)
        except Exception as error:
            self._attempt.log("warning", f"the end of {handle.kind} {handle.id} could not be noted: {error!r}")

    # --- the end from outside --------------------------------------------------------------------------------------

    async def _settling(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except FlowRunGivenUpError as error:
            await self._settle(error.state)
            raise
        except asyncio.CancelledError:
            await self._settle(None)
            raise
        finally:
            await self._telling.aclose()

    async def _settle(self, state: SeenState | None) -> None:
        """Given up: cancel what this call started; else say that it goes on. Raises nothing."""
        try:
            record = self._ledger.read()
            if self._ended or (self._handle is None and (record is None or record.sent_at is None)):
                return
            if state is None:
                state = await self._watch.state()
            in_run = self._owner.run_id is not None
            if in_run and self._owner.flow_run_id is None:
                # A task without a flow: there is no flow run to ask, and Prefect retries the task.
                state = SeenState("RUNNING")
            verdict = verdict_on(interruption(), state, self._options, in_run=in_run)
            if verdict.act == "leave":
                self._attempt.log("warning", f"{verdict.why}; left running: {self._name(record)}")
            else:
                await asyncio.to_thread(self._cancel, record, verdict.why)
        except Exception as error:
            self._attempt.log("warning", f"what becomes of the job could not be settled: {error!r}")

    def _cancel(self, record: Record | None, why: str) -> None:
        client = self._sync_client.with_options(deadline_seconds=CANCEL_SECONDS)
        handle = self._handle
        if handle is None and record is not None:
            policy = self._options.policy(client.config.idempotency_of(record.operation))
            record = find_lost_run(
                client,
                record,
                policy=policy,
                ledger=self._ledger,
                log=self._attempt.log,
                patience_seconds=CANCEL_SECONDS,
            )
            handle = None if record.run_id is None else RunHandle.of(record, reattached=True)
        if handle is not None:
            self._attempt.log("warning", f"{why}: {give_up(client, handle, patience_seconds=CANCEL_SECONDS)}")

    def _name(self, record: Record | None) -> str:
        handle = self._handle
        if handle is None and record is not None and record.run_id is not None:
            handle = RunHandle.of(record, reattached=True)
        if handle is None:
            return f"the start request with the key {record.key}" if record is not None else "a start request"
        link = handle.link(self._client.config.job_url_template)
        return f"{handle.kind} {handle.id}" + (f", {link}" if link else "")


def run_logger() -> Any:
    """The logger of the run that the caller is in; the package's own outside any."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("prefect_planasonix")
