"""From a table of a connection to the spec of an asset: the one place to say otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import dagster as dg

from dagster_planasonix.checks import check_specs
from dagster_planasonix.names import key_part, plain_name
from dagster_planasonix.state import ColumnState, ConnectionState, TableState
from dagster_planasonix.targets import target_metadata

PAUSED, SCHEDULE, STATUS = "planasonix/paused", "planasonix/schedule", "planasonix/connection_status"
CONNECTION_TYPE = "planasonix/connection_type"


class PlanasonixTableProps(NamedTuple):
    """All that is known of a table when its asset is defined; it cannot be changed.

    `connection` and `table` hold the plain data of the state; the properties are short cuts, for `translation:` in YAML
    too: `{{ props.connection_name }}`.
    """

    connection: ConnectionState
    table: TableState

    @property
    def connection_id(self) -> str:
        return self.connection.id

    @property
    def connection_name(self) -> str:
        """The id where the connection has no name."""
        return self.connection.name or self.connection.id

    @property
    def connection_type(self) -> str | None:
        """The connector's type, such as `postgres`."""
        return self.connection.type

    @property
    def schema(self) -> str | None:
        return self.table.schema

    @property
    def table_name(self) -> str:
        """Without the schema: `orders`."""
        return self.table.name

    @property
    def qualified_name(self) -> str:
        """As job results and backfills name it: `public.orders`."""
        return self.table.qualified_name

    @property
    def columns(self) -> tuple[ColumnState, ...] | None:
        """None unless the state was fetched with columns."""
        return self.table.columns

    @property
    def paused(self) -> bool | None:
        """None where the API does not say."""
        return self.connection.paused

    @property
    def schedule(self) -> str | None:
        """The connection's own schedule, as cron; None where the API does not say."""
        return self.connection.schedule


class DagsterPlanasonixTranslator:
    """Makes the spec of each table's asset. Subclass it, and change what `super()` returns:

        class Raw(DagsterPlanasonixTranslator):
            def get_asset_spec(self, props: PlanasonixTableProps) -> dg.AssetSpec:
                spec = super().get_asset_spec(props)
                return spec.replace_attributes(key=spec.key.with_prefix("raw"), owners=["team:data"])

    It is asked once for each table when definitions are loaded, and never at run time: an asset finds its table by the
    metadata of its spec, which is put back if it was taken away. See `dagster_planasonix.targets`.
    """

    def get_asset_spec(self, props: PlanasonixTableProps) -> dg.AssetSpec:
        """The spec of a table's asset.

        The key is `[connection name, schema, table]`, where what Dagster refuses in a key is an underscore; the group
        is the connection's name. `dagster/table_name` and `dagster/storage_kind` say what the connection says: its API
        tells the table and the connector's type, not where the rows land.
        """
        connection, table = props
        name = connection.name or connection.id
        qualified = f"{table.schema}.{table.name}" if table.schema else table.name
        metadata: dict[str, Any] = target_metadata(connection.id, name, qualified)
        metadata["dagster/table_name"] = qualified
        kinds = {"planasonix"}
        if connection.type:
            metadata["dagster/storage_kind"] = metadata[CONNECTION_TYPE] = connection.type
            kinds.add(connection.type)
        if connection.status is not None:
            metadata[STATUS] = connection.status
        if connection.schedule is not None:
            metadata[SCHEDULE] = connection.schedule
        if connection.paused is not None:
            metadata[PAUSED] = connection.paused
        if table.columns:
            metadata["dagster/column_schema"] = column_schema(table.columns)
        return dg.AssetSpec(
            default_key(props),
            description=f"The connection {name} is paused in Planasonix." if connection.paused else None,
            metadata=metadata,
            kinds=kinds,
            group_name=plain_name(name) or plain_name(connection.id) or None,
        )

    def get_check_specs(self, props: PlanasonixTableProps) -> Iterable[dg.AssetCheckSpec]:
        """The checks of a table's asset, of its last run's state and warnings: see `dagster_planasonix.checks`.

        They are declared, so that what the sensors report is shown too. Each is put on the key that `get_asset_spec`
        gave, whatever asset it names here.
        """
        return check_specs(default_key(props))


def default_key(props: PlanasonixTableProps) -> dg.AssetKey:
    """`[connection name, schema, table]`, without the schema where there is none."""
    connection, table = props
    name = connection.name or connection.id
    parts = (name, table.schema, table.name) if table.schema else (name, table.name)
    return dg.AssetKey([key_part(each) for each in parts])


class ColumnLike(Protocol):
    """A column of the state, or one that the API just told."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str | None: ...
    @property
    def nullable(self) -> bool | None: ...


def column_schema(columns: Iterable[ColumnLike]) -> dg.TableSchema:
    """Columns as Dagster shows them. A type that is not known is a `?`: Dagster would call it a string."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type or "?",
                constraints=dg.TableColumnConstraints(nullable=column.nullable is not False),
            )
            for column in columns
        ]
    )
