"""The `connections:` of YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import dagster as dg

from dagster_planasonix.selection import ConnectionSelection
from planasonix.errors import ConfigurationError


class ConnectionsModel(dg.Model):
    """Connections by id, by name or by connector type; together they are a union."""

    by_id: Sequence[str] = ()
    by_name: Sequence[str] = ()
    by_type: Sequence[str] = ()


def resolve_connections(
    context: dg.ResolutionContext, model: ConnectionsModel | Literal["all"]
) -> ConnectionSelection | None:
    """What is chosen, sorted: the key of the state is made of it. None is all of them.

    Raises `ConfigurationError` for nothing at all.
    """
    if model == "all":
        return None
    chosen: Mapping[str, Any] = context.resolve_value(model.model_dump())
    selection = ConnectionSelection(**{name: tuple(sorted(set(values))) for name, values in chosen.items()})
    if selection == ConnectionSelection():
        raise ConfigurationError(
            "connections names none.",
            field="connections",
            hint="Name them in by_id, by_name or by_type, or write `connections: all`. The account's list holds "
            "warehouses and buckets too.",
        )
    return selection
