"""The connection reference: flat camelCase bodies, outside the v1 envelope."""

from __future__ import annotations

from typing import Any

from . import connections, seeding, views
from .calls import Call, Route
from .clock import to_text
from .connections import Connection
from .reading import json_object, not_found, object_field, text
from .replies import Answer, Refusal, invalid
from .routes_runs import find_connection

READ, WRITE = "connections:read", "connections:write"
MAX_SETTINGS = 100
MASKED = "********"
_PREVIEW_ROWS = 5
_SERVER_VERSIONS = {"postgres": "PostgreSQL 15.4", "mysql": "MySQL 8.0.36", "oracle": "Oracle 19c"}


def list_all(call: Call) -> Answer:
    kind, search = call.query.filter("type"), call.query.filter("search")
    rows = [
        views.connection(each, views.CONNECTION_ROW)
        for each in call.state.connections.values()
        if (kind is None or each.type == kind) and (search is None or search.lower() in each.name.lower())
    ]
    return Answer(200, {"data": rows, "meta": {"total": len(rows)}})


def create(call: Call) -> Answer:
    state = call.state
    body = json_object(call.body)
    connection = Connection(
        id="",
        name=text(body, "name", required=True) or "",
        type=text(body, "type", required=True) or "",
        schema="public",
        tables={"records": 1_200},
        config=_without_secrets(object_field(body, "config", required=True, most=MAX_SETTINGS) or {}),
        credential_id=text(body, "credentialId"),
        created=state.now,
        updated=state.now,
    )
    connection.id = state.ids.new("conn")
    state.connections[connection.id] = connection
    effect = {"connection_created": connection.id}
    return Answer(201, views.connection(connection, views.CREATED_CONNECTION), effect)


def _without_secrets(config: dict[str, Any]) -> dict[str, Any]:
    """Secrets belong in a credential; one that stands in `config` all the same is never shown again."""
    words = ("password", "secret", "token", "privatekey", "private_key")
    return {name: MASKED if any(word in name.lower() for word in words) else value for name, value in config.items()}


def get(call: Call) -> Answer:
    return Answer(200, views.connection(find_connection(call, call.params["id"]), views.CONNECTION))


def update(call: Call) -> Answer:
    connection = find_connection(call, call.params["id"])
    body = json_object(call.body)
    name, config = text(body, "name"), object_field(body, "config", most=MAX_SETTINGS)
    credential_id = text(body, "credentialId")
    connection.name = name or connection.name
    connection.config = _without_secrets(config) if config is not None else connection.config
    connection.credential_id = credential_id or connection.credential_id
    connection.updated = call.state.now
    return Answer(200, views.connection(connection, views.CONNECTION), {"connection_updated": connection.id})


def delete(call: Call) -> Answer:
    connection = find_connection(call, call.params["id"])
    state = call.state
    if state.jobs.active(connection.id, "connection_sync") or state.backfills.active(connection.id):
        raise Refusal(409, "The connection has active jobs")
    del state.connections[connection.id]
    body = {"ok": True, "id": connection.id, "deletedAt": to_text(state.now)}
    return Answer(200, body, {"connection_deleted": connection.id})


def test(call: Call) -> Answer:
    body = json_object(call.body)
    kind = text(body, "type", required=True) or ""
    object_field(body, "config", required=True, most=MAX_SETTINGS)
    text(body, "credentialId")
    latency = seeding.between(20, 200, call.state.seed, "latency", kind)
    version = _SERVER_VERSIONS.get(kind, f"{kind} 1.0")
    return Answer(
        200,
        {"ok": True, "latencyMs": latency, "serverVersion": version, "message": "Connection successful."},
    )


def _addressed(call: Call) -> Connection:
    """The connection of a route that takes its id from the path or from `connectionId` in the query."""
    identifier = call.params.get("id") or call.query.filter("connectionId")
    if identifier is None:
        raise invalid("connectionId", "blank", "Missing required parameter: connectionId")
    return find_connection(call, identifier)


def tables(call: Call) -> Answer:
    connection = _addressed(call)
    schema = call.query.filter("schema") or connection.schema
    found: list[dict[str, str]] = []
    if schema == connection.schema:
        found += [{"name": name, "type": "TABLE"} for name in connection.tables]
        found += [{"name": name, "type": "VIEW"} for name in connection.views]
    return Answer(200, {"connectionId": connection.id, "schema": schema, "tables": found})


def _table(call: Call, connection: Connection, name: str) -> str:
    schema = call.query.filter("schema") or connection.schema
    if schema != connection.schema or name not in (*connection.tables, *connection.views):
        raise not_found("table", f"{schema}.{name}")
    return name


