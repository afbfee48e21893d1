"""What the sync and the backfill operator have in common: start one run, wait for it, report it."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_planasonix._compat import (
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    default_deferrable,
)
from airflow_provider_planasonix.events import WaitEnd
from airflow_provider_planasonix.giving_up import cancel_quietly, on_signal
from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.ledger import TaskStateLedger
from airflow_provider_planasonix.links import PlanasonixJobLink
from airflow_provider_planasonix.provenance import provenance_of
from airflow_provider_planasonix.task_state import TaskKey
from planasonix.errors import ConfigurationError, RunCancelledError, WaitTimeoutError
from planasonix.runs import (
    IfRunning,
    Outcome,
    Policy,
    RunHandle,
    RunRequest,
    Started,
    headline,
    outcome_of,
    raise_for_failure,
    report,
    start_run,
    wait_for_run,
    wait_while_busy,
)
from planasonix.watch import Interval

if TYPE_CHECKING:
    from planasonix import Planasonix

FRAMEWORK_SLACK = timedelta(minutes=10)
"""How much later than ours Airflow's own deadline of a deferral is: ours can cancel and tell why."""


class PlanasonixRunOperator(BaseOperator):
    """Starts one run for this task's intent and waits for it. Not for DAGs: see its subclasses.

    Returns `planasonix.runs.Outcome.to_dict()`, or with `wait_for_completion=False` the run's handle.
    """

    template_fields = ("connection_id", "planasonix_conn_id", "priority", "metadata")
    template_fields_renderers: ClassVar[dict[str, str]] = {"metadata": "json"}
    operator_extra_links = (PlanasonixJobLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        connection_id: str,
        planasonix_conn_id: str = PlanasonixHook.default_conn_name,
        priority: str | None = None,
        metadata: dict[str, Any] | None = None,
        wait_for_completion: bool = True,
        if_running: IfRunning = "wait",
        timeout_seconds: float = 86_400.0,
        poll_interval_seconds: float | None = None,
        cancel_on_kill: bool = True,
        deferrable: bool = default_deferrable(),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.connection_id = connection_id
        self.planasonix_conn_id = planasonix_conn_id
        self.priority = priority
        self.metadata = metadata
        self.wait_for_completion = wait_for_completion
        self.if_running: IfRunning = if_running
        self.timeout_seconds = timeout_seconds
        # A wrong word or number is an error of the DAG file, not of tonight's run.
        Policy(if_running=if_running, timeout_seconds=timeout_seconds)
        Interval(fixed_seconds=poll_interval_seconds)
        self.poll_interval_seconds = poll_interval_seconds
        self.cancel_on_kill = cancel_on_kill
        self.deferrable = deferrable
        self._waiting_for: RunHandle | None = None
        self._ledger: TaskStateLedger | None = None
        self._task_key: TaskKey | None = None

    @cached_property
    def hook(self) -> PlanasonixHook:
        return PlanasonixHook(self.planasonix_conn_id)

    def run_request(self, context: Any) -> RunRequest:
        """The request of this task, from its rendered fields. Raises `ConfigurationError` before anything is sent."""
        raise TypeError(f"{type(self).__name__} does not say what to run")

    # --- the phases, each on a worker -----------------------------------------------------------------------------

    def execute(self, context: Any) -> dict[str, Any] | None:
        request = self.run_request(context)
        self._task_key = TaskKey.of(context["ti"])
        self._ledger = TaskStateLedger(context)
        with self.hook.get_client() as client:
            started = self._start(client, request, context)
            if started.handle is None:
                return self._busy_or_skipped(client, started, request, context)
            handle = self._waiting_for = started.handle
            self._ledger.note_this_try()
            self._tell_start(started, context)
            if started.how == "finished" or (started.run is not None and started.run.phase != "active"):
                return self._finish(client, handle, request.expected_tables)
            if not self.wait_for_completion:
                return handle.to_dict()
            if self.deferrable:
                self._defer_until_ended(handle)
            return self._wait_here(client, handle, request)

    def execute_again(self, context: Any, event: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Resumed after waiting for a busy connection: the whole of `execute`, under the same intent."""
        del event
        return self.execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Resumed after the run has ended, or the wait has: read the run and report it."""
        end = WaitEnd.from_payload(event)
        handle = RunHandle.from_dict(end.handle)
        with self.hook.get_client() as client:
            if end.end == "deadline":
                cancel_quietly(client, handle, self.log)
                raise WaitTimeoutError(
                    f"{end.error} It was cancelled." if handle.owned else str(end.error),
                    pending=[{"kind": handle.kind, "id": handle.id, "status": end.status}],
                )
            if end.end == "gave_up":
                raise WaitTimeoutError(
                    f"Waiting for Planasonix {handle.kind} {handle.id} ended without knowing how it ends: {end.error}",
                    pending=[{"kind": handle.kind, "id": handle.id, "status": None}],
                    hint="The run was left as it is. A retry of this task waits for it again.",
                )
            return self._finish(client, handle, self._expected_tables(context))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """The net below the trigger: Airflow resumes a task that timed out or whose trigger broke only to fail it.

        Neither `on_kill` nor `execute_complete` runs then. A timeout is the user's own: the run is cancelled. After a
        broken trigger the retry waits for the same run again; without a retry left, nobody would: cancelled, too.
        """
        if next_method == "__fail__":
            ti, record = context["ti"], TaskStateLedger(context).read()
            timed_out = "timeout" in str((next_kwargs or {}).get("error", "")).lower()
            if record is not None and record.run_id is not None and (timed_out or ti.try_number > ti.max_tries):
                with self.hook.get_client() as client:
                    cancel_quietly(client, RunHandle.of(record, reattached=True), self.log, wanted=self.cancel_on_kill)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """A signal: from the user, or from whoever moves or stops this worker. Only the first cancels the run."""
        if self._waiting_for is None or self._task_key is None or not self.cancel_on_kill:
            return
        if on_signal(self.hook, self._waiting_for, self._task_key, self.log):
            # Without this, execute would go on until Airflow kills the process.
            raise AirflowFailException("The task was ended by a user.")

    # --- steps ----------------------------------------------------------------------------------------------------

    def _start(self, client: Planasonix, request: RunRequest, context: Any) -> Started:
        ledger = self._ledger
        assert ledger is not None  # noqa: S101 - execute sets it first
        policy = Policy(
            idempotency=client.config.idempotency, if_running=self.if_running, timeout_seconds=self.timeout_seconds
        )
        return start_run(
            client,
            request,
            intent=ledger.intent,
            ledger=ledger,
            provenance=provenance_of(context),
            policy=policy,
            metadata=self.metadata,
            log=lambda level, text: getattr(self.log, level)(text),
        )

    def _busy_or_skipped(
        self, client: Planasonix, started: Started, request: RunRequest, context: Any
    ) -> dict[str, Any] | None:
        if started.how == "skipped":
            raise AirflowSkipException(f"Connection {request.connection_id} is busy, and if_running is 'skip'.")
        assert self._ledger is not None  # noqa: S101 - execute sets it first
        until = self._ledger.wished_at + self.timeout_seconds
        if time.time() >= until:
            raise WaitTimeoutError(
                f"Connection {request.connection_id} was busy for {self.timeout_seconds:g} s; nothing was started.",
                pending=[],
                hint="Look at what keeps it busy, raise timeout_seconds, or set if_running.",
            )
        self.log.info("connection %s is busy with %s: waiting", request.connection_id, started.busy_run_id or "a job")
        if self.deferrable:
            from airflow_provider_planasonix.triggers.busy import PlanasonixBusyTrigger

            self.defer(
                trigger=PlanasonixBusyTrigger(
                    request.kind, started.busy_run_id, until, self.planasonix_conn_id, self.poll_interval_seconds
                ),
                method_name="execute_again",
                timeout=timedelta(seconds=max(0.0, until - time.time())) + FRAMEWORK_SLACK,
            )
        wait_while_busy(client, started, request.kind, until=until)
        return self.execute_again(context)

    def _tell_start(self, started: Started, context: Any) -> None:
        handle = started.handle
        assert handle is not None  # noqa: S101 - the caller checked
        link = handle.link(self.hook.job_url_template)
        PlanasonixJobLink.push(context, link)
        self.log.info("%s Planasonix %s %s%s", started.how, handle.kind, handle.id, f": {link}" if link else "")

    def _defer_until_ended(self, handle: RunHandle) -> None:
        from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger

        assert self._task_key is not None  # noqa: S101 - execute sets it first
        self.defer(
            trigger=PlanasonixRunTrigger(
                handle.to_dict(),
                self._task_key.to_dict(),
                self.planasonix_conn_id,
                self.poll_interval_seconds,
                self.cancel_on_kill,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, handle.deadline_at - time.time())) + FRAMEWORK_SLACK,
        )

    def _wait_here(self, client: Planasonix, handle: RunHandle, request: RunRequest) -> dict[str, Any]:
        interval = Interval(fixed_seconds=self.poll_interval_seconds)
        try:
            wait_for_run(
                client,
                handle,
                interval=interval,
                on_change=lambda run: self.log.info("%s %s is %s", handle.kind, run.id, run.status),
            )
        except (WaitTimeoutError, AirflowTaskTimeout):
            self._waiting_for = None
            cancel_quietly(client, handle, self.log, wanted=self.cancel_on_kill)
            raise
        self._waiting_for = None
        return self._finish(client, handle, request.expected_tables)

    def _expected_tables(self, context: Any) -> tuple[str, ...]:
        """Those of the request; none if the DAG was edited meanwhile into one that could not be sent."""
        try:
            return self.run_request(context).expected_tables
        except ConfigurationError:
            return ()

    def _finish(self, client: Planasonix, handle: RunHandle, expected_tables: tuple[str, ...]) -> dict[str, Any]:
        outcome: Outcome = outcome_of(client, handle, expected_tables=expected_tables)
        try:
            raise_for_failure(outcome)
        except RunCancelledError as error:
            # Somebody cancelled it on purpose: a retry would start it against their will.
            raise AirflowFailException(str(error)) from error
        self.log.info(report(outcome) if outcome.warnings else headline(outcome))
        return outcome.to_dict()
