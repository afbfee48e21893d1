"""Tables of Planasonix connections as Airflow assets: `planasonix://<connection id>/<schema>/<table>`.

The authority is the connection's id. The API gives it once and for all (`conn_…`), so that producer and consumer DAGs,
other Airflows and OpenLineage name the same table alike, and nobody reads an Airflow connection to write an address.

Cheap to import: Airflow loads this module wherever a DAG file makes an asset of any scheme.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_planasonix._compat import Asset
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset

SCHEME = "planasonix"


def planasonix_table(
    connection_id: str, table: str, *, group: str | None = None, extra: dict[str, Any] | None = None
) -> Asset:
    """The asset of one table, the same wherever it is written: in `outlets`, in `schedule`, in `inlets`.

    :param connection_id: the Planasonix connection. Not templated: an asset is known when the DAG file is read.
    :param table: the table as the API names it in a job's results, schema-qualified (facts §1.1): `public.orders`.
    :param group: Airflow's group of assets.
    :param extra: Airflow's extra of the asset; what a job loaded stands in the events instead.

    Returns an `airflow.sdk.Asset` whose name is its URI. Raises `planasonix.errors.ConfigurationError` for an id or a
    table that is empty, or a template.

    >>> planasonix_table("conn_shop_orders", "public.orders").uri
    'planasonix://conn_shop_orders/public/orders'
    """
    for field, value in (("connection_id", connection_id), ("table", table)):
        if not isinstance(value, str) or "{{" in value or "{%" in value:
            raise ConfigurationError(
                f"{field} must be the text of a name, got {value!r}.",
                field=field,
                hint="Assets are known when the DAG file is read, so they cannot be templated. For tables that are "
                "known only at run time give the task an AssetAlias as outlet.",
            )
    try:
        uri = table_uri(connection_id, table)
    except ValueError as error:
        field = "table" if connection_id.strip() else "connection_id"
        raise ConfigurationError(str(error), field=field, hint="As in public.orders: schema, dot, table.") from error
    more: dict[str, Any] = {} if group is None else {"group": group}
    return Asset(uri=uri, extra=extra, **more)


def table_uri(connection_id: str, table: str) -> str:
    """The address of a table: each part of its name is a segment, and what is no letter, digit or `_.-~` is escaped.

    Raises ValueError where a part is empty.
    """
    segments = table.split(".")
    if not connection_id.strip() or not all(each.strip() for each in segments):
        raise ValueError(f"A connection id and a table are needed, got {connection_id!r} and {table!r}.")
    return f"{SCHEME}://{quote(connection_id, safe='')}/" + "/".join(quote(each, safe="") for each in segments)


def table_of(uri: str) -> tuple[str, str] | None:
    """Connection id and table of an address, the way back from `table_uri`; None for any other address."""
    try:
        parts = urlsplit(uri)
        return _names(sanitize_uri(parts)) if parts.scheme.lower() == SCHEME else None
    except ValueError:
        return None


def sanitize_uri(parts: SplitResult) -> SplitResult:
    """Airflow's handler of the scheme: one spelling for each table. Raises ValueError for what names none."""
    return urlsplit(table_uri(*_names(parts)))


def to_openlineage(asset: Asset, lineage_context: Any = None) -> Dataset:
    """Airflow's converter of the scheme: the dataset that the operators report for the same table.

    Its namespace is `planasonix://<connection id>`, its name the table as the API has it, `public.orders`.
    """
    from openlineage.client.event_v2 import Dataset

    namespace, name = dataset_name(*_names(urlsplit(asset.uri)))
    return Dataset(namespace=namespace, name=name)


def dataset_name(connection_id: str, table: str) -> tuple[str, str]:
    """Namespace and name in OpenLineage."""
    return f"{SCHEME}://{quote(connection_id, safe='')}", table


def _names(parts: SplitResult) -> tuple[str, str]:
    if "@" in parts.netloc or ":" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("A planasonix:// address has no user, port, query or fragment.")
    return unquote(parts.netloc), ".".join(unquote(each) for each in parts.path.removeprefix("/").split("/"))
