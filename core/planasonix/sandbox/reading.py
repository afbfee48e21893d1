"""Checks on what a caller sent. Everything wrong is found here, before a call has any effect."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .replies import Refusal, invalid
from .switches import Switches

MAX_BODY_BYTES = 1_048_576
MAX_METADATA_BYTES = 16_384
MAX_TEXT = 255
MAX_ITEMS = 1_000
PRIORITIES = ("low", "normal", "high")
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
# The same pattern as in openapi.yaml. No user info: a URL is shown, a password must not be.
_WEB_ADDRESS = re.compile(
    r"https?://([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[::1\])"
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    r"([/?#][!-~]*)?",
    re.ASCII,
)
_MISSING: Any = object()


def json_object(body: bytes, *, required: bool = True) -> dict[str, Any]:
    """The body as an object; {} for an empty one that is not required."""
    if len(body) > MAX_BODY_BYTES:
        raise invalid("body", "too_long", f"The body is longer than {MAX_BODY_BYTES} bytes")
    if not body.strip():
        if required:
            raise invalid("body", "blank", "A JSON body is required")
        return {}
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise invalid("body", "malformed", "The body is not valid JSON") from None
    if not isinstance(value, dict):
        raise invalid("body", "wrong_type", "The body must be a JSON object")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def text(body: Mapping[str, Any], name: str, *, required: bool = False, longest: int = MAX_TEXT) -> str | None:
    value = body.get(name, _MISSING)
    if value is _MISSING:
        if required:
            raise invalid(name, "blank", f"Missing required field: {name}")
        return None
    if not isinstance(value, str):
        raise invalid(name, "wrong_type")
    if not value:
        raise invalid(name, "blank")
    if len(value) > longest:
        raise invalid(name, "too_long")
    return value


def choice(body: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str | None:
    value = text(body, name)
    if value is not None and value not in allowed:
        raise invalid(name, "unknown_value", f"{name} must be one of {', '.join(allowed)}")
    return value


def flag(body: Mapping[str, Any], name: str) -> bool | None:
    value = body.get(name, _MISSING)
    if value is _MISSING:
        return None
    if not isinstance(value, bool):
        raise invalid(name, "wrong_type")
    return value


def object_field(
    body: Mapping[str, Any], name: str, *, required: bool = False, most: int = MAX_ITEMS
) -> dict[str, Any] | None:
    value = body.get(name, _MISSING)
    if value is _MISSING:
        if required:
            raise invalid(name, "blank", f"Missing required field: {name}")
        return None
    if not isinstance(value, dict):
        raise invalid(name, "wrong_type")
    if len(value) > most or len(json.dumps(value)) > MAX_METADATA_BYTES:
        raise invalid(name, "too_long")
    return value


def texts(body: Mapping[str, Any], name: str, *, required: bool = False) -> list[str] | None:
    value = body.get(name, _MISSING)
    if value is _MISSING:
        if required:
            raise invalid(name, "blank", f"Missing required field: {name}")
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise invalid(name, "wrong_type")
    if not value or not all(value):
        raise invalid(name, "blank")
    if len(value) > MAX_ITEMS or any(len(each) > MAX_TEXT for each in value):
        raise invalid(name, "too_long")
    return value


def instant(value: str, name: str) -> float:
    """Epoch seconds of an ISO 8601 timestamp with an offset."""
    if not _TIMESTAMP.fullmatch(value):
        raise invalid(name, "not_iso8601", f"{name} must be an ISO 8601 timestamp with an offset")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise invalid(name, "not_iso8601", f"{name} is not a real point in time") from None


def required_instant(body: Mapping[str, Any], name: str) -> float:
    value = text(body, name, required=True)
    return instant(value or "", name)


def web_address(body: Mapping[str, Any], name: str, *, required: bool) -> str | None:
    value = text(body, name, required=required, longest=2_048)
    if value is None:
        return None
    if not _WEB_ADDRESS.fullmatch(value):
        raise invalid(name, "not_a_url", f"{name} must be an http or https URL")
    return value


class Query:
    """The query string; every parameter may stand once."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def one(self, name: str) -> str | None:
        values = [value for key, value in self._pairs if key == name]
        if len(values) > 1:
            raise invalid(name, "repeated", f"{name} may be given once")
        return values[0] if values else None

    def filter(self, name: str, longest: int = MAX_TEXT) -> str | None:
        value = self.one(name)
        if value is not None and not 0 < len(value) <= longest:
            raise invalid(name, "too_long" if value else "blank")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        value = self.one(name)
        if value is not None and value not in allowed:
            raise invalid(name, "unknown_value", f"{name} must be one of {', '.join(allowed)}")
        return value

    def instant(self, name: str) -> float | None:
        value = self.one(name)
        return None if value is None else instant(value, name)

    def whole(self, name: str, low: int, high: int) -> int | None:
        value = self.one(name)
        if value is None:
            return None
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            raise invalid(name, "out_of_range", f"{name} must be a whole number from {low} to {high}")
        return int(value)

    def limit(self, switches: Switches) -> int:
        clamp = switches.page_limit_over == "clamp"
        value = self.whole("limit", 1, 999_999_999 if clamp else switches.page_limit_max)
        return min(value or switches.page_limit_default, switches.page_limit_max)


def not_found(what: str, identifier: str) -> Refusal:
    return Refusal(404, f"No {what} with the id {identifier[:MAX_TEXT]!r}")
