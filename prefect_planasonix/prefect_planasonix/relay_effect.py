"""What the relay does for one event of the inbox: tell Prefect of the end, and wake the flow runs that wait for it.

Both may be done any number of times: an event has the id that the flow run itself would give it, and is not sent where
Prefect has it already; a run that does not sleep for us, or whose jobs still run, is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from planasonix.errors import AuthenticationError, NotFoundError, PlanasonixError
from planasonix.runs import RunHandle
from planasonix.watch.protocols import ENDED_PHASES
from planasonix.webhooks import Cause
from prefect_planasonix.events import EventToTell, ended_event, related_to
from prefect_planasonix.ledger import LedgerError
from prefect_planasonix.reconcile_source import PrefectSource
from prefect_planasonix.relay_owners import Owners
from prefect_planasonix.resuming import resume_all

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from planasonix import Planasonix
    from planasonix.runs import RunView
    from planasonix.watch import Kind
    from planasonix.webhooks import StoredEvent
    from prefect_planasonix.ledger_entry import LedgerEntry

NOT_THERE_YET = timedelta(minutes=2)
"""An API may tell of a run before its own GET finds it: for so long after its event that is borne."""
_COMES_BACK = (401, 403, 408, 425, 429)
"""Answers of Prefect's API, beside those of 500 and above, that say nothing against the event."""


class NotEndedYetError(PlanasonixError):
    """The event tells of an end, and the API shows none: it is early, or not true. It is looked at again later."""


class RelayEffect:
    """Call it with each stored event: for `consume`.

    :param client: asks whether a job has ended, and how: an event is a hint.
    :param credentials_block: the name of the block that the client was made of.
    :param depth_of: how many runs of a run's chain events have started, as the inbox knows it.

    Raises `TryLater` where Prefect or Planasonix is away or refuses the key, `NotEndedYetError`, and for an event that
    Prefect does not take what its client raises.
    """

    def __init__(
        self,
        client: Planasonix,
        prefect: SyncPrefectClient,
        *,
        credentials_block: str | None = None,
        depth_of: Callable[[Kind, str], int] = lambda kind, run_id: 0,
        log: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._depth_of = depth_of
        self._client, self._prefect, self._log = client, prefect, log
        self._block = credentials_block
        self._owners = Owners(prefect, self._source())

    def __call__(self, stored: StoredEvent) -> None:
        event = stored.event
        if event.kind is None or event.object_id is None or event.status is None:
            return
        with _told_as_away():
            run = self._ended(event.kind, event.object_id)
            if run is None:
                if datetime.now(UTC) - stored.received_at < NOT_THERE_YET:
                    raise NotEndedYetError(f"{event.kind} {event.object_id} cannot be found with this key so far.")
                self._log(f"{event.kind} {event.object_id} cannot be found with this key: nothing to tell")
                return
            entries = self._owners.of(event.kind, event.object_id)
            depth = max(
                Cause.of(stored).depth,
                self._depth_of(event.kind, event.object_id),
                *(entry.record.depth for entry in entries),
            )
            for told in self._events(event.kind, run, entries, depth):
                self._send(told)
            for entry in entries:
                if entry.deferral:
                    self._wake(str(entry.flow_run_id))

    def _ended(self, kind: Kind, run_id: str) -> RunView | None:
        readers: dict[Kind, Any] = {
            "job": self._client.jobs,
            "backfill": self._client.backfills,
            "run": self._client.runs,
        }
        try:
            run = readers[kind].get(run_id)
        except NotFoundError:
            return None
        if run.phase not in ENDED_PHASES:
            raise NotEndedYetError(f"An event tells of the end of {kind} {run_id}; the API shows it as {run.status}.")
        return run

    def _events(self, kind: Kind, run: RunView, entries: list[LedgerEntry], depth: int) -> Iterator[EventToTell]:
        """One for each flow run that asked for the job; one of its own where none did."""
        from prefect.exceptions import ObjectNotFound

        from planasonix.runs import outcome_of

        is_told = False
        for entry in entries:
            try:
                flow_run = self._prefect.read_flow_run(UUID(str(entry.flow_run_id)))
            except ObjectNotFound:
                continue
            handle = entry.handle
            assert handle is not None  # noqa: S101 - the index holds only entries that name a job
            outcome = outcome_of(self._client, handle, ended=run)
            is_told = True
            yield ended_event(outcome, flow_run_id=flow_run.id, related=related_to(flow_run), depth=depth)
        if not is_told:
            yield ended_event(outcome_of(self._client, _handle_of(kind, run), ended=run), depth=depth)

    def _send(self, told: EventToTell) -> None:
        """Post it and wait for the answer: `emit_event` returns before anything was sent."""
        from prefect.events import Event

        known = {"filter": {"id": {"id": [str(told.id)]}, "event": {"name": [told.event]}}, "limit": 1}
        # Prefect's automations remember an id for a while only, and the flow may have told of this end long ago.
        if self._prefect.request("POST", "/events/filter", json=known).json()["events"]:
            return
        event = Event.model_validate(
            {
                "id": told.id,
                "occurred": datetime.now(UTC),
                "event": told.event,
                "resource": dict(told.resource),
                "related": [dict(each) for each in told.related],
                "payload": dict(told.payload),
            }
        )
        self._prefect.request("POST", "/events", json=[event.model_dump(mode="json")])  # pyright: ignore[reportArgumentType]
        self._log(f"told Prefect: {told.event} of {told.resource['prefect.resource.id']}")

    def _wake(self, flow_run_id: str) -> None:
        """Resume it if it sleeps for us, and what it sleeps for has ended."""
        from planasonix.webhooks.inbox import TryLater

        done = resume_all(self._client, self._prefect, self._source(flow_run_id), dry_run=False, log=self._log)
        if any(each.action == "not_resumed" for each in done):
            raise TryLater(f"flow run {flow_run_id} could not be resumed")

    def _source(self, flow_run_id: str | None = None) -> PrefectSource:
        of = self._client.config
        return PrefectSource(self._prefect, flow_run_id=flow_run_id, of=of, credentials_block=self._block)


def _handle_of(kind: Kind, run: Any) -> RunHandle:
    """For a job that no flow run asked for."""
    from planasonix.runs.target import shown_target

    now = time.time()
    created = run.created_at.timestamp() if run.created_at is not None else now
    return RunHandle(kind, run.id, shown_target(run, kind) or "", False, min(created, now), now, "")


@contextmanager
def _told_as_away() -> Iterator[None]:
    """Turns the errors of somebody who comes back into `TryLater`: the stream waits, and no try is counted."""
    import httpx

    from planasonix.webhooks.inbox import TryLater

    try:
        yield
    except LedgerError as error:
        raise TryLater(error.headline()) from error
    except NotEndedYetError:
        raise
    except AuthenticationError as error:
        raise TryLater(f"Planasonix refuses the key: {error.headline()}", seconds=60.0) from error
    except PlanasonixError as error:
        if error.retryable:
            raise TryLater(error.headline()) from error
        raise
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status >= 500 or status in _COMES_BACK:
            raise TryLater(f"Prefect's API answers {status}") from None
        # Its own text may quote what was sent.
        raise RuntimeError(f"Prefect's API refuses it with {status}") from None
    except httpx.TransportError as error:
        raise TryLater(f"Prefect's API cannot be reached: {type(error).__name__}") from None
