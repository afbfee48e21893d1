"""What the sensors have in common: one run by its id, or the first one of a connection since some moment."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow_provider_planasonix._compat import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    default_deferrable,
)
from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.links import PlanasonixJobLink
from airflow_provider_planasonix.rendered import is_known, require_flag, type_rendered_fields
from planasonix.errors import ConfigurationError
from planasonix.watch.interval import require_positive

# What runs on a worker is imported there: a DAG file only makes sensors.
if TYPE_CHECKING:
    from airflow_provider_planasonix._compat import StartTriggerArgs
    from planasonix.runs import RunSince, WantedStatus
    from planasonix.watch import Kind
    from planasonix.watch.patience import Patience

_POKE_INTERVAL_SECONDS = 60.0
"""Airflow's own default, where nobody chose one and no trigger waits."""


class PlanasonixRunSensor(BaseSensorOperator):
    """Waits for a run, and owns nothing. Not for DAGs: see its subclasses.

    There is no `on_kill`, on purpose: whoever ends a sensor does not want to wait any more. The run belongs to whoever
    started it, and goes on.

    No `end_from_trigger` either: Airflow would write no outlet events then, and refuses to import a DAG with it where a
    listener such as OpenLineage's is installed.
    """

    template_fields = ("connection_id", "since", "planasonix_conn_id")
    operator_extra_links = (PlanasonixJobLink(),)
    ui_color = "#e8f0fe"

    kind: ClassVar[Kind] = "job"
    id_field: ClassVar[str] = "job_id"
    job_type: str | None = None

    def __init__(
        self,
        *,
        connection_id: str | None = None,
        since: datetime | str | None = None,
        wanted_status: WantedStatus = "succeeded",
        fail_on_failure: bool = True,
        planasonix_conn_id: str = PlanasonixHook.default_conn_name,
        poke_interval: timedelta | float | None = None,
        deferrable: bool = default_deferrable(),
        start_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=_POKE_INTERVAL_SECONDS if poke_interval is None else poke_interval, **kwargs)
        self.connection_id = connection_id
        self.since = since
        self.wanted_status: WantedStatus = wanted_status
        self.fail_on_failure = fail_on_failure
        self.planasonix_conn_id = planasonix_conn_id
        self.deferrable = deferrable
        self.start_from_trigger = start_from_trigger
        self._chosen_interval = poke_interval is not None
        self._is_named = connection_id is None
        # What the looks of this process remember: see `looking`.
        self.patience: Patience | None = None
        self.said: tuple[str, str] | None = None
        self.linked: str | None = None

    @cached_property
    def hook(self) -> PlanasonixHook:
        return PlanasonixHook(self.planasonix_conn_id)

    @property
    def trigger_interval_seconds(self) -> float | None:
        """The pause between a trigger's looks: what was chosen, or None for one that follows the run's age."""
        return self.poke_interval if self._chosen_interval else None

    def wish(self) -> RunSince | None:
        """What is waited for, from the rendered fields; None where the run has a name. Raises `ConfigurationError`."""
        from planasonix.runs import RunSince

        if self._is_named:
            return None
        return RunSince(
            self.kind,
            self.connection_id,  # type: ignore[arg-type]  # refused there
            self.since,  # type: ignore[arg-type]  # text is read as a moment
            self.job_type,
            self.wanted_status,
            self.fail_on_failure,
        )

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        # Not render_template_fields: Airflow passes that one by for mapped tasks.
        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self:
            type_rendered_fields(self)

    # --- the phases, each on a worker -----------------------------------------------------------------------------

    def poke(self, context: Any) -> PokeReturnValue:
        """One look; see `looking`."""
        from airflow_provider_planasonix.looking import Looking

        outcome = Looking(self, context).look()
        return PokeReturnValue(outcome is not None, outcome)

    def execute(self, context: Any) -> dict[str, Any] | None:
        if not self.deferrable:
            return super().execute(context)
        from airflow_provider_planasonix.deferring import FRAMEWORK_SLACK
        from airflow_provider_planasonix.looking import Looking

        looking = Looking(self, context)
        outcome = self._unless_never_failing(looking.look)
        if outcome is None:
            now, seconds = time.time(), self._longest_seconds()
            self.defer(
                trigger=looking.trigger(now + seconds, now),
                method_name="execute_complete",
                # Later than ours: ours takes a last look, and tells what it saw.
                timeout=timedelta(seconds=seconds) + FRAMEWORK_SLACK,
            )
        return outcome

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Resumed after the run has ended, or the wait has: read the run and report it."""
        from airflow_provider_planasonix.events import WaitEnd, tell_again
        from airflow_provider_planasonix.looking import Looking
        from planasonix.runs import RunHandle

        tell_again(event, self.log)

        def complete() -> dict[str, Any]:
            end = WaitEnd.from_payload(event)
            if end.end == "gave_up":
                raise end.as_error()
            if end.end == "deadline":
                self._raise_timeout(end.error or "The sensor's timeout has passed.")
            with self.hook.get_client() as client:
                return Looking(self, context).finish(client, RunHandle.from_dict(end.handle))

        # What `soft_fail` makes of an AirflowSensorTimeout is Airflow's own rule, in `resume_execution`.
        return self._unless_never_failing(complete)

    def _longest_seconds(self) -> float:
        """How long a trigger may wait. Airflow does not apply `execution_timeout` to a deferred task."""
        limit = self.execution_timeout
        return self.timeout if limit is None else min(self.timeout, limit.total_seconds())

    def _raise_timeout(self, text: str) -> NoReturn:
        """As Airflow does while it pokes: a retry follows `execution_timeout`, and none follows `timeout`."""
        if self._longest_seconds() == self.timeout:
            raise AirflowSensorTimeout(text)
        if self.soft_fail or self.never_fail:
            raise AirflowSkipException(text)
        raise AirflowTaskTimeout(text)

    def _unless_never_failing(self, act: Any) -> Any:
        """Airflow applies `never_fail` to poking, and to errors of its own."""
        try:
            return act()
        except AirflowSkipException:
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
            raise

    # --- when the DAG file is read --------------------------------------------------------------------------------

    def _check(self) -> None:
        """A wrong word or number is an error of the DAG file, not of tonight's run; templates are not known yet."""
        named = getattr(self, self.id_field)
        if (named is None) == (self.connection_id is None):
            raise ConfigurationError(
                f"Give either {self.id_field}, or connection_id with since.",
                field=self.id_field,
                hint=f"{self.id_field} waits for that one, the other two for the first one of a connection since then.",
            )
        if (self.since is None) != (self.connection_id is None):
            raise ConfigurationError(
                "since says from which moment on the runs of connection_id count: give both, or neither.",
                field="since",
                hint="For example since='{{ data_interval_start }}'.",
            )
        if self.connection_id is None and self.fail_on_failure is not True:
            raise ConfigurationError(
                f"fail_on_failure=False waits for a newer run, and {self.id_field} names just one.",
                field="fail_on_failure",
                hint="Use wanted_status='ended' to go on after any end.",
            )
        require_positive("poke_interval", self.poke_interval)
        require_flag("deferrable", self.deferrable)
        require_flag("start_from_trigger", self.start_from_trigger)
        self._check_wish()
        if self.start_from_trigger:
            self._check_start_from_trigger()
            self.start_trigger_args = self._start_trigger_args()

    def _check_wish(self) -> None:
        from planasonix.runs import RunSince

        connection_id, since = (
            value if value is not None and is_known(value) else any_
            for value, any_ in ((self.connection_id, "any"), (self.since, "2026-01-01T00:00:00+00:00"))
        )
        # Airflow's type checks are none: what is no text or moment is refused here.
        RunSince(self.kind, connection_id, since, self.job_type, self.wanted_status, self.fail_on_failure)  # type: ignore[arg-type]

    def _check_start_from_trigger(self) -> None:
        """Airflow then starts the task in the triggerer, which renders what is plain text and nothing else."""
        if not self.deferrable:
            raise ConfigurationError(
                "start_from_trigger needs deferrable=True.", field="start_from_trigger", hint="Set both, or neither."
            )
        plain = all(isinstance(value, str | datetime) for value in (self.connection_id, self.since))
        fields = (self.connection_id, self.since, self.job_type, self.planasonix_conn_id)
        if not plain or any(_asks_airflow(value) for value in fields):
            raise ConfigurationError(
                "start_from_trigger works with connection_id and since alone, as plain text or with templates that "
                "know the DAG run and nothing else: a triggerer must not ask Airflow.",
                field="start_from_trigger",
                hint=f"Leave start_from_trigger out, or name only {', '.join(sorted(_OF_THE_DAG_RUN))}.",
            )

    def _start_trigger_args(self) -> StartTriggerArgs:
        # It belongs to Airflow's triggers: dear to import, and only this way of starting needs it.
        from airflow_provider_planasonix._compat import StartTriggerArgs

        since = self.since.isoformat() if isinstance(self.since, datetime) else self.since
        return StartTriggerArgs(
            trigger_cls="airflow_provider_planasonix.triggers.since.PlanasonixSinceTrigger",
            trigger_kwargs={
                "kind": self.kind,
                "connection_id": self.connection_id,
                "since": since,
                "job_type": self.job_type,
                "wanted_status": self.wanted_status,
                "fail_on_failure": self.fail_on_failure,
                "planasonix_conn_id": self.planasonix_conn_id,
                "poll_interval_seconds": self.trigger_interval_seconds,
            },
            next_method="execute_complete",
            # No deadline of ours: when the task will start is not known here. Airflow's own ends the wait.
            timeout=timedelta(seconds=self._longest_seconds()),
        )


def _asks_airflow(value: object) -> bool:
    """Whether rendering it may ask Airflow's server: in a triggerer nobody answers some of these questions."""
    if not isinstance(value, str) or is_known(value):
        return False
    # Dear to import, and only this way of starting needs it.
    from jinja2 import Environment, TemplateSyntaxError, meta

    try:
        return not meta.find_undeclared_variables(Environment().parse(value)) <= _OF_THE_DAG_RUN  # noqa: S701 - no HTML
    except TemplateSyntaxError:
        return True


_OF_THE_DAG_RUN = frozenset(
    {
        *("ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"),
        *("logical_date", "data_interval_start", "data_interval_end", "partition_key", "partition_date"),
        *("dag_run", "run_id", "params", "macros"),
    }
)
"""What templates know without asking. `prev_end_date_success` and its like are asked for."""
