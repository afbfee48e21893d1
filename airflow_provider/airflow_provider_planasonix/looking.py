"""One look of a sensor, on a worker: find the run, say what is new, and report it once it has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import AirflowFailException, AirflowSkipException
from airflow_provider_planasonix.links import PlanasonixJobLink
from airflow_provider_planasonix.task_state import TaskKey
from planasonix.errors import (
    AuthenticationError,
    ConfigurationError,
    PlanasonixError,
    RunCancelledError,
    RunFailedError,
    WaitTimeoutError,
)
from planasonix.runs import (
    Outcome,
    RunHandle,
    RunSince,
    find_run_since,
    headline,
    outcome_of,
    raise_for_failure,
    report,
    told,
)
from planasonix.runs.identity import is_another, not_found
from planasonix.runs.target import shown_target
from planasonix.watch.patience import LOOK_SECONDS, Patience
from planasonix.watch.protocols import ENDED_PHASES, Kind, reader_of

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_planasonix.sensors.run import PlanasonixRunSensor
    from planasonix import Planasonix
    from planasonix.runs.effects import RunView

_PATIENCE_KEY = "planasonix_sensor"


class Looking:
    """What `poke` and `execute` do. Nothing here starts or cancels anything."""

    def __init__(self, sensor: PlanasonixRunSensor, context: Any) -> None:
        self.sensor = sensor
        self.context = context
        self.log: Any = sensor.log
        self._seen: RunHandle | None = None
        self._wish: RunSince | None = None

    def look(self) -> dict[str, Any] | None:
        """The outcome of the run that was waited for; None while there is none.

        Raises `RunFailedError`, `AirflowFailException` for a run that somebody cancelled, `AirflowSkipException` for
        either with `soft_fail`, and what a lasting refusal of the API is.
        """
        # Only here: who is resumed is told the run by the event, and the task that named it may be cleared by then.
        sensor = self.sensor
        self._wish = sensor.wish()
        if self._wish is None:
            self._seen = named_run(sensor.kind, sensor.id_field, getattr(sensor, sensor.id_field))
        memory = _Memory(sensor, self.context)
        # A look that fails is taken again: it is the sensor that tries, within its timeout.
        options = {"max_tries": 2, "deadline_seconds": LOOK_SECONDS}
        try:
            with self._client(**options) as client:
                handle = self._find(client)
            outcome = None if handle is None else self._read(handle)
        except ConfigurationError:
            raise
        except (PlanasonixError, _Unreadable) as error:
            memory.failed(error)
            self.log.warning("this look failed, another follows: %s", error)
            return None
        memory.answered()
        return None if outcome is None else self._judge(outcome)

    def finish(self, client: Planasonix, handle: RunHandle) -> dict[str, Any]:
        """Report a run that a trigger has seen to end. Returns and raises as `look`."""
        if not handle.target_id:
            # Named by its id alone, and never read before it was deferred for.
            run: Any = reader_of(client, handle.kind).get(handle.id)
            handle = replace(handle, target_id=shown_target(run, handle.kind) or "")
        self._note(handle, None)
        return self._judge(outcome_of(client, handle))

    def trigger(self, deadline_at: float, now: float) -> BaseTrigger:
        """What waits on. Times are seconds since the epoch."""
        sensor, wish = self.sensor, self._wish
        if wish is not None:
            from airflow_provider_planasonix.triggers.since import PlanasonixSinceTrigger

            return PlanasonixSinceTrigger(
                wish.kind,
                wish.target_id,
                wish.since.isoformat(),
                wish.job_type,
                wish.wanted_status,
                wish.fail_on_failure,
                sensor.planasonix_conn_id,
                sensor.trigger_interval_seconds,
                deadline_at,
                now,
            )
        from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger

        assert self._seen is not None  # noqa: S101 - a run that is waited for by name has one
        return PlanasonixRunTrigger(
            {**self._seen.to_dict(), "deadline_at": deadline_at},
            TaskKey.of(self.context["ti"]).to_dict(),
            sensor.planasonix_conn_id,
            sensor.trigger_interval_seconds,
            cancel_on_kill=False,
            deferred_at=now,
        )

    def _client(self, **options: Any) -> Planasonix:
        """Raises `_Unreadable` when it is Airflow that cannot tell the connection: a secrets backend may be away."""
        try:
            return self.sensor.hook.get_client(**options)
        except PlanasonixError:
            raise
        except Exception as error:
            raise _Unreadable(str(error)) from error

    # --- steps ----------------------------------------------------------------------------------------------------

    def _find(self, client: Planasonix) -> RunHandle | None:
        """The run whose end is what was waited for."""
        if self._wish is not None:
            return self._find_since(client, self._wish)
        meant = self._seen
        assert meant is not None  # noqa: S101 - as above
        run: Any = reader_of(client, meant.kind).get(meant.id)
        if is_another(run, meant):
            raise not_found(meant.kind, run, meant)
        target_id = meant.target_id or shown_target(run, meant.kind) or ""
        handle = handle_of(meant.kind, run.id, target_id, created_at=_created(run))
        self._note(handle, run)
        return handle if run.phase in ENDED_PHASES else None

    def _find_since(self, client: Planasonix, wish: RunSince) -> RunHandle | None:
        sighting = find_run_since(client, wish)
        if sighting.run is None:
            self._link(None)
            self.log.info("no Planasonix %s yet", wish)
            return None
        handle = handle_of(wish.kind, sighting.run.id, wish.target_id, created_at=_created(sighting.run))
        self._note(handle, sighting.run)
        return None if sighting.verdict == "waiting" else handle

    def _note(self, handle: RunHandle, run: RunView | None) -> None:
        """Link it, and say what is new: the same line once a look would hide what changes."""
        self._seen = handle
        self._link(handle.link(self.sensor.hook.job_url_template))
        if run is not None and self.sensor.said != (said := (run.id, str(run.status))):
            self.sensor.said = said
            self.log.info("Planasonix %s %s is %s", handle.kind, run.id, run.status)

    def _link(self, url: str | None) -> None:
        # Each push is a call to Airflow's server; poking goes on for hours in one process.
        if self.sensor.linked != (url or ""):
            PlanasonixJobLink.push(self.context, url)
            self.sensor.linked = url or ""

    def _read(self, handle: RunHandle) -> Outcome | None:
        try:
            # With more tries than a look: what it loaded is read once.
            with self._client() as client:
                return outcome_of(client, handle)
        except WaitTimeoutError as error:
            self.log.warning("%s", error)
            return None

    def _judge(self, outcome: Outcome) -> dict[str, Any]:
        if self.sensor.wanted_status == "ended":
            self.log.info(headline(outcome) if outcome.succeeded else report(outcome))
            return outcome.to_dict()
        try:
            raise_for_failure(outcome)
        except (RunFailedError, RunCancelledError) as error:
            if self.sensor.soft_fail or self.sensor.never_fail:
                # Airflow puts words of its own in the place of a skip's reason.
                self.log.warning("%s", error)
                raise AirflowSkipException(str(error)) from error
            if isinstance(error, RunCancelledError):
                # Somebody cancelled it on purpose: no retry will find it any better.
                raise AirflowFailException(str(error)) from error
            raise
        level, text = told(outcome)
        getattr(self.log, level)(text)
        return outcome.to_dict()


class _Unreadable(Exception):
    """The connection could not be read; the cause says why."""


class _Memory:
    """How long looks have been failing: in the process, or in Airflow's store where each poke has its own."""

    def __init__(self, sensor: PlanasonixRunSensor, context: Any) -> None:
        self._sensor = sensor
        self._store: Any = context["task_state_store"] if sensor.reschedule and not sensor.deferrable else None
        self._try_number = context["ti"].try_number
        self._patience = sensor.patience = sensor.patience or Patience()
        if self._store is not None:
            stored = self._store.get(_PATIENCE_KEY)
            if isinstance(stored, Mapping) and stored.get("try_number") == self._try_number:
                self._patience = Patience(**stored["patience"])

    def failed(self, error: PlanasonixError | _Unreadable) -> None:
        """Raises the error once it has lasted: 404 two minutes, 401, 403 and no connection five."""
        # Without its connection a task is where one with a refused key is, and as long.
        counted = error if isinstance(error, PlanasonixError) else AuthenticationError(str(error), status_code=401)
        # Wall clock, because the next look may be taken by another process.
        given_up = self._patience.failed(counted, time.time())
        self._keep()
        if given_up is not None:
            raise given_up if counted is error else error.__cause__ or error

    def answered(self) -> None:
        if self._patience != Patience():
            self._patience.answered()
            self._keep()

    def _keep(self) -> None:
        if self._store is not None:
            self._store.set(_PATIENCE_KEY, {"try_number": self._try_number, "patience": asdict(self._patience)})