def columns(call: Call) -> Answer:
    connection = _addressed(call)
    name = call.query.filter("table")
    if name is None:
        raise invalid("table", "blank", "Missing required parameter: table")
    table = _table(call, connection, name)
    found = [column._asdict() for column in connections.columns_of(table)]
    return Answer(
        200,
        {"connectionId": connection.id, "schema": connection.schema, "table": table, "columns": found},
    )


def preview(call: Call) -> Answer:
    connection = find_connection(call, call.params["id"])
    limit = call.query.whole("limit", 1, 1_000) or _PREVIEW_ROWS
    name = call.query.filter("table")
    known = [*connection.tables, *connection.views]
    if name is None and not known:
        raise not_found("table of the connection", connection.id)
    table = _table(call, connection, name if name is not None else known[0])
    wanted = connections.columns_of(table)
    count = min(limit, _PREVIEW_ROWS)
    rows = [[_cell(call, column, table, row) for column in wanted] for row in range(count)]
    return Answer(200, {"columns": [column.name for column in wanted], "rows": rows, "truncated": True})


def _cell(call: Call, column: connections.Column, table: str, row: int) -> str | int | None:
    drawn = seeding.number(call.state.seed, table, column.name, row)
    if column.nullable and drawn % 5 == 0:
        return None
    if column.type in ("BIGINT", "INTEGER"):
        return 1_001 + row if column.name.endswith("_id") else drawn % 20_000
    if column.type == "TIMESTAMPTZ":
        return to_text(call.state.now - drawn % 86_400)
    return f"{drawn:016x}"


def files(call: Call) -> Answer:
    connection = find_connection(call, call.params["id"])
    if connection.type != "s3":
        raise invalid("id", "not_cloud_storage", "The connection is no cloud storage")
    prefix = call.query.filter("prefix") or "raw/events/"
    call.query.filter("delimiter")
    day = (to_text(call.state.now - 86_400) or "")[:10].replace("-", "/")
    today = (to_text(call.state.now) or "")[:10].replace("-", "/")
    base = prefix if prefix.endswith("/") else f"{prefix}/"
    objects = [
        {"key": f"{base}{day}/part-000.parquet", "size": 8_388_608, "lastModified": to_text(call.state.now)},
        {"key": f"{base}{day}/_SUCCESS", "size": 0, "lastModified": to_text(call.state.now)},
    ]
    return Answer(200, {"prefix": prefix, "objects": objects, "commonPrefixes": [f"{base}{today}/"]})


def test_query(call: Call) -> Answer:
    body = json_object(call.body)
    identifier = text(body, "connectionId", required=True) or ""
    sql = text(body, "sql", required=True, longest=10_000) or ""
    limit = body.get("limit", 100)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 1_000:
        raise invalid("limit", "out_of_range", "limit must be a whole number from 1 to 1000")
    connection = find_connection(call, identifier)
    seed = call.state.seed
    rows = [
        [region, seeding.between(5_000_000, 20_000_000, seed, connection.id, sql, region) / 100]
        for region in ("US-West", "EU-Central")
    ]
    scanned = seeding.between(10_000, 900_000, seed, connection.id, sql)
    return Answer(
        200,
        {
            "ok": True,
            "columns": ["region", "revenue_usd"],
            "rows": rows[:limit],
            "stats": {"rowsScanned": scanned, "executionMs": scanned // 550},
        },
    )


def discover(call: Call) -> Answer:
    body = json_object(call.body)
    identifier = text(body, "connectionId", required=True) or ""
    wanted = text(body, "catalog")
    connection = find_connection(call, identifier)
    if connection.type != "databricks":
        raise invalid("connectionId", "not_databricks", "The connection is not backed by Databricks")
    found = [
        {"name": name, "schemas": list(schemas)} for name, schemas in connections.CATALOGS if wanted in (None, name)
    ]
    return Answer(200, {"connectionId": connection.id, "catalogs": found})


_ONE = "/api/connections/{id}"
ROUTES = [
    Route("GET", "/api/connections", "connections.list", READ, list_all),
    Route("POST", "/api/connections", "connections.create", WRITE, create),
    Route("GET", _ONE, "connections.get", READ, get),
    Route("PUT", _ONE, "connections.update", WRITE, update),
    Route("DELETE", _ONE, "connections.delete", WRITE, delete),
    Route("POST", "/api/connections/test", "connections.test", WRITE, test),
    Route("GET", f"{_ONE}/tables", "connections.tables", READ, tables),
    Route("GET", "/api/connections/tables", "connections.tables", READ, tables),
    Route("GET", f"{_ONE}/columns", "connections.columns", READ, columns),
    Route("GET", "/api/connections/columns", "connections.columns", READ, columns),
    Route("GET", f"{_ONE}/preview", "connections.preview", READ, preview),
    Route("GET", f"{_ONE}/files", "connections.files", READ, files),
    Route("POST", "/api/connections/test-query", "connections.test_query", READ, test_query),
    Route("POST", "/api/connections/databricks/discover", "connections.discover", READ, discover),
]
