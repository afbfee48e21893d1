"""The documented bodies, from which every answer takes its keys.

`samples.json` holds the published examples. `keys_of` reads the keys of one of them, and `project` builds
a body with exactly those, so that a field the documentation does not know cannot slip out, and one that
it promises cannot be forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any


@lru_cache(maxsize=1)
def _rows() -> list[dict[str, Any]]:
    return json.loads(files("planasonix.sandbox").joinpath("samples.json").read_text(encoding="utf-8"))


@cache
def response(method: str, path: str) -> Any:
    """The documented response body of one route. Raises LookupError when none is documented."""
    for row in _rows():
        if (row["method"], row["path"], row["kind"]) == (method, path, "response"):
            return row["body"]
    raise LookupError(f"no documented response for {method} {path}")


@cache
def keys_of(method: str, path: str, *inside: str | int) -> tuple[str, ...]:
    """The keys of the object found by walking `inside` the documented response."""
    node = response(method, path)
    for step in inside:
        node = node[step]
    return tuple(node)


def project(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """The documented keys, in the documented order. A missing value is a programming error: KeyError."""
    return {key: values[key] for key in keys}
