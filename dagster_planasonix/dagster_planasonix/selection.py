"""Which connections: by what their list says, before anything is asked of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from dagster_planasonix.state import ConnectionState
from planasonix.errors import ConfigurationError

ConnectionSelector: TypeAlias = "Callable[[ConnectionState], bool] | Sequence[str] | ConnectionSelection"
"""A function of a row of the list (its `tables` are not known yet), ids, a `ConnectionSelection`, or the word all."""


@dataclass(frozen=True)
class ConnectionSelection:
    """Connections named one by one, each of which must be there.

    `by_id` are ids, `by_name` names (all connections of that name), `by_type` connector types such as `postgres`.
    Together they are a union. One that names none is refused: it is more likely a mistake than a wish for all.
    """

    by_id: tuple[str, ...] = ()
    by_name: tuple[str, ...] = ()
    by_type: tuple[str, ...] = ()

    def __call__(self, connection: ConnectionState) -> bool:
        return connection.id in self.by_id or connection.name in self.by_name or connection.type in self.by_type

    def missing_from(self, connections: Iterable[ConnectionState]) -> list[str]:
        """What is named and fits no connection: "id conn_x", "name shop"."""
        return [f"{field} {name}" for field, name in self._missing(list(connections))]

    def _missing(self, listed: Sequence[ConnectionState]) -> list[tuple[str, str]]:
        missing: list[tuple[str, str]] = []
        for field, names in (("id", self.by_id), ("name", self.by_name), ("type", self.by_type)):
            there = {getattr(connection, field) for connection in listed}
            missing += [(field, name) for name in names if name not in there]
        return missing

    def hint(self, connections: Iterable[ConnectionState]) -> str:
        """What could have been meant by what is missing: the nearest first, then what there is."""
        listed = list(connections)
        missing = self._missing(listed)
        near: list[str] = []
        for field, name in missing:
            known = {str(getattr(connection, field)) for connection in listed}
            near += get_close_matches(name, sorted(known), n=1)
        texts = [f"Did you mean {', '.join(dict.fromkeys(near))}?"] if near else []
        if any(field == "type" for field, _ in missing) and listed:
            texts.append("The types are " + ", ".join(sorted({str(each.type) for each in listed})) + ".")
        if any(field != "type" for field, _ in missing) or not listed:
            texts.append(_those_there_are(listed))
        return " ".join(texts)


def takes_all(connection_selector: ConnectionSelector | None) -> bool:
    """Whether every connection is wanted: by the word, or because nothing was said."""
    return connection_selector is None or (isinstance(connection_selector, str) and connection_selector == "all")


def selected(
    connections: Iterable[ConnectionState], connection_selector: ConnectionSelector | None
) -> list[ConnectionState]:
    """Those that the selector takes, in the list's order; all for None and for the word all.

    Raises `ConfigurationError` where it names none, or a connection that is not there, or takes none at all.
    """
    listed = list(connections)
    if connection_selector is None or takes_all(connection_selector):
        return listed
    selector = connection_selector
    if isinstance(selector, str):
        selector = ConnectionSelection(by_id=(selector,))
    elif not callable(selector):
        selector = ConnectionSelection(by_id=tuple(selector))
    if isinstance(selector, ConnectionSelection):
        if not (selector.by_id or selector.by_name or selector.by_type):
            raise ConfigurationError(
                "connection_selector names none; leave it out for all.", field="connection_selector"
            )
        if missing := selector.missing_from(listed):
            raise ConfigurationError(
                f"No connection has {', '.join(missing)}.", field="connection_selector", hint=selector.hint(listed)
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
