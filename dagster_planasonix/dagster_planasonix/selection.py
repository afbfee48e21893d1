"""Which connections: by what their list says, before anything is asked of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dagster_planasonix.state import ConnectionState
from planasonix.errors import ConfigurationError

ConnectionSelector: TypeAlias = "Callable[[ConnectionState], bool] | Sequence[str] | ConnectionSelection"
"""A function of a row of the list (its `tables` are not known yet), or ids, or a `ConnectionSelection`."""


@dataclass(frozen=True)
class ConnectionSelection:
    """Connections named one by one, each of which must be there.

    `by_id` are ids, `by_name` names (all connections of that name), `by_type` connector types such as `postgres`.
    Together they are a union; none of them at all means every connection.
    """

    by_id: tuple[str, ...] = ()
    by_name: tuple[str, ...] = ()
    by_type: tuple[str, ...] = ()

    def __call__(self, connection: ConnectionState) -> bool:
        return (
            not (self.by_id or self.by_name or self.by_type)
            or connection.id in self.by_id
            or connection.name in self.by_name
            or connection.type in self.by_type
        )

    def missing_from(self, connections: Iterable[ConnectionState]) -> list[str]:
        """What is named and fits no connection: "id conn_x", "name shop"."""
        listed = list(connections)
        missing: list[str] = []
        for field, names in (("id", self.by_id), ("name", self.by_name), ("type", self.by_type)):
            there = {getattr(connection, field) for connection in listed}
            missing += [f"{field} {name}" for name in names if name not in there]
        return missing


def selected(
    connections: Iterable[ConnectionState], connection_selector: ConnectionSelector | None
) -> list[ConnectionState]:
    """Those that the selector takes, in the list's order; all for None.

    Raises `ConfigurationError` where it names a connection that is not there, or takes none at all.
    """
    listed = list(connections)
    if connection_selector is None:
        return listed
    selector = connection_selector
    if isinstance(selector, str):
        selector = ConnectionSelection(by_id=(selector,))
    elif not callable(selector):
        selector = ConnectionSelection(by_id=tuple(selector))
    if isinstance(selector, ConnectionSelection) and (missing := selector.missing_from(listed)):
        raise ConfigurationError(
            f"No connection has {', '.join(missing)}.", field="connection_selector", hint=_those_there_are(listed)
        )
    taken = [connection for connection in listed if selector(connection)]
    if not taken:
        raise ConfigurationError(
            f"The selector takes none of {len(listed)} connections.",
            field="connection_selector",
            hint=_those_there_are(listed),
        )
    return taken


def _those_there_are(connections: Sequence[ConnectionState], at_most: int = 20) -> str:
    if not connections:
        return "The API key sees no connection: look at its scopes and organization."
    more = f", and {len(connections) - at_most} more" if len(connections) > at_most else ""
    return "There are " + ", ".join(each.label for each in connections[:at_most]) + more + "."
