"""How cursors are read back that stay behind as text: in an orchestrator's database, or in the inbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from planasonix.errors import ConfigurationError
from planasonix.watch import Kind
from planasonix.watch.heard import RunKey

T = TypeVar("T")


def read_cursor(
    text: str, version: int, made_of: Callable[[dict[str, Any]], T], *, what: str, field: str, hint: str
) -> T:
    """What `made_of` makes of the JSON object in `text`, whose `version` must not be above this one.

    Raises `ConfigurationError`, which calls it `what`, for any other text: beginning anew would silently leave out what
    happened meanwhile.
    """
    try:
        data = cast("dict[str, Any]", json.loads(text))
        if not isinstance(data["version"], int) or data["version"] > version:
            raise ValueError(f"its version is {data['version']!r}")
        return made_of(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"{what} cannot be read: {type(error).__name__}: {error}."
        raise ConfigurationError(message, field=field, hint=hint) from error


def run_key(kind: Any, run_id: Any, kinds: Collection[Kind] = ("job", "backfill")) -> RunKey:
    """The run that a cursor names. Raises `ValueError` for none of these kinds."""
    if kind not in kinds or not isinstance(run_id, str):
        raise ValueError(f"not a run: {kind!r} {run_id!r}")
    return kind, run_id
