"""An event is a hint: what its run is, and whose, the API says. A body need not even name a connection (facts §3.1)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_planasonix.triggers.lines import LogLines
from airflow_provider_planasonix.triggers.patience import client_with_patience
from planasonix.errors import APIError, AuthenticationError

if TYPE_CHECKING:
    from planasonix import AsyncPlanasonix
    from planasonix.webhooks import StoredEvent

KEPT = 1_000
NOT_YET_SECONDS = (2.0, 10.0, 30.0, 90.0)
"""An API may tell of an end before its own GET shows it, or even the run: so it is asked again after these."""
_ENDED = ("succeeded", "failed", "cancelled")

_confirmers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Confirmer]] = WeakKeyDictionary()


class Unconfirmed(Exception):
    """The API answers, and does not say that the run has ended: not yet, or never. Its text says what it does say."""


class Confirmer:
    """Reads runs for all watchers of an event loop that use one Airflow connection: each ended run once."""

    def __init__(self, planasonix_conn_id: str) -> None:
        self._conn_id = planasonix_conn_id
        self._reading = asyncio.Lock()
        self._client: AsyncPlanasonix | None = None
        self._runs: OrderedDict[tuple[str, str], Any] = OrderedDict()

    @classmethod
    def of(cls, planasonix_conn_id: str) -> Confirmer:
        """The one of the running event loop."""
        of_loop = _confirmers.setdefault(asyncio.get_running_loop(), {})
        return of_loop.setdefault(planasonix_conn_id, cls(planasonix_conn_id))

    async def confirmed(self, stored: StoredEvent, lines: LogLines) -> StoredEvent:
        """The event with the connection, status, time of end and metadata that the API shows; as it is where it tells
        of no run's end.

        Raises `Unconfirmed` where the API knows no such run, none that has ended, or refuses to show it; and what the
        client raises where the API is away or does not take the key: the event is to be asked about again.
        """
        event = stored.event
        if event.kind is None or event.object_id is None or event.status is None:
            return stored
        run = await self._ended_run(event.kind, event.object_id, lines)
        ended: Any = getattr(run, "finished_at", None) or getattr(run, "updated_at", None) or event.occurred_at
        told = replace(
            event,
            connection_id=getattr(run, "connection_id", None) or event.connection_id,
            status=run.phase,
            occurred_at=None if ended is None else ended.astimezone(UTC),
            payload={**event.payload, **_told_of_its_chain(run)},
        )
        return replace(stored, event=told)

    async def _ended_run(self, kind: Any, run_id: str, lines: LogLines) -> Any:
        async with self._reading:
            if (kind, run_id) not in self._runs:
                run = await self._read(kind, run_id, lines)
                if run.phase not in _ENDED:
                    raise Unconfirmed(f"the API shows {kind} {run_id} as {run.phase}")
                self._keep(kind, run_id, run)
            return self._runs[kind, run_id]

    async def _read(self, kind: Any, run_id: str, lines: LogLines) -> Any:
        from planasonix.watch.protocols import reader_of

        if self._client is None:
            self._client = await client_with_patience(self._conn_id, lines)
        try:
            return await reader_of(self._client, kind).get(run_id)
        except AuthenticationError:
            raise
        except APIError as error:
            if error.retryable:
                raise
            raise Unconfirmed(f"the API answers for {kind} {run_id}: {error.headline()}") from error

    def _keep(self, kind: str, run_id: str, run: Any) -> None:
        self._runs[kind, run_id] = run
        if len(self._runs) > KEPT:
            self._runs.popitem(last=False)


def _told_of_its_chain(run: Any) -> dict[str, Any]:
    """What says which event may have started it; a body that says it is believed where the API is silent."""
    told = {name: getattr(run, name, None) for name in ("metadata", "backfill_id")}
    return {name: value for name, value in told.items() if value}
