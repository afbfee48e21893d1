"""Connections and what is in them; the wire is camelCase. Public page "connections", facts §1.5."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from planasonix.models.base import BareReadable, WireModel
from planasonix.models.enums import TableType
from planasonix.models.scalars import Id, Timestamp


class Connection(WireModel):
    """A configured connection to a source or a destination. A list row has no `config`.

    `config` may hold a password where a server keeps it there, so it is not part of the repr.
    """

    other_names: ClassVar[Mapping[str, Sequence[str]]] = {
        "id": ("connection_id",),
        "config": ("params", "parameters"),
        "credential_id": ("credential_ref",),
    }

    id: Id
    name: str | None = None
    type: str | None = None
    credential_id: str | None = Field(default=None, alias="credentialId")
    config: dict[str, Any] | None = Field(default=None, repr=False)
    created_at: Timestamp | None = Field(default=None, alias="createdAt")
    updated_at: Timestamp | None = Field(default=None, alias="updatedAt")


class DeletedConnection(WireModel):
    """The answer to a deletion."""

    ok: bool | None = None
    id: Id
    deleted_at: Timestamp | None = Field(default=None, alias="deletedAt")


class ConnectionTest(WireModel):
    """Whether a connection works."""

    other_names: ClassVar[Mapping[str, Sequence[str]]] = {"ok": ("success",)}

    ok: bool
    latency_ms: int | float | None = Field(default=None, alias="latencyMs")
    server_version: str | None = Field(default=None, alias="serverVersion")
    message: str | None = None


class Table(BareReadable):
    """A table of a connection. `schema_name` is its own, where the server lists several schemas at once."""

    bare_field = "name"

    name: str
    type: TableType | None = None
    schema_name: str | None = Field(default=None, alias="schema")

    @property
    def is_view(self) -> bool:
        """Whether this is a view, which no sync loads into."""
        return self.type is not None and self.type.is_view


class ConnectionTables(WireModel):
    """The tables of a connection, in one schema."""

    connection_id: str | None = Field(default=None, alias="connectionId")
    schema_name: str | None = Field(default=None, alias="schema")
    tables: list[Table] = Field(default=[])


class Column(BareReadable):
    """A column of a table, its type in the words of the database."""

    bare_field = "name"

    name: str
    type: str | None = None
    nullable: bool | None = None


class ConnectionColumns(WireModel):
    """The columns of one table."""

    connection_id: str | None = Field(default=None, alias="connectionId")
    schema_name: str | None = Field(default=None, alias="schema")
    table: str | None = None
    columns: list[Column] = Field(default=[])


class ConnectionPreview(WireModel):
    """Some rows of a table."""

    columns: list[str] = Field(default=[])
    rows: list[list[Any]] = Field(default=[], repr=False)
    truncated: bool | None = None


class FileObject(WireModel):
    """A file in a bucket."""

    key: str
    size: int | None = None
    last_modified: Timestamp | None = Field(default=None, alias="lastModified")


class ConnectionFiles(WireModel):
    """The files of a bucket under a prefix, and the prefixes below it."""

    prefix: str | None = None
    objects: list[FileObject] = Field(default=[])
    common_prefixes: list[str] = Field(default=[], alias="commonPrefixes")


class QueryStats(WireModel):
    """What a test query cost."""

    rows_scanned: int | None = Field(default=None, alias="rowsScanned")
    execution_ms: int | float | None = Field(default=None, alias="executionMs")


class QueryResult(WireModel):
    """The answer to a test query."""

    other_names: ClassVar[Mapping[str, Sequence[str]]] = {"ok": ("success",)}

    ok: bool | None = None
    columns: list[str] = Field(default=[])
    rows: list[list[Any]] = Field(default=[], repr=False)
    stats: QueryStats | None = None


class Catalog(WireModel):
    """A Databricks catalog and its schemas."""

    name: str
    schemas: list[str] = Field(default=[])


class DatabricksCatalogs(WireModel):
    """What a Databricks connection can see."""

    connection_id: str | None = Field(default=None, alias="connectionId")
    catalogs: list[Catalog] = Field(default=[])
