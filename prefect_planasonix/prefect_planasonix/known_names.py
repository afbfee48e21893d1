"""A name that there is not, of an option or a field: told with the nearest right one, and never with its value."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from planasonix.errors import ConfigurationError


def refuse_unknown_names(given: Iterable[str], known: Collection[str], *, of: str, what: str) -> None:
    """Raises `ConfigurationError` for the first of the names that is not known.

    `of`: whose names they are, and `what` they name there ("option", "field").
    """
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise ConfigurationError(
                f"{of} has no {what} {name!r}.",
                field=name,
                hint=f"Did you mean {close[0]}?" if close else f"There are {', '.join(known)}.",
            )
