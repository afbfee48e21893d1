"""Takes an answer out of its envelope: one function for one object, one for a page.

Source: facts §4.2, C2 (the four families of envelopes), C17, and "Pagination" in §2.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from pydantic_core import from_json

from planasonix.errors import InvalidResponseError

_HINT = "The server changed its format, or the base URL leads to something else."


# An object that has one of these is no envelope, even if it also has a field of an envelope's name.
_OWN_IDS = frozenset({"id", "job_id", "jobId", "run_id", "runId", "backfill_id", "delivery_id"})


class Rows(NamedTuple):
    """The rows of a page, out of their envelopes, and the cursor of the next page; None on the last."""

    rows: list[dict[str, Any]]
    cursor: str | None


def read_json(body: bytes, *, content_type: str | None = None) -> Any:
    """Returns a decoded body.

    Raises InvalidResponseError, retryable if the body looks cut off rather than like something else. Its text
    says what came by type and length only.
    """
    try:
        return from_json(body)
    except ValueError:
        cut_off = body.lstrip()[:1] in (b"{", b"[")
        kind = (content_type or "").split(";")[0].strip() or "no content type"
        raise InvalidResponseError(
            f"The answer is not JSON ({kind}, {len(body)} bytes)",
            retryable=cut_off or not body,
            hint="It may have been cut off on the way." if cut_off else _HINT,
        ) from None


def unwrap_one(body: Any, key: str | None = None) -> dict[str, Any]:
    """Returns the object of an answer, whichever envelope it came in.

    Understood are `{"data": {key: {...}}}`, `{"data": {...}}`, `{"data": {"id", "type", "attributes":
    {...}}}`, `{key: {...}}` and the bare object. Raises InvalidResponseError if there is no object.
    """
    found: Any = body
    if _is_envelope(found, "data"):
        found = found["data"]
    if key is not None and _is_envelope(found, key) and isinstance(found[key], dict):
        found = found[key]
    if not isinstance(found, dict):
        raise InvalidResponseError(
            f"The answer holds no {key or 'object'}, but {_name_of(found)}", field=key, hint=_HINT
        )
    return _flatten(cast("dict[str, Any]", found))


def unwrap_page(body: Any, keys: Iterable[str] = ()) -> Rows:
    """Returns the rows of a list answer and the cursor of the next page.

    Understood are `{"data": [...], "meta": {"page": {"cursor"}}}`, `{"data": [...], "meta": {"cursor"}}`,
    `{key: [...], "nextCursor"}` for each of `keys`, also inside `data`, and the bare list. A null list is an
    empty one. Only a null, absent or empty cursor ends a list: a short or an empty page does not. Raises
    InvalidResponseError if there is no list, or if a row is no object.
    """
    if isinstance(body, list):
        return Rows(_objects(cast("list[Any]", body)), None)
    if not isinstance(body, dict):
        raise InvalidResponseError(f"The answer holds no list, but {_name_of(body)}", hint=_HINT)
    top = cast("dict[str, Any]", body)
    names = ("data", *keys)
    holder = top
    if isinstance(top.get("data"), dict):
        holder = cast("dict[str, Any]", top["data"])
    name = next((name for name in names if name in holder), None)
    rows: Any = None if name is None else holder[name]
    if name is None or not isinstance(rows, list | None):
        raise InvalidResponseError(
            f"The answer holds no list under {' or '.join(names)}", field=name or names[-1], hint=_HINT
        )
    return Rows(_objects(cast("list[Any]", rows or [])), _cursor(top) or _cursor(holder))


def _is_envelope(value: Any, name: str) -> bool:
    if not isinstance(value, dict):
        return False
    holder = cast("dict[str, Any]", value)
    return name in holder and _OWN_IDS.isdisjoint(holder)


def _objects(rows: list[Any]) -> list[dict[str, Any]]:
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InvalidResponseError(
                f"Row {index} of the list is no object, but {_name_of(row)}", field=str(index), hint=_HINT
            )
    return [_flatten(row) for row in rows]


def _flatten(data: dict[str, Any]) -> dict[str, Any]:
    """Lifts `attributes` beside the id; where they have a `type` too, it replaces that of the resource."""
    attributes = data.get("attributes")
    if not isinstance(attributes, dict):
        return data
    rest = {name: value for name, value in data.items() if name != "attributes"}
    return {**rest, **cast("dict[str, Any]", attributes)}


def _cursor(holder: dict[str, Any]) -> str | None:
    meta = _object_at(holder, "meta")
    for place in (_object_at(meta, "page"), meta, holder):
        for name in ("cursor", "next_cursor", "nextCursor"):
            if place.get(name):
                return str(place[name])
    return None


def _object_at(holder: dict[str, Any], name: str) -> dict[str, Any]:
    value = holder.get(name)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _name_of(value: object) -> str:
    if value is None:
        return "nothing"
    return f"a JSON {'array' if isinstance(value, list) else 'object' if isinstance(value, dict) else 'scalar'}"
