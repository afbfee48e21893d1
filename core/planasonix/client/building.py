"""From a call of the façade to a request of the engine."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from planasonix.client.config import ClientConfig
from planasonix.engine import Policy, Repeat, Request
from planasonix.errors import ConfigurationError
from planasonix.models import RequestBody


def build(
    config: ClientConfig,
    operation: str,
    parameters: Mapping[str, str],
    *,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
    idempotency_key: str | None = None,
    retry_unknown: bool = True,
) -> tuple[Request, Policy]:
    """The request of an operation and how it may be tried.

    A keyed operation without a key gets a random one, so that its own retries are recognised. If the server
    ignores keys (`idempotency="ignored"`), or with `retry_unknown=False`, it is not repeated once it may
    have had its effect; nor, unless keys are `honoured`, if no key is documented for it. For pipeline
    runs `run_idempotency` says which.
    """
    route, method, path = config.endpoint(operation, parameters)
    headers: dict[str, str] = {}
    repeat: Repeat = route.repeat
    if body is not None:
        headers["content-type"] = "application/json"
    if route.keyed:
        headers[config.idempotency_header.lower()] = checked_idempotency_key(idempotency_key or uuid.uuid4().hex)
        told = config.idempotency_of(operation)
        if told == "ignored":
            repeat = "unsafe"
        elif told == "honoured":
            repeat = "safe"
    if not retry_unknown:
        repeat = "unsafe"
    request = Request(
        method=method,
        path=path,
        query=tuple((query or {}).items()),
        headers=headers,
        body=body,
        operation=operation,
        priority=route.priority,
    )
    return request, Policy(repeat, max_tries=config.max_tries, timeout_seconds=config.timeout_seconds)


def listed(field: str, names: Sequence[str] | None) -> list[str] | None:
    """The names as a list. A single string is a sequence too, of letters, which nobody means."""
    if isinstance(names, str):
        raise ConfigurationError(f"{field} is a single string", field=field, hint=f"Pass [{names!r}].")
    return None if names is None else [*names]


def body_of(model: type[RequestBody], **fields: Any) -> bytes:
    """The bytes of a request body, serialised once so that every try sends the same. Raises
    `ConfigurationError`.
    """
    return model(**fields).to_bytes()


def query_of(fields: Mapping[str, Any]) -> dict[str, str]:
    """The query parameters that are set, as text."""
    return {name: _text(name, value) for name, value in fields.items() if value is not None}


def timestamp(field: str, value: datetime) -> str:
    """An aware moment as the API writes it: ISO 8601 in UTC with `Z`. Raises `ConfigurationError` for a
    naive one.
    """
    if value.tzinfo is None or value.utcoffset() is None:
        raise ConfigurationError(
            f"{field} has no time zone", field=field, hint="Pass an aware datetime, e.g. datetime(..., tzinfo=UTC)."
        )
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def seconds_of(timeout: float | timedelta | None) -> float | None:
    """A timeout in seconds, however it was given."""
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout


def checked_idempotency_key(key: str) -> str:
    """The key, if a header can carry it."""
    if not key.isascii() or not key.isprintable() or key != key.strip() or len(key) > 255:
        raise ConfigurationError(
            "idempotency_key must be 1 to 255 printable ASCII characters",
            field="idempotency_key",
            hint="Leave it out to get a random one.",
        )
    return key


def _text(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return timestamp(name, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