def named_run(kind: Kind, field: str, value: Any) -> RunHandle:
    """The run that a sensor waits for: from its id, or from the handle or outcome that an operator returned.

    Raises `ConfigurationError`.
    """
    handle = None
    if isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip().startswith("{")):
        handle = RunHandle.named(value, kind=kind, field=field)
    elif isinstance(value, str) and value.strip():
        handle = handle_of(kind, value.strip(), "", created_at=0.0)
    if handle is None:
        raise ConfigurationError(
            f"{field} must be the id of a {kind}, or what an operator returned for one, got {value!r}.",
            field=field,
            hint="Look at the task that it comes from: one that was skipped, or that failed, returns none.",
        )
    if handle.kind != kind:
        raise ConfigurationError(
            f"{field} names a {handle.kind}, not a {kind}.", field=field, hint="Use the sensor for that kind."
        )
    return handle_of(kind, handle.id, handle.target_id, created_at=time.time())


def handle_of(kind: Kind, run_id: str, target_id: str, *, created_at: float) -> RunHandle:
    """A handle that owns nothing. Its deadline is the sensor's, set when it is deferred."""
    return RunHandle(kind, run_id, target_id, owned=False, created_at=created_at, deadline_at=created_at, intent="")


def _created(run: RunView) -> float:
    return time.time() if run.created_at is None else run.created_at.timestamp()
