"""One look of a sensor, on a worker: find the run, say what is new, and report it once it has ended."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import AirflowFailException, AirflowSkipException
from airflow_provider_planasonix.links import PlanasonixJobLink
from airflow_provider_planasonix.task_state import TaskKey
from planasonix.errors import (
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
)
from planasonix.runs.identity import is_another, not_found
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
        self._wish = sensor.wish()
        if self._wish is None:
            named = getattr(sensor, sensor.id_field)
            self._seen = handle_of(sensor.kind, *named_run(sensor.kind, sensor.id_field, named), created_at=time.time())

    def look(self) -> dict[str, Any] | None:
        """The outcome of the run that was waited for; None while there is none.

        Raises `RunFailedError`, `AirflowFailException` for a run that somebody cancelled, `AirflowSkipException` for
        either with `soft_fail`, and what a lasting refusal of the API is.
        """
        memory = _Memory(self.sensor, self.context)
        # A look that fails is taken again: it is the sensor that tries, within its timeout.
        options = {"max_tries": 2, "deadline_seconds": LOOK_SECONDS}
        try:
            with self.sensor.hook.get_client(**options) as client:
                handle = self._find(client)
            outcome = None if handle is None else self._read(handle)
        except ConfigurationError:
            raise
        except PlanasonixError as error:
            memory.failed(error)
            self.log.warning("this look failed, another follows: %s", error)
            return None
        memory.answered()
        return None if outcome is None else self._judge(outcome)

    def finish(self, client: Planasonix, handle: RunHandle) -> dict[str, Any]:
        """Report a run that a trigger has seen to end. Returns and raises as `look`."""
        if not _target_of(handle):
            # Named by its id alone, and never read before it was deferred for.
            run: Any = reader_of(client, handle.kind).get(handle.id)
            shown = _shown_target(handle.kind, run)
            handle = handle_of(handle.kind, handle.id, shown, created_at=handle.created_at)
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

    # --- steps ----------------------------------------------------------------------------------------------------

    def _find(self, client: Planasonix) -> RunHandle | None:
        """The run whose end is what was waited for."""
        if self._wish is not None:
            return self._find_since(client, self._wish)
        meant = self._seen
        assert meant is not None  # noqa: S101 - as above
        run: Any = reader_of(client, meant.kind).get(meant.id)
        target_id = _target_of(meant)
        if target_id and is_another(run, meant):
            raise not_found(meant.kind, run, meant)
        handle = handle_of(meant.kind, run.id, target_id or _shown_target(meant.kind, run), created_at=_created(run))
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
            with self.sensor.hook.get_client() as client:
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
        self.log.info(report(outcome) if outcome.warnings else headline(outcome))
        return outcome.to_dict()


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

    def failed(self, error: PlanasonixError) -> None:
        """Raises the error once it has lasted: 404 two minutes, 401 and 403 five."""
        # Wall clock, because the next look may be taken by another process.
        given_up = self._patience.failed(error, time.time())
        self._keep()
        if given_up is not None:
            raise given_up

    def answered(self) -> None:
        if self._patience != Patience():
            self._patience.answered()
            self._keep()

    def _keep(self) -> None:
        if self._store is not None:
            self._store.set(_PATIENCE_KEY, {"try_number": self._try_number, "patience": asdict(self._patience)})


def named_run(kind: Kind, field: str, value: Any) -> tuple[str, str]:
    """(id, target or "") of a run: from its id, or from the handle or outcome that an operator returned.

    A template that renders such a dictionary gives its text, which is read. Raises `ConfigurationError`.
    """
    target_id = ""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _mapping(value)
    if isinstance(value, Mapping):
        shown = value.get("kind", kind)
        if shown != kind:
            raise ConfigurationError(
                f"{field} names a {shown}, not a {kind}.", field=field, hint="Use the sensor for that kind."
            )
        target_id = str(value.get("target_id") or value.get("connection_id") or value.get("pipeline_id") or "")
        value = value.get("id")
    if not isinstance(value, str) or value.strip() in ("", "None"):
        raise ConfigurationError(
            f"{field} must be the id of a {kind}, or what an operator returned for one, got {value!r}.",
            field=field,
            hint="Look at the task that it comes from: one that was skipped, or that failed, returns none.",
        )
    return value.strip(), target_id


def handle_of(kind: Kind, run_id: str, target_id: str, *, created_at: float) -> RunHandle:
    """A handle that owns nothing. Its deadline is the sensor's, set when it is deferred."""
    # By position: what the target is called differs with the kind.
    return RunHandle(kind, run_id, target_id, False, created_at, created_at, "")


def _target_of(handle: RunHandle) -> str:
    data = handle.to_dict()
    return str(data.get("target_id") or data.get("connection_id") or "")


def _shown_target(kind: Kind, run: Any) -> str:
    return getattr(run, "pipeline_id" if kind == "run" else "connection_id", None) or ""


def _created(run: RunView) -> float:
    return time.time() if run.created_at is None else run.created_at.timestamp()


def _mapping(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text
