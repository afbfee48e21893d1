"""One execution of a staged backfill's task on a worker: a round, then a wait, until all stages have ended.

Each resumption is a new process. What it needs to know stands in the book (`planasonix.runs.staged`): which stages are
loaded, which run, which failed in this try.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import AirflowFailException, AirflowSkipException
from airflow_provider_planasonix.attempt import policy_of
from airflow_provider_planasonix.book import TaskStateBook
from airflow_provider_planasonix.deferring import defer_while_busy, framework_timeout, time_limit
from airflow_provider_planasonix.giving_up import cancel_on_signal, given_up_on_signal, is_given_up_now
from airflow_provider_planasonix.ledger import TaskStateLedger
from airflow_provider_planasonix.links import PlanasonixJobLink
from airflow_provider_planasonix.metrics import count
from airflow_provider_planasonix.outlets import note_outcome
from airflow_provider_planasonix.pinned import as_first_asked
from airflow_provider_planasonix.provenance import provenance_of
from airflow_provider_planasonix.push.chain import note_started
from airflow_provider_planasonix.task_state import TaskKey
from planasonix.errors import RunCancelledError, WaitTimeoutError
from planasonix.runs import (
    Record,
    RunHandle,
    StagedBackfill,
    StagedProgress,
    advance_stages,
    busy_until,
    cancel_stages,
    give_up,
    raise_for_stages,
    report_stages,
    staged_outcome,
    wait_for_progress,
)
from planasonix.runs.drivers import perform
from planasonix.runs.retire import retire
from planasonix.watch import Interval

if TYPE_CHECKING:
    from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
    from planasonix import Planasonix


class StagedAttempt:
    """What `execute` does for a backfill in stages; `on_kill` reaches into it from a signal."""

    def __init__(self, operator: PlanasonixBackfillOperator, context: Any) -> None:
        self.operator = operator
        self.context = context
        self.log: Any = operator.log
        self.task = TaskKey.of(context["ti"])
        self.ledger = TaskStateLedger(context)
        self.book = TaskStateBook(context)
        self._given_up = threading.Event()
        self._waiting_for: tuple[RunHandle, ...] = ()
        self._in_a_round = False

    def run(self, client: Planasonix, asked: StagedBackfill) -> dict[str, Any]:
        """Rounds and waits, here or deferred; return the outcome, or raise with the whole report."""
        self.ledger.note_this_try()
        try:
            self._end_unstaged(client)
            attempt = f"{self.ledger.intent}/{self.context['ti'].try_number}"
            asked = as_first_asked(self.book, attempt, asked)
            while True:
                progress = self._round(client, asked)
                if progress.ended:
                    return self._finish(asked, progress)
                if not progress.active:
                    count("busy_wait", kind=progress.busy_kind)
                if not self.operator.deferrable:
                    policy = policy_of(self.operator, client)
                    interval = Interval(fixed_seconds=self.operator.poll_interval_seconds)
                    wait_for_progress(client, progress, asked, policy, interval=interval, stop=self._given_up)
                elif progress.active:
                    self._defer_until_a_stage_ends(progress)
                else:
                    self._defer_while_busy(client, asked, progress)
        except KeyboardInterrupt:
            if not self._given_up.is_set():
                raise
            self.cancel_what_was_started(client, patience_seconds=2.0)
            raise AirflowFailException("The task was ended by a user.") from None
        except Exception:
            # The store of a task that was cleared is gone: what was started can be named here and nowhere else.
            if self.book.unsaved and (self._given_up.is_set() or is_given_up_now(self.task)):
                self._cancel_unsaved(client)
            raise

    def _cancel_unsaved(self, client: Planasonix) -> None:
        for entry in self.book.unsaved.values():
            handle = RunHandle.of(Record.from_dict(entry), reattached=True)
            if handle.owned:
                self.log.warning(give_up(client, handle, wanted=self.operator.cancel_on_kill))

    def _end_unstaged(self, client: Planasonix) -> None:
        """The DAG was edited: before it had stages, the task loaded its window at once, and that may still go on."""
        record = self.ledger.read()
        if record is not None and record.ended_as is None:
            policy = policy_of(self.operator, client, record.operation)
            perform(client, retire(record, policy, time.time), ledger=self.ledger)
            self.ledger.forget()

    # --- giving up ------------------------------------------------------------------------------------------------

    def on_signal(self) -> None:
        """The process was told to stop. Only where a user ended the task are its stages cancelled."""
        handles = self._waiting_for
        what = ", ".join(f"{handle.kind} {handle.id}" for handle in handles) or "a stage that is being started"
        if not given_up_on_signal(self.task, self.log, what):
            return
        # A round that is under way ends at its next step, but never between a POST and its answer.
        self._given_up.set()
        owned = [handle for handle in handles if handle.owned]
        if owned and self.operator.cancel_on_kill:
            cancel_on_signal(self.operator.hook, owned, self.log, stay=not self._in_a_round)

    def on_interrupt(self) -> None:
        """Ctrl-C in `dag.test()`. As above: a round ends at its next step, anything else at once."""
        self._given_up.set()
        if not self._in_a_round:
            raise KeyboardInterrupt

    def cancel_what_was_started(self, client: Planasonix, *, patience_seconds: float = 30.0) -> None:
        """The task's time is up, wherever that was: whatever the book names is given up."""
        self._waiting_for = ()
        if not self.operator.cancel_on_kill:
            self.log.warning("the stages that run go on")
            return
        policy = policy_of(self.operator, client)
        for sentence in cancel_stages(client, self.book, policy=policy, patience_seconds=patience_seconds):
            self.log.warning(sentence)

    # --- steps ----------------------------------------------------------------------------------------------------

    def _round(self, client: Planasonix, asked: StagedBackfill) -> StagedProgress:
        self._end_at_time_limit(client)
        self._in_a_round = True
        progress = advance_stages(
            client,
            asked,
            book=self.book,
            intent=self.ledger.intent,
            attempt=str(self.context["ti"].try_number),
            provenance=provenance_of(self.context),
            policy=policy_of(self.operator, client),
            metadata=self.operator.metadata,
            log=lambda level, text: getattr(self.log, level)(text),
            stop=self._given_up,
        )
        self._waiting_for = progress.active
        self._in_a_round = False
        for handle in progress.active:
            note_started(self.context, handle.kind, handle.id)
        self.log.info(
            "stages of connection %s: %d loaded, %d running, %d failed, %d to do",
            asked.request.connection_id,
            progress.done,
            len(progress.active),
            len(progress.failed),
            progress.to_do,
        )
        if progress.active:
            PlanasonixJobLink.push(self.context, progress.active[-1].link(self.operator.hook.job_url_template))
        return progress

    def _finish(self, asked: StagedBackfill, progress: StagedProgress) -> dict[str, Any]:
        outcome = staged_outcome(self.book, asked, intent=self.ledger.intent)
        note_outcome(self.operator, self.context, outcome)
        count("finish", kind="stages", status=outcome.status)
        try:
            raise_for_stages(outcome)
        except RunCancelledError as error:
            # Somebody cancelled a stage on purpose: a retry would start it against their will.
            raise AirflowFailException(str(error)) from error
        if progress.skipped:
            raise AirflowSkipException(
                f"Connection {asked.request.connection_id} is busy, and if_running is 'skip': {progress.done} of "
                f"{len(asked.stages)} stages are loaded."
            )
        warned = any(stage.warnings for stage in outcome.stages)
        (self.log.warning if warned else self.log.info)(report_stages(outcome))
        return outcome.to_dict()

    def _defer_until_a_stage_ends(self, progress: StagedProgress) -> None:
        operator = self.operator
        until = time_limit(operator, self.ledger)
        handles = progress.active
        if until is not None:
            # Airflow does not apply it to a deferred task.
            handles = tuple(replace(handle, deadline_at=min(handle.deadline_at, until)) for handle in handles)
        from airflow_provider_planasonix.triggers.stages import PlanasonixStagesTrigger

        now = time.time()
        operator.defer(
            trigger=PlanasonixStagesTrigger(
                [handle.to_dict() for handle in handles],
                self.task.to_dict(),
                operator.planasonix_conn_id,
                operator.poll_interval_seconds,
                operator.cancel_on_kill,
                now,
            ),
            method_name="execute_again",
            timeout=framework_timeout(min(handle.deadline_at for handle in handles), now),
        )

    def _defer_while_busy(self, client: Planasonix, asked: StagedBackfill, progress: StagedProgress) -> None:
        operator = self.operator
        until = busy_until(progress, policy_of(operator, client), asked.request.connection_id)
        defer_while_busy(
            operator,
            self.ledger,
            progress.busy_kind,
            progress.busy_run_id,
            since=progress.busy_since or time.time(),
            until=until,
        )

    # --- the task's own time limit ----------------------------------------------------------------------------------

    def _end_at_time_limit(self, client: Planasonix) -> None:
        until = time_limit(self.operator, self.ledger)
        if until is None or time.time() < until:
            return
        self.cancel_what_was_started(client)
        raise WaitTimeoutError(
            "The task's execution_timeout is over: the stages that ran were given up.",
            pending=[],
            hint="A retry or a clear starts only what is not loaded. Raise execution_timeout if that is too short.",
        )
