"""Ask the API which connections and tables there are: once for the list, then once for each that is selected."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from dagster_planasonix.selection import ConnectionSelector, selected, takes_all
from dagster_planasonix.state import ColumnState, ConnectionState, TableState, WorkspaceState

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace
    from planasonix import Planasonix
    from planasonix.models import Connection

logger = logging.getLogger(__name__)

MAX_WORKERS = 8
"""Calls at a time. The client's rate budget holds them back further where the server asks for that."""
_LISTS_NO_TABLES = (400, 404, 422)
_PAUSED_WORDS = frozenset({"paused", "disabled", "inactive"})


def fetch_state(
    workspace: PlanasonixWorkspace,
    connection_selector: ConnectionSelector | None = None,
    *,
    include_columns: bool = False,
    max_workers: int = MAX_WORKERS,
) -> WorkspaceState:
    """The selected connections and their tables without views, as plain data.

    :param workspace: may still have `dg.EnvVar` in its fields.
    :param connection_selector: applied to the list, before anything is asked of a connection. None and `all` take all.
    :param include_columns: also ask for the columns of each table, a call a table.
    :param max_workers: calls at a time.

    Costs a call for the list, one a connection, and with columns one a table (facts §1.5). Raises what the API raises,
    and `ConfigurationError` if the selector fits nothing. A connection of which the server lists no tables, such as a
    bucket, has none where nobody selected it, with a warning in the log; else the error is raised.

        state = fetch_state(PlanasonixWorkspace(api_key=dg.EnvVar("PLANASONIX_API_KEY")), ["conn_shop_orders"])
    """
    state = fetch_into(None, workspace, connection_selector, include_columns=include_columns, max_workers=max_workers)
    return state._replace(connections=tuple(selected(state.connections, connection_selector)))


def fetch_into(
    known: WorkspaceState | None,
    workspace: PlanasonixWorkspace,
    connection_selector: ConnectionSelector | None = None,
    *,
    include_columns: bool = False,
    max_workers: int = MAX_WORKERS,
) -> WorkspaceState:
    """What `known` lacks, put into it: the whole list, with the tables of those that were ever selected."""
    if known is not None and not _lacking(known.connections, connection_selector, include_columns):
        return known
    client = workspace.get_client()
    rows = tuple(map(connection_of, client.connections.list())) if known is None else known.connections
    lacking = _lacking(rows, connection_selector, include_columns)
    ask = partial(_with_tables, client, may_have_none=takes_all(connection_selector))
    fetched = _together(max_workers, [partial(ask, each) for each in lacking])
    if include_columns:
        fetched = _with_columns(client, max_workers, fetched)
    by_id = {each.id: each for each in fetched}
    connections = tuple(by_id.get(each.id, each) for each in rows)
    return WorkspaceState(known.fetched_at if known else datetime.now(UTC), client.config.base_url, connections)


def connection_of(row: Connection) -> ConnectionState:
    """A row of the list as plain data: nothing of its settings, nor fields that we do not know.

    Whether a connection is paused, its state and its schedule are not in the published body (facts §1.5), so they are
    read where a server has them: `status`, `paused`, `schedule` as cron text or as `{cron, timezone}`.
    """
    more = row.model_extra or {}
    status, paused, schedule = more.get("status"), more.get("paused"), more.get("schedule")
    status = status if isinstance(status, str) else None
    if not isinstance(paused, bool):
        paused = status.lower() in _PAUSED_WORDS if status else None
    zone: Any = None
    if isinstance(schedule, dict):
        schedule, zone = schedule.get("cron") or schedule.get("cron_expression"), schedule.get("timezone")
    return ConnectionState(
        row.id,
        row.name,
        row.type,
        status,
        paused,
        schedule if isinstance(schedule, str) else None,
        zone if isinstance(zone, str) else None,
    )


def _lacking(
    rows: Iterable[ConnectionState], connection_selector: ConnectionSelector | None, include_columns: bool
) -> list[ConnectionState]:
    return [each for each in selected(rows, connection_selector) if not _is_whole(each, include_columns)]


def _is_whole(connection: ConnectionState, include_columns: bool) -> bool:
    tables = connection.tables
    return tables is not None and not (include_columns and any(each.columns is None for each in tables))


def _with_tables(client: Planasonix, connection: ConnectionState, *, may_have_none: bool) -> ConnectionState:
    from planasonix.errors import APIError

    try:
        listed = client.connections.tables(connection.id)
    except APIError as error:
        if not may_have_none or error.status_code not in _LISTS_NO_TABLES:
            raise
        logger.warning("Planasonix lists no tables of %s, so it has no assets: %s", connection.label, error.headline())
        return connection._replace(tables=())
    tables: dict[tuple[str | None, str], TableState] = {}
    for each in listed.tables:
        if not each.is_view:
            schema = each.schema_name or listed.schema_name or None
            tables.setdefault((schema, each.name), TableState(schema, each.name))
    return connection._replace(tables=tuple(tables.values()))


def _with_columns(client: Planasonix, max_workers: int, connections: list[ConnectionState]) -> list[ConnectionState]:
    def columns(connection_id: str, table: TableState) -> TableState:
        found = client.connections.columns(connection_id, table.name, schema=table.schema).columns
        return table._replace(columns=tuple(ColumnState(each.name, each.type, each.nullable) for each in found))

    calls = [partial(columns, each.id, table) for each in connections for table in each.tables or ()]
    asked = iter(_together(max_workers, calls))
    return [each._replace(tables=tuple(next(asked) for _ in each.tables or ())) for each in connections]


def _together(max_workers: int, calls: list[Callable[[], Any]]) -> list[Any]:
    from planasonix.client.together import Together

    return Together(max_workers).run(calls)
