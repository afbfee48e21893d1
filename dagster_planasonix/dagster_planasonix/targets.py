"""Which table of which connection an asset is: written into its spec once, and read back from there.

The translator may give an asset any key. So nothing at run time asks it again: the spec's metadata names the connection
and the table, in the words of the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import dagster as dg

from planasonix.errors import ConfigurationError

CONNECTION_ID = "planasonix/connection_id"
CONNECTION_NAME = "planasonix/connection_name"
TABLE = "planasonix/table"
"""The table as job results and backfills name it, schema-qualified: `public.orders` (facts §1.1)."""


class TableAsset(NamedTuple):
    """One asset and the table that it stands for. `connection_name` is for people; the id is what counts."""

    asset_key: dg.AssetKey
    connection_id: str
    connection_name: str | None
    table: str


def target_metadata(connection_id: str, connection_name: str | None, table: str) -> dict[str, str]:
    """The metadata by which a spec says what it stands for. Also for assets that are written by hand:

    >>> dg.AssetSpec("orders", metadata=target_metadata("conn_shop_orders", "shop", "public.orders")).metadata[TABLE]
    'public.orders'
    """
    metadata = {CONNECTION_ID: connection_id, TABLE: table}
    if connection_name is not None:
        metadata[CONNECTION_NAME] = connection_name
    return metadata


def tables_of(source: Any) -> dict[dg.AssetKey, TableAsset]:
    """The tables behind assets, by asset key, in the order of their specs.

    `source` is an `AssetsDefinition`, the context of its step, an `AssetSpec`, or several of these. Assets without our
    metadata are left out: an op may make other things too. Raises `ConfigurationError` for a spec that names a
    connection and no table, or the other way round.
    """
    found: dict[dg.AssetKey, TableAsset] = {}
    for spec in _specs(source):
        target = target_of(spec)
        if target is not None:
            found[spec.key] = target
    return found


def target_of(spec: dg.AssetSpec) -> TableAsset | None:
    """The table of one spec; None where it has none of our metadata. Raises as `tables_of` does."""
    metadata = spec.metadata
    connection_id, table = _text(metadata.get(CONNECTION_ID)), _text(metadata.get(TABLE))
    if connection_id is None and table is None:
        return None
    if not connection_id or not table:
        missing = TABLE if connection_id else CONNECTION_ID
        raise ConfigurationError(
            f"The asset {spec.key.to_user_string()} has no {missing} in its metadata.",
            field=missing,
            hint=f"A table needs both, as in metadata={{{CONNECTION_ID!r}: 'conn_…', {TABLE!r}: 'public.orders'}}.",
        )
    return TableAsset(spec.key, connection_id, _text(metadata.get(CONNECTION_NAME)), table)


class Fit(NamedTuple):
    """What a name may stand for: `tables` as the specs name them, `step` which step of the rule found them.

    Several tables: the name does not tell which of them it is.
    """

    step: int
    tables: tuple[str, ...]


def match_table(name: str, assets: Mapping[Any, TableAsset] | Iterable[TableAsset]) -> list[TableAsset]:
    """The assets that a table's name may stand for: all of that table; those of several tables if it fits several.

    `assets` are those of one connection. See `table_matcher` for the rule, and for many names at once.
    """
    listed = list(assets.values() if isinstance(assets, Mapping) else assets)
    found = table_matcher(each.table for each in listed)(name).tables
    return [each for each in listed if each.table in found]


def table_matcher(tables: Iterable[str]) -> Callable[[str], Fit]:
    """What a name stands for among the tables of one connection, for many names: the tables are put in order once.

    The first of these that fits decides:

    1. the same text;
    2. the same but for letter case and quotes: warehouses fold names, `PUBLIC."Orders"` is `public.orders`;
    3. one of the two has more in front, a database or a schema: `shop.public.orders` or `orders` is `public.orders`.

    Where a step fits several tables no later step is taken: a wrong table is worse than none.
    """
    listed = dict.fromkeys(tables)
    folded: dict[tuple[str, ...], list[str]] = {}
    endings: dict[tuple[str, ...], list[str]] = {}
    for table in listed:
        parts = _parts(table)
        folded.setdefault(parts, []).append(table)
        for begin in range(1, len(parts)):
            endings.setdefault(parts[begin:], []).append(table)

    def match(name: str) -> Fit:
        parts = _parts(name)
        if not parts or not all(parts):
            return _NONE
        same = (name,) if name in listed else ()
        for step, found in enumerate((same, folded.get(parts), _longer_or_shorter(parts)), start=1):
            if found:
                return Fit(step, tuple(found))
        return _NONE

    def _longer_or_shorter(parts: tuple[str, ...]) -> list[str]:
        longer = [table for begin in range(1, len(parts)) for table in folded.get(parts[begin:], ())]
        return longer + endings.get(parts, [])

    return match


_NONE = Fit(0, ())


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip('"`[]').casefold() for part in name.split("."))


def _specs(source: Any) -> Iterable[dg.AssetSpec]:
    if isinstance(source, dg.AssetSpec):
        return (source,)
    if isinstance(source, dg.AssetsDefinition):
        return source.specs
    if isinstance(source, Mapping):
        raise TypeError("tables_of takes definitions, specs or a context, not a mapping")
    if isinstance(source, Iterable):
        return [spec for each in source for spec in _specs(each)]
    if source.has_assets_def:
        return source.assets_def.specs
    return ()


def _text(value: Any) -> str | None:
    """Metadata that went through Dagster's storage comes back wrapped."""
    if isinstance(value, dg.TextMetadataValue):
        value = value.text
    return value if isinstance(value, str) else None
