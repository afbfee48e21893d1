"""What one tick of the polling sensor makes of the runs that the core finds: Dagster's events, or none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix.closing import closing_entry
from dagster_planasonix.events import AssetEvent
from dagster_planasonix.ledger import LedgerEntry
from dagster_planasonix.sensors.external import expected_tables, run_events
from dagster_planasonix.sensors.not_told import not_told_events
from dagster_planasonix.sensors.owners import Owned, Owners
from dagster_planasonix.sensors.told import DAGSTER_RUN, TOLD_BY, Told, since_when
from dagster_planasonix.sensors.watched import Watched
from planasonix.errors import PlanasonixError
from planasonix.runs import Interest, NoRoomError, Outcome, RunHandle, give_up, headline, outcome_of
from planasonix.watch import Kind

if TYPE_CHECKING:
    from planasonix import Planasonix
    from planasonix.runs.effects import RunView

AT_DEADLINE = "planasonix/cancelled_at_deadline"
_CALL_SECONDS = 15.0
_CANCEL_SECONDS = 5.0
_BEYOND_SECONDS = 15.0
"""How long after its time a tick may go on with the run that it is at: Dagster ends one after sixty seconds."""
_EVENTS_OF_A_TICK = 5_000
"""With so many the tick takes no further run: they go through one message, see `external.EVENTS_AT_MOST`."""
_RUNS_REMEMBERED = 20

Read = dict[str, dict[str, Any]]
"""Results that ticks have read, by the id of the run and of its job."""


class ResultsNotReadError(PlanasonixError):
    """How the run ended is known, and not what it loaded. Later ticks read its results again.

    `run` and `owned` are what the last of them needs to tell what is known.
    """

    def __init__(self, outcome: Outcome, run: RunView, owned: Owned) -> None:
        missing = [warning.message for warning in outcome.warnings if warning.code == "results_not_read"]
        super().__init__(f"not all of {outcome.kind} {outcome.id} could be read: {'; '.join(missing)}")
        self.seen = outcome
        self.run = run
        self.owned = owned


class TickListener:
    """Collects `events` for the tick's result. `summary` has a line for each end that was told.

    `cancel_at_deadline`: whether a detached run that goes on past its deadline is cancelled. `seconds`: how long from
    now results of jobs are read. `read` keeps those of a run for whose jobs one tick is too short: the same object
    given to the next tick lets it go on there.
    """

    def __init__(
        self,
        client: Planasonix,
        instance: dg.DagsterInstance,
        watched: Watched,
        *,
        sensor_name: str,
        cancel_at_deadline: bool = True,
        data_version_from_checksum: bool = False,
        seconds: float | None = None,
        read: Read | None = None,
        log: Callable[[str, str], None],
    ) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds
        self._last = None if seconds is None else time.monotonic() + seconds + _BEYOND_SECONDS
        self._read: Read = {} if read is None else read
        self.events: list[AssetEvent] = []
        self.summary: list[str] = []
        self._client = client
        self._instance = instance
        self._watched = watched
        self._sensor_name = sensor_name
        self._cancel_at_deadline = cancel_at_deadline
        self._versions = data_version_from_checksum
        self._log = log
        self._owners = Owners(instance, client.config.base_url)

    def sees(self, connection_id: str, kind: Kind, run: RunView) -> Interest:
        """What a step waits for is the step's business; what one only submitted is told here, until its deadline."""
        owned = self._whose(connection_id, kind, run)
        if owned.whose == "step":
            return Interest(wanted=False)
        if owned.whose == "detached" and owned.entry is not None and owned.entry.record is not None:
            return Interest(even_if_old=True, due_at=owned.entry.record.deadline_at)
        return Interest(sure=owned.whose == "other")

    def ended(self, connection_id: str, kind: Kind, run: RunView) -> None:
        if len(self.events) >= _EVENTS_OF_A_TICK:
            raise NoRoomError
        owned = self._whose(connection_id, kind, run)
        entry = _detached(owned)
        handle = None if entry is None else entry.handle
        expected = expected_tables(
            self._watched, connection_id, asked_tables=getattr(run, "tables", None), selected=_selected(entry)
        )
        outcome = outcome_of(
            self._client.with_options(deadline_seconds=self._at_most(_CALL_SECONDS)),
            handle or _handle(connection_id, kind, run),
            expected_tables=expected,
            ended=run,
            seconds=None if self._until is None else self._until - time.monotonic(),
            read_before=self._read_of(run.id),
        )
        if any(warning.code == "results_not_read" for warning in outcome.warnings):
            raise ResultsNotReadError(outcome, run, owned)
        self._read.pop(run.id, None)
        self._tell(kind, run, outcome, owned)

    def overdue(self, connection_id: str, kind: Kind, run: RunView) -> None:
        """A detached run has no step that ends it at its deadline. Its end is told in a later tick."""
        entry = _detached(self._whose(connection_id, kind, run))
        handle = None if entry is None else entry.handle
        if entry is None or entry.record is None or handle is None:
            return
        # The step's workspace and the sensor's may be two: either may have said that nothing is cancelled.
        wanted = self._cancel_at_deadline and not entry.record.leave_running
        # A read, the cancel, and of a backfill the wait for its end.
        each = self._at_most(_CANCEL_SECONDS, of=3)
        client = self._client.with_options(deadline_seconds=each)
        told = give_up(client, handle, wanted=wanted, patience_seconds=each)
        self._log("warning", f"The deadline of a detached run has passed. {told}")
        self.summary.append(told)

    def given_up(self, connection_id: str, kind: Kind, run_id: str, why: Exception, created_at: float) -> None:
        """Nothing may get lost without a word: what is known is told, or that nothing is."""
        self._read.pop(run_id, None)
        if isinstance(why, ResultsNotReadError):
            self._tell(kind, why.run, why.seen, why.owned)
            return
        try:
            entry = _detached(self._owned(connection_id, kind, run_id, created_at))
        except Exception as error:
            # Reading the ledger may be what failed all the time.
            self._log("warning", f"which run had started {kind} {run_id} could not be read: {error!r}")
            entry = None
        text, events = not_told_events(
            self._watched,
            connection_id,
            kind,
            run_id,
            why,
            entry=entry,
            sensor_name=self._sensor_name,
            job_url_template=self._client.config.job_url_template,
        )
        self.events += events
        self.summary.append(text)

    def _at_most(self, seconds: float, *, of: int = 1) -> float:
        """So many seconds for each `of` some calls, or fewer where the tick has to end before."""
        return seconds if self._last is None else max(1.0, min(seconds, (self._last - time.monotonic()) / of))

    def _events(self, outcome: Outcome, entry: LedgerEntry | None, asked: Any) -> list[AssetEvent]:
        metadata: dict[str, Any] = {TOLD_BY: self._sensor_name}
        if entry is not None and entry.record is not None:
            metadata[DAGSTER_RUN] = entry.owner.run_id
            if outcome.status == "cancelled" and _is_past(entry.record.deadline_at):
                metadata[AT_DEADLINE] = True
        return run_events(
            outcome,
            self._watched,
            asked_tables=asked,
            selected=_selected(entry),
            partition=None if entry is None else entry.partition,
            instance=self._instance,
            metadata=metadata,
            data_version_from_checksum=self._versions,
        )

    def _read_of(self, run_id: str) -> dict[str, Any]:
        while len(self._read) >= _RUNS_REMEMBERED and run_id not in self._read:
            del self._read[next(iter(self._read))]
        return self._read.setdefault(run_id, {})

    def _tell(self, kind: Kind, run: RunView, outcome: Outcome, owned: Owned) -> None:
        entry = _detached(owned)
        events = self._events(outcome, entry, getattr(run, "tables", None))
        began = since_when(_created_at(run), self._client.clock_offset_seconds, None if entry is None else entry.record)
        told = Told(self._instance, kind, run.id, began)
        # Of a run that the ledger names, a step or reconcile may have told before, in another order.
        self.events += told.untold(events, by_sensors=owned.entry is None)
        self.summary.append(headline(outcome))
        self._log("info" if outcome.succeeded else "warning", headline(outcome))
        if entry is not None:
            template = self._client.config.job_url_template
            closing = closing_entry(self._instance, entry, outcome, job_url_template=template)
            self.events += [] if closing is None else [closing]

    def _whose(self, connection_id: str, kind: Kind, run: RunView) -> Owned:
        return self._owned(connection_id, kind, run.id, _created_at(run))

    def _owned(self, connection_id: str, kind: Kind, run_id: str, created_at: float) -> Owned:
        """`created_at` by the API's clock, 0 where it shows none."""
        by_our_clock = created_at - (self._client.clock_offset_seconds or 0.0) if created_at else None
        return self._owners.whose(connection_id, kind, run_id, by_our_clock)


def _detached(owned: Owned) -> LedgerEntry | None:
    """The entry of a run whose end is told here for a step that is over."""
    return owned.entry if owned.whose == "detached" else None


def _selected(entry: LedgerEntry | None) -> list[dg.AssetKey] | None:
    """What the step was to load; None without one, or where it does not say."""
    if entry is None or entry.record is None:
        return None
    return [dg.AssetKey.from_user_string(key) for key in entry.owner.asset_keys] or None


def _handle(connection_id: str, kind: Kind, run: RunView) -> RunHandle:
    created_at = _created_at(run)
    return RunHandle(kind, run.id, connection_id, False, created_at, created_at, "")


def _created_at(run: RunView) -> float:
    return 0.0 if run.created_at is None else run.created_at.timestamp()


def _is_past(deadline_at: float | None) -> bool:
    return deadline_at is not None and deadline_at <= time.time()
