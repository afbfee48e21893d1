"""An event is a hint: what its run is, and whose, the API says. A body need not even name a connection (facts §3.1)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_planasonix.triggers.lines import LogLines
from airflow_provider_planasonix.triggers.patience import client_with_patience
from planasonix.errors import NotFoundError

if TYPE_CHECKING:
    from planasonix import AsyncPlanasonix
    from planasonix.webhooks import StoredEvent

KEPT = 1_000
NOT_YET_SECONDS = (2.0, 10.0, 30.0)
"""An API may tell of an end before its own GET shows it: so it is asked again after these."""
_ENDED = ("succeeded", "failed", "cancelled")

_confirmers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Confirmer]] = WeakKeyDictionary()


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

    async def confirmed(self, stored: StoredEvent, lines: LogLines) -> StoredEvent | None:
        """The event with the connection, status, time of end and metadata that the API shows; as it is where it tells
        of no run's end; None if the API knows no such run, or none that has ended.

        Raises what the client raises: the API is away, and the event is to be asked about again.
        """
        event = stored.event
        if event.kind is None or event.object_id is None or event.status is None:
            return stored
        run = await self._ended_run(event.kind, event.object_id, lines)
        if run is None:
            lines.warning(f"passed over: the API knows no ended {event.kind} {event.object_id}")
            return None
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
        for pause in (0.0, *NOT_YET_SECONDS):
            await asyncio.sleep(pause)
            async with self._reading:
                if (kind, run_id) in self._runs:
                    return self._runs[kind, run_id]
                run = await self._read(kind, run_id, lines)
                if run is None or run.phase in _ENDED:
                    self._keep(kind, run_id, run)
                    return run
        return None

    async def _read(self, kind: Any, run_id: str, lines: LogLines) -> Any:
        from planasonix.watch.protocols import reader_of

        if self._client is None:
            self._client = await client_with_patience(self._conn_id, lines)
        with contextlib.suppress(NotFoundError):
            return await reader_of(self._client, kind).get(run_id)
        return None

    def _keep(self, kind: str, run_id: str, run: Any) -> None:
        self._runs[kind, run_id] = run
        if len(self._runs) > KEPT:
            self._runs.popitem(last=False)


def _told_of_its_chain(run: Any) -> dict[str, Any]:
    """What says which event may have started it; a body that says it is believed where the API is silent."""
    told = {name: getattr(run, name, None) for name in ("metadata", "backfill_id")}
    return {name: value for name, value in told.items() if value}
