"""One try of a backfill in stages: a round, then a wait, until all stages have ended.

The rules of a stage are the run engine's (`planasonix.runs.staged`). Here is only what Prefect adds: where the book
lies, which wish it is, who may end it, and that waits share the watcher with all others of the process.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from planasonix.errors import PlanasonixError
from planasonix.runs import (
    MemoryBook,
    Record,
    RunHandle,
    StagedBackfill,
    StagedOutcome,
    StagedProgress,
    advance_stages,
    await_run,
    busy_until,
    cancel_stages,
    new_intent,
    stage_ends,
    staged_outcome,
)
from planasonix.runs.aio import await_while_taken
from planasonix.runs.staged.wish import HEADER
from planasonix.watch import Interval
from prefect_planasonix.attempt import Attempt
from prefect_planasonix.chain import deeper_in_chain, note_in_chain
from prefect_planasonix.clients import prefect_client, shared_async_client, shared_client
from prefect_planasonix.home import at_home
from prefect_planasonix.intent import TRIES, wish_name
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.provenance import deployment_name_of, provenance_of, run_link
from prefect_planasonix.push import woken_by_inbox
from prefect_planasonix.settling import Settling
from prefect_planasonix.staged_book import StagedBook, open_book
from prefect_planasonix.state_watch import watch_of
from prefect_planasonix.telling import Telling
from prefect_planasonix.termination import CANCEL_SECONDS, SeenState
from prefect_planasonix.wish_ledger import fresh_entry


class StagedAttempt(Attempt):
    """What a call does for a backfill in stages. Its method is a body for the shared loop, as those of `Attempt`."""

    async def run_stages(self, asked: StagedBackfill, *, resume: bool = True) -> StagedOutcome:
        """Load the stages, at most `asked.max_active_stages` at a time, and wait until none runs any more.

        A retry of the flow goes on: what is loaded is not loaded again, what runs is waited for. With `resume=False` it
        begins anew. Returns how all stages ended, good or bad. Raises as `Attempt.run`, but a stage past its deadline
        is a failed one.
        """
        return await _Stages(await self.in_place(), replace(asked, on_clear="restart"), resume).run()


class _Stages:
    def __init__(self, attempt: Attempt, asked: StagedBackfill, resume: bool) -> None:
        self._attempt = attempt
        self._asked = asked
        self._resume = resume
        self._options = attempt.options
        self._owner = attempt.owner
        self._client = shared_async_client(attempt.credentials)
        self._sync_client = shared_client(attempt.credentials)
        self._policy = self._options.policy(self._client.config.idempotency_of(asked.request.operation))
        self._watch = watch_of(attempt.owner)
        self._settling = Settling(attempt, self._watch)
        self._telling = Telling(attempt.options, attempt.logger)
        self._interval = Interval(fixed_seconds=self._options.poll_interval_seconds)
        self._stop = threading.Event()
        self._book: StagedBook | MemoryBook = MemoryBook()
        self._number = 0
        self._intent = ""
        self._slot = ""
        self._waits: dict[str, asyncio.Future[Any]] = {}

    async def run(self) -> StagedOutcome:
        try:
            return await self._settling.around(self._run(), self._settle)
        finally:
            for wait in self._waits.values():
                wait.cancel()
            await self._telling.aclose()

    # --- steps -----------------------------------------------------------------------------------------------------

    async def _run(self) -> StagedOutcome:
        await self._settling.refuse_given_up()
        await self._open_book()
        while not (progress := await self._round()).ended:
            await self._watch.while_wanted(self._wait(progress))
        asked = self._asked
        outcome = await asyncio.to_thread(staged_outcome, self._book, asked, intent=self._intent)
        ends = await asyncio.to_thread(stage_ends, self._book, asked, intent=self._intent)
        await self._telling.stages_ended(outcome, ends)
        return outcome

    async def _open_book(self) -> None:
        owner, request = self._owner, self._asked.request
        if owner.run_id is None:
            self._intent = new_intent()
            return
        self._owner = owner = await asyncio.to_thread(lambda: at_home(prefect_client(), owner))
        name = f"{owner.place}{wish_name(request, self._options.run_key)}/stages"
        self._number = TRIES.number_of(owner, name)
        place = "" if owner.task_key is None else f"{owner.task_key}-{owner.dynamic_key}/"
        self._slot = slot = f"{name}/{place}{self._number}"
        token = [str(owner.run_id), slot, "" if self._resume else "/".join(map(str, owner.tries[:-1]))]
        self._intent = hashlib.sha256("\0".join(token).encode()).hexdigest()[:32]
        self._book = await asyncio.to_thread(
            lambda: open_book(prefect_client(), owner, request.connection_id, slot, self._fresh, self._before_start)
        )

    def _fresh(self, slot: str, record: Record) -> LedgerEntry:
        config = self._client.config
        return fresh_entry(self._attempt, config, self._owner, record, slot=slot, number=self._number)

    def _before_start(self) -> None:
        if self._stop.is_set():
            raise PlanasonixError("The call was interrupted before its start request was sent.")

    async def _round(self) -> StagedProgress:
        owner = self._owner
        deployment_name = await asyncio.to_thread(deployment_name_of, owner)
        told = provenance_of(owner, number=self._number, deployment_name=deployment_name, link=run_link(owner))
        provenance = await deeper_in_chain(told, owner, self._attempt.credentials, self._slot)
        attempt = f"{owner.run_id}/{owner.tries}"

        def advance() -> StagedProgress:
            return advance_stages(
                self._sync_client,
                self._asked,
                book=self._book,
                intent=self._intent,
                attempt=attempt,
                provenance=provenance,
                policy=self._policy,
                log=self._attempt.log,
                stop=self._stop,
            )

        progress = await self._settling.unbroken(asyncio.to_thread(_without_interrupt, advance), self._stop.set)
        self._telling.depth = provenance.depth
        for handle in progress.active:
            if handle.id not in self._waits:
                await note_in_chain(owner, self._attempt.credentials, self._slot, handle)
        self._attempt.log(
            "info",
            f"stages of connection {self._asked.request.connection_id}: {progress.done} loaded, "
            f"{len(progress.active)} running, {len(progress.failed)} failed, {progress.to_do} to do",
        )
        return progress

    async def _wait(self, progress: StagedProgress) -> None:
        """Until another round may come to something."""
        now = time.time()
        if progress.stalled:
            ages = [handle.age_seconds(now) for handle in progress.active]
            await asyncio.sleep(self._interval.pause(min(ages, default=0.0), random.Random()))
        elif progress.active:
            await self._wait_for_any(progress.active)
        else:
            until = busy_until(progress, self._policy, self._asked.request.connection_id)
            await await_while_taken(
                self._client,
                progress.busy_kind,
                progress.busy_run_id,
                since=progress.busy_since or now,
                until=until,
                interval=self._interval,
            )

    async def _wait_for_any(self, handles: tuple[RunHandle, ...]) -> None:
        """Waits go on over rounds: each stage has one, in the watcher that all of this process share."""
        for handle in handles:
            if handle.id not in self._waits:
                waiting = woken_by_inbox(
                    self._attempt.credentials, await_run, self._client, handle, interval=self._interval
                )
                self._waits[handle.id] = asyncio.ensure_future(waiting)
        waits = {handle.id: self._waits[handle.id] for handle in handles}
        done, _ = await asyncio.wait(waits.values(), return_when=asyncio.FIRST_COMPLETED)
        for run_id in [run_id for run_id, wait in waits.items() if wait in done]:
            # What ended it is for the round to find out: a deadline, too.
            with suppress(PlanasonixError):
                self._waits.pop(run_id).result()

    # --- the end from outside --------------------------------------------------------------------------------------

    async def _settle(self, state: SeenState | None) -> None:
        """Given up: cancel the stages that run; else say that they go on."""
        self._stop.set()
        header = await self._settling.in_thread(lambda: self._book.read(HEADER))
        active = () if header is None else header.get("active") or ()
        if header is None or header.get("intent") != self._intent or not active:
            return
        verdict = await self._settling.verdict(self._owner, state)
        if verdict.act == "leave":
            self._attempt.log("warning", f"{verdict.why}; left running: {', '.join(active)}")
            return
        for sentence in await self._settling.in_thread(self._cancel):
            self._attempt.log("warning", f"{verdict.why}: {sentence}")

    def _cancel(self) -> list[str]:
        return cancel_stages(
            self._sync_client,
            self._book,
            policy=self._policy,
            # It takes up to a second more.
            patience_seconds=min(CANCEL_SECONDS, max(0.0, self._settling.left() - 1.5)),
            log=self._attempt.log,
        )


def _without_interrupt(advance: Any) -> StagedProgress:
    """A future keeps no `KeyboardInterrupt`, with which a stopped round ends."""
    try:
        return advance()
    except KeyboardInterrupt:
        raise PlanasonixError("The round was stopped.") from None
