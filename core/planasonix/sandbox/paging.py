"""Pages with opaque cursors, and the ways in which servers make cursors awkward."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from .indexes import R
from .replies import invalid
from .switches import Switches


def cut_page(
    walk: Callable[[int | None], Iterator[R]],
    *,
    limit: int,
    cursor: str | None,
    filters: dict[str, str],
    now: float,
    switches: Switches,
) -> tuple[list[R], str | None]:
    """One page and the cursor of the next, null at the end.

    `walk(below)` yields the rows newest first from below a sequence number. A cursor belongs to its
    filters: with others it is refused (400), as is one that is malformed or older than
    `cursor_ttl_seconds`.
    """
    mark = _fingerprint(filters)
    below: int | None = None
    visited = 0
    if cursor is not None:
        below, visited = _decode(cursor, mark, now, switches.cursor_ttl_seconds)
    if switches.paging == "short":
        limit = max(1, limit // 2)
    if switches.paging == "empty" and visited == 1:
        # An empty page in the middle: only a null cursor is the end.
        return [], _encode(below, visited + 1, mark, now)
    rows: list[R] = []
    more = False
    for record in walk(below):
        if len(rows) == limit:
            more = True
            break
        rows.append(record)
    if switches.paging == "repeat" and cursor is not None:
        return rows, cursor
    if not more and switches.paging == "empty" and visited == 0 and rows:
        more = True
    if not more and switches.paging in ("trailing", "repeat") and rows:
        more = True
    if not more:
        return rows, None
    last = rows[-1].seq if rows else below
    return rows, _encode(last, visited + 1, mark, now)


def _fingerprint(filters: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(filters, sort_keys=True).encode()).hexdigest()[:12]


def _encode(below: int | None, visited: int, mark: str, now: float) -> str:
    payload = json.dumps({"b": below, "n": visited, "f": mark, "t": int(now)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")


def _decode(cursor: str, mark: str, now: float, ttl_seconds: float | None) -> tuple[int | None, int]:
    try:
        payload: Any = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        below, visited, issued = payload["b"], int(payload["n"]), int(payload["t"])
        if payload["f"] != mark or not (below is None or isinstance(below, int)):
            raise ValueError("another query")
    except (ValueError, TypeError, KeyError):
        raise invalid("cursor", "invalid", "The cursor is malformed or belongs to another query") from None
    if ttl_seconds is not None and now - issued >= ttl_seconds:
        raise invalid("cursor", "expired", "The cursor has expired; start again from the first page")
    return below, visited
