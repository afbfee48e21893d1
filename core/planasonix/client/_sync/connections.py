# Generated from ../_async/connections.py by scripts/unasync.py. Edit that file, then run "python -m scripts.unasync".
# fmt: off
"""Connections: start syncs and backfills, and see what there is to load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from planasonix.client._sync.calls import Caller
from planasonix.client.building import body_of, listed, query_of
from planasonix.client.reading import one, page, read_json
from planasonix.client.routes import checked_id
from planasonix.engine import Page
from planasonix.errors import ConfigurationError
from planasonix.models import (
    Backfill,
    BackfillRequestBody,
    Connection,
    ConnectionColumns,
    ConnectionTables,
    Job,
    SyncRequestBody,
)

if TYPE_CHECKING:
    from planasonix.client._sync.client import Planasonix


class Connections:
    """`client.connections`: configured sources and destinations. Source: facts §1.1 (starts) and §1.5 (the
    rest).
    """

    def __init__(self, client: Planasonix, caller: Caller) -> None:
        self._client = client
        self._caller = caller

    def sync(
        self,
        connection_id: str,
        *,
        pipeline_id: str | None = None,
        priority: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Start an incremental sync; the job as accepted, usually `queued`.

        `priority` is "low", "normal" or (by plan) "high". `metadata` is any JSON object; the documents do
        not say that it comes back. `idempotency_key` names this start: sent again under the same key with
        the same arguments, a server that honours keys starts nothing new. Without one, a random key
        protects the retries of this call alone.

        Raises `ConflictError` if the connection is busy. Any error whose `outcome` is "unknown" may have
        started a job.

            job = client.connections.sync("conn_01jq8k2m3n4p5q6r7s8t9u0v1")
            job = client.jobs.wait(job.id)
        """
        body = body_of(SyncRequestBody, pipeline_id=pipeline_id, priority=priority, metadata=_copy(metadata))
        started = self._client.start("connections.sync", connection_id, body, idempotency_key)
        return cast("Job", started.run)

    def backfill(
        self,
        connection_id: str,
        *,
        start_at: datetime | str,
        end_at: datetime | str,
        tables: Sequence[str] | None = None,
        priority: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Backfill:
        """Start a historical load from `start_at` to `end_at`; the backfill as accepted.

        Both are aware datetimes, or ISO 8601 with an offset. `tables` are schema-qualified names
        ("public.orders"); None loads all. Whether `end_at` is included is not documented (facts §4.2, C37).
        The other arguments, and errors, are those of `sync`.
        """
        body = body_of(
            BackfillRequestBody,
            start_at=start_at,
            end_at=end_at,
            tables=listed("tables", tables),
            priority=priority,
            metadata=_copy(metadata),
        )
        started = self._client.start("connections.backfill", connection_id, body, idempotency_key)
        return cast("Backfill", started.run)

    def get(self, connection_id: str) -> Connection:
        """One connection with its settings, which hold no secrets. Raises `NotFoundError`."""
        parameters = {"connection_id": checked_id("connection_id", connection_id)}
        answer = self._caller.call("connections.get", parameters, read_json)
        return one(answer, Connection, "connection")

    def list(
        self, *, type: str | None = None, search: str | None = None, max_pages: int | None = None
    ) -> Iterator[Connection]:
        """All connections, sources and destinations alike. `type` is the connector's, `search` matches the
        name.
        """

        def fetch(cursor: str | None):
            return self.list_page(cursor=cursor, type=type, search=search)

        return self._caller.walk(fetch, lambda connection: connection.id, max_pages)

    def list_page(
        self, *, cursor: str | None = None, type: str | None = None, search: str | None = None
    ) -> Page[Connection]:
        """One page of `list`. No paging is documented here, but a cursor is followed should one come."""
        query = query_of({"type": type, "search": search, "cursor": cursor})
        answer = self._caller.call("connections.list", {}, read_json, query=query)
        return page(answer, Connection, "connections")

    def tables(self, connection_id: str, *, schema: str | None = None) -> ConnectionTables:
        """The tables and views that the connection sees, of one schema or of the default one."""
        parameters = {"connection_id": checked_id("connection_id", connection_id)}
        answer = self._caller.call(
            "connections.tables", parameters, read_json, query=query_of({"schema": schema})
        )
        return one(answer, ConnectionTables)

    def columns(self, connection_id: str, table: str, *, schema: str | None = None) -> ConnectionColumns:
        """The columns of a table: names, types, and whether they may be null."""
        parameters = {"connection_id": checked_id("connection_id", connection_id)}
        if not table:
            raise ConfigurationError("table is empty", field="table", hint="Pass the name of a table.")
        query = query_of({"schema": schema, "table": table})
        answer = self._caller.call("connections.columns", parameters, read_json, query=query)
        return one(answer, ConnectionColumns)


def _copy(metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if metadata is None else dict(metadata)
