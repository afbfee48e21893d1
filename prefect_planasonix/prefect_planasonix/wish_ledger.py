"""The place in the ledger of the wish that one call is, and what is noted there before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from planasonix.errors import PlanasonixError
from planasonix.runs import MemoryLedger, Outcome, Record, RunHandle, RunRequest, new_intent
from prefect_planasonix.bounded import NOTE_SECONDS, within
from prefect_planasonix.claims import wish_of
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.home import at_home
from prefect_planasonix.intent import TRIES, Wish, wish_name
from prefect_planasonix.ledger import ArtifactLedger, ArtifactStore
from prefect_planasonix.ledger_entry import LedgerEntry

if TYPE_CHECKING:
    from planasonix.client.config import ClientConfig
    from prefect_planasonix.attempt import Attempt
    from prefect_planasonix.owner import RunOwner


def fresh_entry(
    attempt: Attempt, config: ClientConfig, owner: RunOwner, record: Record, *, slot: str, number: int
) -> LedgerEntry:
    """The first entry of a wish, or of a stage."""
    return LedgerEntry(
        slot=slot,
        owner=owner,
        record=record,
        number=number,
        on_shutdown=attempt.options.on_shutdown,
        base_url=config.base_url,
        organization_id=config.organization_id,
        credentials_block=attempt.credentials.block_name,
        job_url_template=config.job_url_template,
    )


class WishLedger:
    """Opened by `open` for a start, by `find` for a wait. Until then, and outside any run, it is in memory only."""

    def __init__(
        self, attempt: Attempt, config: ClientConfig, *, waits: bool, before_start: Callable[[], None]
    ) -> None:
        self._attempt = attempt
        self._config = config
        self._waits = waits
        self._before_start = before_start
        self.owner = attempt.owner
        self.ledger: ArtifactLedger | MemoryLedger = MemoryLedger()
        self.intent = ""
        self.number = 0
        self._resumes = False

    async def open(self, request: RunRequest) -> None:
        """Raises `LedgerError` where Prefect's API cannot be used."""
        if self.owner.run_id is None:
            self.intent = new_intent()
            return
        await asyncio.to_thread(self._open, request)

    def _open(self, request: RunRequest) -> None:
        client = prefect_client()
        self.owner = owner = at_home(client, self.owner)
        name = wish_name(request, self._attempt.options.run_key)
        number = TRIES.number_of(owner, name)
        store = ArtifactStore(client, owner)
        wish = wish_of(store, TRIES, owner, number, name, request.target_id)
        self.intent, self.number = wish.intent, number
        entry = wish.entry
        self._resumes = entry is not None and entry.asked_for_in(owner.tries)
        is_noted = entry is None or self._resumes
        if entry is not None and not is_noted:
            entry = replace(entry, owner=owner, tries=owner.tries, claim=owner.claim)
        self.ledger = ArtifactLedger(store, entry, self._fresh(wish), self._before_start, is_noted=is_noted)

    async def find(self, handle: RunHandle) -> RunHandle:
        """The handle of a job that this run has started before: its end is noted in its entry.

        A job that another run has started is that one's: whoever else waits for it does not cancel it. The same where
        the ledger is not at hand, for nobody knows then.
        """
        if self.owner.run_id is None:
            return handle
        try:
            if await within(NOTE_SECONDS, lambda: self._find(handle)):
                return handle
            why = "another run started it"
        except (PlanasonixError, TimeoutError) as error:
            why = f"its ledger entry is not at hand ({error or 'Prefect does not answer'})"
        if handle.owned:
            self._attempt.log("info", f"{handle.kind} {handle.id} is waited for, and not cancelled here: {why}")
        return replace(handle, owned=False)

    def _find(self, handle: RunHandle) -> bool:
        client = prefect_client()
        self.owner = owner = at_home(client, self.owner)
        store = ArtifactStore(client, owner)
        found = False
        for entry in store.entries(handle.target_id):
            found = found or handle.id in (entry.record.run_id, *entry.record.earlier_ids)
            if entry.record.run_id == handle.id:
                waited_for = entry if entry.waits else store.write(replace(entry, waits=True))
                self.ledger = ArtifactLedger(store, waited_for)
        return found

    def asked_for_in_this_try(self) -> RunHandle | None:
        """Prefect runs a resumed flow from its top. That is no retry: a job that failed before is the result."""
        entry = self.ledger.entry if isinstance(self.ledger, ArtifactLedger) else None
        if entry is None or not self._resumes or entry.handle is None:
            return None
        name = named(self._config, entry.handle)
        self._attempt.log("info", f"going on with {name}, which this try has asked for before")
        return entry.handle

    def cancelled_by_somebody(self) -> RunHandle | None:
        """The job of an earlier try that somebody cancelled: an automatic retry must not overrule them."""
        record = self.ledger.read()
        if record is None or record.verdict != "cancelled" or not TRIES.was_cancelled(self.owner, record):
            return None
        self._attempt.log("warning", f"{record.kind} {record.run_id} was cancelled by somebody: no new one is started")
        return RunHandle.of(record, reattached=True)

    async def note_try(self) -> None:
        """A resume must know that this try asked for the job. How the call goes on does not hang on that note."""
        ledger = self.ledger
        try:
            if isinstance(ledger, ArtifactLedger):
                await within(NOTE_SECONDS, ledger.note)
        except (PlanasonixError, TimeoutError) as error:
            told = error or "Prefect does not answer"
            self._attempt.log("warning", f"that this try asks for the job could not be noted: {told}")

    async def note_end(self, handle: RunHandle, outcome: Outcome) -> None:
        """Tell reconcile that this end was seen, and a retry what was made of it. How the call ends does not hang on
        that note.
        """
        record = self.ledger.read()
        if record is None or record.run_id != handle.id:
            return
        ended = replace(record, ended_as=outcome.api_status, verdict=outcome.status)
        TRIES.note_end(self.owner, ended)
        try:
            await within(NOTE_SECONDS, lambda: self.ledger.write(ended))
        except Exception as error:
            told = "Prefect does not answer" if isinstance(error, TimeoutError) else repr(error)
            self._attempt.log("warning", f"the end of {handle.kind} {handle.id} could not be noted: {told}")

    def _fresh(self, wish: Wish) -> Callable[[Record], LedgerEntry]:
        def fresh(record: Record) -> LedgerEntry:
            owner = self.owner
            entry = fresh_entry(self._attempt, self._config, owner, record, slot=wish.slot, number=wish.number)
            return replace(entry, waits=self._waits, tries=owner.tries, claim=owner.claim)

        return fresh


def named(config: ClientConfig, handle: RunHandle) -> str:
    """The run in words, with the way to its page where one is known."""
    link = handle.link(config.job_url_template)
    return f"{handle.kind} {handle.id}" + (f", {link}" if link else "")
