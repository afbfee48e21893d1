"""What the operators that start a run have in common: start one run, wait for it, report it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_planasonix._compat import (
    AirflowTaskTimeout,
    BaseOperator,
    TaskDeferralTimeout,
    default_deferrable,
)
from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.links import PlanasonixJobLink
from airflow_provider_planasonix.literals import check_connection_id, check_name
from airflow_provider_planasonix.rendered import is_known, require_flag, type_rendered_fields
from planasonix.errors import ConfigurationError
from planasonix.runs.decide import IfRunning, Policy
from planasonix.watch.interval import Interval

# What runs on a worker is imported there: a DAG file only makes operators.
if TYPE_CHECKING:
    from airflow_provider_planasonix.attempt import Attempt
    from planasonix.runs import Outcome, RunRequest, StagedBackfill, StagedOutcome


_CHECKED = (
    *("if_running", "timeout_seconds", "poll_interval_seconds"),
    *("wait_for_completion", "cancel_on_kill", "metadata"),
)


class PlanasonixRunOperator(BaseOperator):
    """Starts one run for this task's intent and waits for it. Not for DAGs: see its subclasses.

    Returns `planasonix.runs.Outcome.to_dict()`; with `wait_for_completion=False` the run's handle, unless the run had
    ended already.
    """

    template_fields = (
        *("planasonix_conn_id", "metadata"),
        *("timeout_seconds", "poll_interval_seconds", "if_running", "wait_for_completion", "cancel_on_kill"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"metadata": "json"}
    operator_extra_links = (PlanasonixJobLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        planasonix_conn_id: str = PlanasonixHook.default_conn_name,
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
        self.planasonix_conn_id = planasonix_conn_id
        self.metadata = metadata
        self.wait_for_completion = wait_for_completion
        self.if_running: IfRunning = if_running
        self.timeout_seconds = timeout_seconds
        self.poll_interval_seconds = poll_interval_seconds
        self.cancel_on_kill = cancel_on_kill
        self.deferrable = deferrable
        self._attempt: Attempt | None = None
        # What became of the run, once this process has read it: OpenLineage asks for it afterwards.
        self.outcome: Outcome | StagedOutcome | None = None
        self.check_parameters()

    @cached_property
    def hook(self) -> PlanasonixHook:
        return PlanasonixHook(self.planasonix_conn_id)

    def check_parameters(self) -> None:
        """A wrong word or number is an error of the DAG file, not of tonight's run; templates are not known yet.

        Called again on the worker, when all is known.
        """
        known = {name: getattr(self, name) for name in _CHECKED if is_known(getattr(self, name))}
        Policy(**{name: known[name] for name in ("if_running", "timeout_seconds") if name in known})
        Interval(fixed_seconds=known.get("poll_interval_seconds"))
        for name in ("wait_for_completion", "cancel_on_kill"):
            if name in known:
                require_flag(name, known[name])
        require_flag("deferrable", self.deferrable)
        metadata = known.get("metadata")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise ConfigurationError(f"metadata must be a dictionary, got {metadata!r}.", field="metadata")

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        # Not render_template_fields: Airflow passes that one by for mapped tasks.
        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self:
            type_rendered_fields(self)

    def run_request(self, context: Any) -> RunRequest | StagedBackfill:
        """The request of this task, from its rendered fields. Raises `ConfigurationError` before anything is sent."""
        raise TypeError(f"{type(self).__name__} does not say what to run")

    def new_attempt(self, context: Any) -> Any:
        """One execution of this task: see `attempt`."""
        from airflow_provider_planasonix.attempt import Attempt

        return Attempt(self, context)

    # --- the phases, each on a worker -----------------------------------------------------------------------------

    def execute(self, context: Any) -> dict[str, Any]:
        self.check_parameters()
        from airflow_provider_planasonix.interrupt import ctrl_c_cancels

        self._check_outlets_are_awaited()
        request = self.run_request(context)
        attempt = self._attempt = self.new_attempt(context)
        with self.hook.get_client() as client, ctrl_c_cancels(attempt, client):
            try:
                return attempt.run(client, request)
            except AirflowTaskTimeout:
                attempt.cancel_what_was_started(client)
                # Airflow calls on_kill next, as for a signal: nothing is left to give up.
                self._attempt = None
                raise

    def execute_again(self, context: Any, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Resumed after waiting for a busy connection or a stage: the whole of `execute`, under the same intent.

        What the event says is a hint: the API itself is asked again, unless the trigger was not let in.
        """
        from airflow_provider_planasonix.events import WaitEnd, tell_again

        tell_again(event, self.log)
        if event is not None and event.get("end") == "gave_up":
            raise WaitEnd.from_payload(event).as_error()
        return self.execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Resumed after the run has ended, or the wait has: read the run and report it."""
        from airflow_provider_planasonix.attempt import Attempt
        from airflow_provider_planasonix.events import WaitEnd, tell_again
        from airflow_provider_planasonix.metrics import count
        from planasonix.runs import RunHandle, end_at_deadline

        tell_again(event, self.log)
        end = WaitEnd.from_payload(event)
        handle = RunHandle.from_dict(end.handle)
        if end.end == "gave_up":
            raise end.as_error()
        with self.hook.get_client() as client:
            if end.end == "deadline":
                count("deadline", kind=handle.kind)
                end_at_deadline(client, handle, cancel_it=self.cancel_on_kill)
            return Attempt(self, context).finish(client, handle, self._expected_tables(context))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """The net below the trigger: Airflow resumes a task that timed out or whose trigger broke only to fail it.

        Neither `on_kill` nor `execute_complete` runs then. A timeout is the user's own: the run is cancelled. A broken
        trigger says nothing of anybody's will: the run goes on, and a retry waits for it again.
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            try:
                attempt = self.new_attempt(context)
                with self.hook.get_client() as client:
                    attempt.cancel_what_was_started(client)
            except Exception as error:
                # How the task ended stays what is told of it: the timeout.
                self.log.warning("what the task had started could not be cancelled, and may run on: %r", error)
            raise

    def on_kill(self) -> None:
        """A signal: from the user, or from whoever moves or stops this worker. Only the first cancels the run."""
        if self._attempt is not None and self.cancel_on_kill:
            self._attempt.on_signal()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What OpenLineage's listener asks after the task; see `lineage`."""
        from airflow_provider_planasonix.lineage import lineage_of

        return lineage_of(self)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """The same after a failure: the tables that were loaded nevertheless, and the report."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def _check_outlets(self) -> None:
        if self.outlets:
            from airflow_provider_planasonix.outlets import check_outlets

            check_outlets(self)

    def _check_outlets_are_awaited(self) -> None:
        """Whether the task waits may be a template: known on the worker, and told before anything is sent."""
        if self.outlets and not self.wait_for_completion:
            from airflow_provider_planasonix.outlets import refuse_unawaited

            refuse_unawaited(self)

    def _expected_tables(self, context: Any) -> tuple[str, ...]:
        """Those of the request; none if the DAG was edited meanwhile into one that could not be sent."""
        try:
            return getattr(self.run_request(context), "expected_tables", ())
        except ConfigurationError:
            return ()


class PlanasonixConnectionOperator(PlanasonixRunOperator):
    """Starts one run of a connection. Not for DAGs: see its subclasses."""

    template_fields = ("connection_id", *PlanasonixRunOperator.template_fields, "priority")

    def __init__(self, *, connection_id: str, priority: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.connection_id = connection_id
        self.priority = priority
        check_connection_id(connection_id)
        check_name("priority", priority)
        self._check_outlets()
