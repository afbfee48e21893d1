"""What a list shows of a shelf, and when: with a stale list, things as they stood some seconds ago."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from .indexes import Record, Shelf
from .state import State


class Listed(Record, Protocol):
    history: list[tuple[float, str]]


L = TypeVar("L", bound=Listed)


def status_at(record: Listed, then: float) -> str | None:
    """The status that a record had at an earlier instant; None before its creation."""
    found = None
    for at, status in record.history:
        if at > then:
            break
        found = status
    return found


def walk(
    state: State,
    shelf: Shelf[L],
    below: int | None,
    status: str | None,
    owner: str | None,
    since: float | None = None,
    until: float | None = None,
) -> Iterator[L]:
    """Newest first, from below a sequence number, within whole-second bounds on the creation."""
    staleness = state.switches.list_staleness_seconds
    rows = shelf.walk(
        below=below,
        status=None if staleness else status,
        owner=owner,
        since=None if since is None else since // 1,
        until=None if until is None else until // 1,
    )
    if not staleness:
        yield from rows
        return
    then = state.now - staleness
    for record in rows:
        shown = status_at(record, then)
        if shown is not None and status in (None, shown):
            yield record
