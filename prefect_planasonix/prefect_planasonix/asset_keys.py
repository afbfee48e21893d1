"""How the asset of a table is named. Apart from the events, because importing the package is to stay cheap."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from planasonix.errors import ConfigurationError, redact

if TYPE_CHECKING:
    from prefect.assets import Asset

DEFAULT_KEY_TEMPLATE = "planasonix://{connection_id}/{path}"
PLACEHOLDERS = ("connection_id", "path", "schema", "table")

_FIELD = re.compile(r"\{([^{}]*)\}")
# What Prefect refuses in a key, and what would make two segments of one name.
_NOT_IN_SEGMENT = re.compile(r"[\s\x00-\x1f#?&%\"'<>\[\]{}|\\^`/]+")
_LONGEST_KEY = 512


def table_asset(connection_id: str, table: str, *, template: str = DEFAULT_KEY_TEMPLATE) -> Asset:
    """The asset of one table, as the runs of this package name it: for `@materialize`, `asset_deps` and automations.

    `table` is the table as the API names it in a job's results, schema-qualified: `public.orders` (facts §1.1).
    `template`: see `check_template`. Raises `ConfigurationError` where no valid key comes of it.

    >>> table_asset("conn_shop_orders", "public.orders").key
    'planasonix://conn_shop_orders/public/orders'
    """
    from prefect.assets import Asset

    check_template("template", template)
    key = asset_key(connection_id, table, template)
    if key is None:
        raise ConfigurationError(
            f"No asset key can be made of connection {connection_id!r} and table {table!r} by {template!r}.",
            field="table",
            hint="Name the table as the results of its jobs do, as in public.orders: schema, dot, table.",
        )
    return Asset(key=key)


def asset_key(connection_id: str, table: str, template: str = DEFAULT_KEY_TEMPLATE) -> str | None:
    """The key of a table's asset; None where the template names a part that the table has not, or a part is empty.

    `{connection_id}` is the connection, `{table}` the last part of the table's name, `{schema}` what stands before it,
    `{path}` all parts with slashes between them. A character that Prefect refuses in keys becomes an underscore, and
    the digest of the name follows, so that two names never become one.

    >>> asset_key("conn_1", "public.orders", "snowflake://acme/raw/{schema}/{table}")
    'snowflake://acme/raw/public/orders'
    >>> asset_key("conn_1", "orders", "snowflake://acme/raw/{schema}/{table}") is None
    True
    """
    connection_id, parts = redact(connection_id), redact(table).split(".")
    if not connection_id.strip() or not all(part.strip() for part in parts):
        return None
    segments = [_segment(part) for part in parts]
    values = {
        "connection_id": _segment(connection_id),
        "path": "/".join(segments),
        "schema": ".".join(segments[:-1]),
        "table": segments[-1],
    }
    if any(not values[name] for name in _FIELD.findall(template)):
        return None
    key = _FIELD.sub(lambda found: values[found[1]], template)
    return key if len(key) <= _LONGEST_KEY else None


def check_template(field: str, template: str) -> None:
    """Raise `ConfigurationError`, which names `field`, for a template that can give no valid asset key.

    A key is a URI with a scheme of small letters and digits, at most 512 characters, without spaces and `#?&%` and
    their like. A template names the table: else all tables would be one asset.
    """
    names = set(_FIELD.findall(template))
    rest = _FIELD.sub("", template)
    problem = None
    if unknown := sorted(names - set(PLACEHOLDERS)):
        problem = f"has the unknown placeholder {{{unknown[0]}}}"
    elif not names & {"path", "table"}:
        problem = "names no table, so that all tables would be one asset"
    elif not re.match(r"[a-z0-9]+://", template):
        problem = "does not begin with a scheme, as in postgres://"
    elif _NOT_IN_SEGMENT.search(rest.replace("/", "")):
        problem = "holds a character that Prefect refuses in the key of an asset"
    if problem:
        raise ConfigurationError(
            f"{field} {problem}: {template!r}.",
            field=field,
            hint=f"As in {DEFAULT_KEY_TEMPLATE!r}. The placeholders are {', '.join(PLACEHOLDERS)}.",
        )


def _segment(name: str) -> str:
    plain = _NOT_IN_SEGMENT.sub("_", name)
    return plain if plain == name else f"{plain.strip('_')}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
