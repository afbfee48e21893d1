"""One execution of a task on a worker: from its request to a result, a deferral or an error."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import AirflowFailException, AirflowSkipException
from airflow_provider_planasonix.book import TaskStateBook
from airflow_provider_planasonix.deferring import defer_while_busy, framework_timeout, time_limit
from airflow_provider_planasonix.giving_up import cancel_on_signal, given_up_on_signal, is_given_up_now
from airflow_provider_planasonix.ledger import TaskStateLedger
from airflow_provider_planasonix.links import PlanasonixJobLink
from airflow_provider_planasonix.metrics import count, count_end, count_started
from airflow_provider_planasonix.outlets import note_outcome
from airflow_provider_planasonix.provenance import provenance_of
from airflow_provider_planasonix.push.chain import note_started
from airflow_provider_planasonix.task_state import TaskKey
from planasonix.errors import RunCancelledError, WaitTimeoutError
from planasonix.runs import (
    REMIND_SECONDS,
    BackfillRequest,
    Policy,
    RunHandle,
    RunRequest,
    Started,
    Story,
    cancel_stages,
    end_at_deadline,
    find_lost_run,
    give_up,
    outcome_of,
    raise_for_failure,
    start_run,
    told,
    wait_for_run,
    wait_while_busy,
)
from planasonix.runs.start_words import busy_text, busy_too_long, skipped_text, started_text
from planasonix.watch import Interval

if TYPE_CHECKING:
    from airflow_provider_planasonix.operators.run import PlanasonixRunOperator
    from planasonix import Planasonix
    from planasonix.runs import Outcome


def policy_of(operator: PlanasonixRunOperator, client: Planasonix, operation: str = "connections.sync") -> Policy:
    """How the run engine behaves for this task."""
    return Policy(
        idempotency=client.config.idempotency_of(operation),
        if_running=operator.if_running,
        timeout_seconds=operator.timeout_seconds,
        cancel_older=operator.cancel_on_kill,
        # A DAG that was edited between two tries is no mistake; its job of the earlier try goes on.
        on_edit="keep",
        # What nobody would cancel while the task lives, reconcile leaves alone afterwards.
        leave_running=not operator.cancel_on_kill or not operator.wait_for_completion,
    )


class Attempt:
    """What `execute` does, step by step; `on_kill` reaches into it from a signal."""

    def __init__(self, operator: PlanasonixRunOperator, context: Any) -> None:
        self.operator = operator
        self.context = context
        self.log: Any = operator.log
        self.task = TaskKey.of(context["ti"])
        self.ledger = TaskStateLedger(context, self.stop_if_given_up)
        self.handle: RunHandle | None = None
        self.given_up = False
        self._starting = False

    def run(self, client: Planasonix, request: RunRequest) -> dict[str, Any]:
        """Start and wait, here or deferred; return the outcome, or the handle where nobody waits."""
        handle, ended = self._start(client, request)
        if ended:
            return self.finish(client, handle, request.expected_tables)
        if not self.operator.wait_for_completion:
            return handle.to_dict()
        if self.operator.deferrable:
            self._defer_until_ended(handle)
        self._wait_here(client, handle)
        return self.finish(client, handle, request.expected_tables)

    def finish(self, client: Planasonix, handle: RunHandle, expected_tables: tuple[str, ...]) -> dict[str, Any]:
        """Report the ended run: return its outcome, or raise with the whole story."""
        outcome = outcome_of(client, handle, expected_tables=expected_tables)
        self._note_end(handle, outcome)
        note_outcome(self.operator, self.context, outcome)
        count_end(outcome)
        try:
            raise_for_failure(outcome)
        except RunCancelledError as error:
            # Somebody cancelled it on purpose: a retry would start it against their will.
            raise AirflowFailException(str(error)) from error
        level, text = told(outcome)
        getattr(self.log, level)(text)
        return outcome.to_dict()

    # --- giving up ------------------------------------------------------------------------------------------------

    def on_signal(self) -> None:
        """The process was told to stop. Only where a user ended the task is the run cancelled."""
        handle = self.handle
        what = "the start request" if handle is None else self._link(handle) or f"{handle.kind} {handle.id}"
        if not given_up_on_signal(self.task, self.log, what):
            return
        self.given_up = True
        if handle is not None and handle.owned:
            cancel_on_signal(self.operator.hook, [handle], self.log)
        # Without a handle a start is under way. Breaking it off would lose the id: its next step sees the flag.

    def on_interrupt(self) -> None:
        """Ctrl-C in `dag.test()`. Breaking a start off would lose the run's id: its next step sees the flag."""
        self.given_up = True
        if not self._starting:
            raise KeyboardInterrupt

    def stop_if_given_up(self) -> None:
        """Before a POST, and after it."""
        if self.given_up:
            raise AirflowFailException("The task was ended by a user.")

    def cancel_what_was_started(self, client: Planasonix) -> None:
        """The task's own time limit passed, wherever that was: whatever the ledger names is given up."""
        record = self.ledger.read()
        if record is not None:
            record = find_lost_run(
                client,
                record,
                policy=policy_of(self.operator, client),
                ledger=self.ledger,
                log=lambda level, text: getattr(self.log, level)(text),
            )
        if record is not None and record.run_id is not None:
            handle = RunHandle.of(record, reattached=True)
            self.log.warning(give_up(client, handle, wanted=self.operator.cancel_on_kill))
        self.handle = None

    # --- steps ----------------------------------------------------------------------------------------------------

    def _start(self, client: Planasonix, request: RunRequest) -> tuple[RunHandle, bool]:
        """The run of this wish, and whether it has ended already. Waits while the connection is busy."""
        operator = self.operator
        policy = policy_of(operator, client, request.operation)
        self._end_stages(client, request, policy)
        while True:
            self._end_at_time_limit(client)
            self._starting = True
            try:
                started = start_run(
                    client,
                    request,
                    intent=self.ledger.intent,
                    ledger=self.ledger,
                    provenance=provenance_of(self.context),
                    policy=policy,
                    metadata=operator.metadata,
                    log=lambda level, text: getattr(self.log, level)(text),
                )
            except Exception:
                # The store of a task that was cleared is gone: what was started can be named here and nowhere else.
                if self.given_up or is_given_up_now(self.task):
                    self.cancel_what_was_started(client)
                raise
            count_started(started)
            self._starting = False
            if started.handle is not None:
                break
            self.stop_if_given_up()
            self._wait_while_busy(client, started, request)
        handle = self.handle = started.handle
        note_started(self.context, handle.kind, handle.id)
        if self.given_up:
            self.log.warning(give_up(client, handle, wanted=operator.cancel_on_kill))
            self.stop_if_given_up()
        self.ledger.note_this_try()
        PlanasonixJobLink.push(self.context, self._link(handle))
        self.log.info(started_text(started, handle, operator.hook.job_url_template))
        return handle, started.run is not None and started.run.phase not in ("active", "cancelling")

    def _end_stages(self, client: Planasonix, request: RunRequest, policy: Policy) -> None:
        """The DAG was edited: before, the task loaded its window in stages, and some of them may still run."""
        if isinstance(request, BackfillRequest) and self.ledger.has_history and policy.cancel_older:
            for sentence in cancel_stages(client, TaskStateBook(self.context), policy=policy):
                self.log.warning(sentence)

    def _wait_while_busy(self, client: Planasonix, started: Started, request: RunRequest) -> None:
        operator = self.operator
        if started.how == "skipped":
            raise AirflowSkipException(skipped_text(request))
        since = self.ledger.busy_since()
        until = since + operator.timeout_seconds
        if time.time() >= until:
            raise busy_too_long(request, operator.timeout_seconds)
        self.log.info(busy_text(request, started))
        if not operator.deferrable:
            wait_while_busy(client, started, since=since, until=until)
            return
        defer_while_busy(operator, self.ledger, started.busy_kind, started.busy_run_id, since=since, until=until)

    def _end_at_time_limit(self, client: Planasonix) -> None:
        """Of a task that is resumed after its busy wait: a run that it started now would be cancelled at once."""
        until = time_limit(self.operator, self.ledger)
        if until is None or time.time() < until:
            return
        self.cancel_what_was_started(client)
        raise WaitTimeoutError(
            "The task's execution_timeout is over, and nothing more is started.",
            pending=[],
            hint="Look at what kept it busy, raise execution_timeout, or set if_running.",
        )

    def _defer_until_ended(self, handle: RunHandle) -> None:
        from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger

        operator, now = self.operator, time.time()
        until = time_limit(operator, self.ledger)
        if until is not None:
            handle = replace(handle, deadline_at=min(handle.deadline_at, until))
        operator.defer(
            trigger=PlanasonixRunTrigger(
                handle.to_dict(),
                self.task.to_dict(),
                operator.planasonix_conn_id,
                operator.poll_interval_seconds,
                operator.cancel_on_kill,
                now,
            ),
            method_name="execute_complete",
            timeout=framework_timeout(handle.deadline_at, now),
        )

    def _note_end(self, handle: RunHandle, outcome: Outcome) -> None:
        """Tell reconcile that this end was seen, and a retry what was made of it. How the task ends does not hang on
        that note.
        """
        record = self.ledger.read()
        if record is None or record.run_id != handle.id:
            return
        try:
            self.ledger.write(replace(record, ended_as=outcome.api_status, verdict=outcome.status))
        except Exception as error:
            self.log.warning("the end of %s %s could not be noted: %r", handle.kind, handle.id, error)

    def _wait_here(self, client: Planasonix, handle: RunHandle) -> None:
        try:
            wait_for_run(
                client,
                handle,
                interval=Interval(fixed_seconds=self.operator.poll_interval_seconds),
                on_change=Story().listener(handle.kind, self.log.info),
                remind_seconds=REMIND_SECONDS,
            )
        except WaitTimeoutError:
            self.handle = None
            count("deadline", kind=handle.kind)
            end_at_deadline(client, handle, cancel_it=self.operator.cancel_on_kill)
        self.handle = None

    def _link(self, handle: RunHandle) -> str | None:
        return handle.link(self.operator.hook.job_url_template)
