"""One execution of a step that loads a window in stages: a round, then a wait, until all stages have ended.

The rules of a stage are the run engine's (`planasonix.runs.staged`). Here is only what Dagster adds: where the book
lies, which wish it is, and who may end it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dagster_planasonix.book import HEADER, StepBook
from dagster_planasonix.causes import Chain
from dagster_planasonix.intent import Slot
from dagster_planasonix.termination import CANCEL_SECONDS, Interrupts, refuse_to_start, verdict_on
from dagster_planasonix.watching import ASK_SECONDS, StillWanted, end_if_given_up
from planasonix.runs import (
    Outcome,
    StagedBackfill,
    StagedOutcome,
    StagedProgress,
    advance_stages,
    cancel_stages,
    stage_ends,
    staged_outcome,
    wait_for_progress,
)
from planasonix.watch import Interval

if TYPE_CHECKING:
    from dagster_planasonix.attempt import Attempt


@dataclass(frozen=True)
class StagedRun:
    """How the stages ended. `skipped`: the connection was busy and `if_running` is `skip`, so that some never began.
    `ended` is the outcome of each that came to an end, by its name; `loaded_before` are the names of those that an
    earlier try had loaded.
    """

    outcome: StagedOutcome
    skipped: bool = False
    ended: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    loaded_before: frozenset[str] = frozenset()


class StagedExecution:
    """What `Attempt.run_stages` does."""

    def __init__(self, attempt: Attempt, asked: StagedBackfill, part: str, ended: dict[str, Outcome] | None) -> None:
        self._attempt = attempt
        self._ended = {} if ended is None else ended
        # A new wish begins after the step ended well: then everything is to be loaded again.
        self._asked = replace(asked, on_clear="restart")
        self._client = client = attempt.workspace.get_client()
        self._owner = attempt.owner(part, waits=True)
        self._policy = attempt.policy(client, asked.request.operation)
        self._chain = Chain.of(attempt.context, self._owner, asked.request.connection_id, attempt.inbox_url)
        self._interrupts = Interrupts()
        self._book: StepBook | None = None

    def run(self) -> StagedRun:
        with self._interrupts.settling(self._settle, self._attempt.log):
            refuse_to_start(self._attempt.context)
            book = self._book = self._open_book()
            earlier = stage_ends(book, self._asked, intent=book.intent)
            before = frozenset(name for name, outcome in earlier.items() if outcome.succeeded)
            pause = Interval(fixed_seconds=self._attempt.workspace.poll_interval_seconds)
            still_wanted = StillWanted(self._attempt.context, ASK_SECONDS)
            try:
                while not (progress := self._round(book)).ended:
                    wait_for_progress(
                        self._client, progress, self._asked, self._policy, interval=pause, on_tick=still_wanted
                    )
            finally:
                self._ended.update(stage_ends(book, self._asked, intent=book.intent))
            self._attempt.ledgers.append(book)
            outcome = staged_outcome(book, self._asked, intent=book.intent)
            return StagedRun(outcome, progress.skipped, self._ended, before)

    def _open_book(self) -> StepBook:
        owner = self._owner
        return StepBook(
            self._attempt.context,
            owner,
            Slot(owner.root_run_id, owner.step_key, self._asked.request.connection_id, owner.part),
            job_url_template=self._client.config.job_url_template,
            before_start=self._before_start,
            settled=self._interrupts.release,
        )

    def _round(self, book: StepBook) -> StagedProgress:
        progress = advance_stages(
            self._client,
            self._asked,
            book=book,
            intent=book.intent,
            # A stage that failed in this try stays failed; the next try of the step, or run, begins it again.
            attempt=f"{self._owner.run_id}/{self._attempt.context.retry_number}",
            provenance=self._chain.deepened(self._attempt.provenance(self._owner)),
            policy=self._policy,
            log=self._attempt.log,
        )
        self._interrupts.release()
        for handle in progress.active:
            self._chain.started(handle)
        self._attempt.log(
            "info",
            f"stages of connection {self._asked.request.connection_id}: {progress.done} loaded, "
            f"{len(progress.active)} running, {len(progress.failed)} failed, {progress.to_do} to do",
        )
        return progress

    def _before_start(self) -> None:
        if self._interrupts.settles:
            return
        if self._active():
            # The run was given up meanwhile: an error would end the step and leave the stages that run to nobody.
            end_if_given_up(self._attempt.context)
        refuse_to_start(self._attempt.context)
        self._interrupts.hold()

    def _active(self) -> Sequence[str]:
        header = None if self._book is None else self._book.read(HEADER)
        return () if header is None else header.get("active") or ()

    def _settle(self) -> None:
        """Interrupted: cancel the stages that run if a user gave the run up, else say that they go on."""
        book = self._book
        header = None if book is None else book.read(HEADER)
        if book is None or header is None or header.get("intent") != book.intent:
            return
        verdict, why = verdict_on(self._attempt.context)
        if verdict != "given up" or not self._attempt.workspace.cancel_on_termination:
            self._attempt.log("warning", f"{why}; left running: {', '.join(header.get('active') or ()) or 'nothing'}")
            return
        told = cancel_stages(
            self._client, book, policy=self._policy, patience_seconds=CANCEL_SECONDS, log=self._attempt.log
        )
        for sentence in told:
            self._attempt.log("warning", f"{why}: {sentence}")
