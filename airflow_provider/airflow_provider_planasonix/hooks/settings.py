"""From an Airflow connection to the settings of a Planasonix client."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Connection

logger = logging.getLogger(__name__)

DEFAULT_BASE_URL = "https://api.planasonix.com"

# Which field of the form a setting of the client comes from, where the names differ.
_FIELDS = {"api_key": "password", "base_url": "host"}


def settings_of(connection: Connection, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments for `Planasonix` and `AsyncPlanasonix`.

    :param connection: its host (with or without scheme), port and password (the API key) are read.
    :param extra: its decoded extra. Empty values mean "not set", as the form sends them.
    :raises ConfigurationError: names the field of the connection and what it must be. Never shows a secret.
    """
    conn_id = str(connection.conn_id)
    settings: dict[str, Any] = {
        "api_key": _api_key(conn_id, connection.password),
        "base_url": _base_url(conn_id, connection.host, connection.schema, connection.port),
    }
    for name, value in extra.items():
        read = READERS.get(name)
        if read is None:
            logger.warning("Airflow connection %r: extra %r is not known and has no effect", conn_id, name)
        elif value is not None and value != "":
            try:
                settings[name] = read(value)
            except ValueError as error:
                # Without its cause: that one quotes the value.
                _refuse(conn_id, f"extra.{name}", str(error))
    return settings


def renamed(error: ConfigurationError, conn_id: str) -> ConfigurationError:
    """Return the client's complaint about a setting in the words of the connection form."""
    field = error.field or "extra"
    name = _FIELDS.get(field, f"extra.{field}" if error.field else field)
    return ConfigurationError(
        f"Airflow connection {conn_id!r}, field {name}: {error.message}", field=name, hint=error.hint
    )


def _refuse(conn_id: str, field: str, reason: str, hint: str | None = None) -> NoReturn:
    raise ConfigurationError(
        f"Airflow connection {conn_id!r}, field {field}: {reason}",
        field=field,
        hint=hint or f"Edit the connection {conn_id!r} in Airflow.",
    ) from None


def _api_key(conn_id: str, password: str | None) -> str:
    if not password or not password.strip():
        _refuse(conn_id, "password", "the API key is missing", "Put the Planasonix API key into the password field.")
    return password


def _base_url(conn_id: str, host: str | None, scheme: str | None, port: int | None) -> str:
    text = (host or "").strip() or DEFAULT_BASE_URL
    if "://" not in text and scheme:
        if scheme not in ("http", "https"):
            _refuse(conn_id, "schema", "it must be http or https, or empty")
        text = f"{scheme}://{text}"
    if not port:
        return text
    bare = "://" not in text
    parts = urlsplit(f"//{text}" if bare else text)
    try:
        named = parts.port
    except ValueError:
        _refuse(conn_id, "host", "its port cannot be read")
    if named is not None and named != port:
        _refuse(conn_id, "port", f"the host names port {named}, the port field {port}: leave one of them empty")
    if named is None:
        parts = parts._replace(netloc=f"{parts.netloc}:{port}")
    return urlunsplit(parts).removeprefix("//") if bare else urlunsplit(parts)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be text")
    return value.strip()


def _seconds(value: Any) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    # Also refuses NaN, which is neither above nor below.
    if not 0 < number < float("inf"):
        raise ValueError("it must be a number of seconds above zero")
    return number


def _count(value: Any) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or int(text) < 1:
        raise ValueError("it must be a whole number above zero")
    return int(text)


def _idempotency(value: Any) -> str:
    if value not in ("honoured", "unproven", "ignored"):
        raise ValueError("it must be 'honoured', 'unproven' or 'ignored'")
    return str(value)


def _variables_field(value: Any) -> str:
    if value not in ("variables", "parameters"):
        raise ValueError("it must be 'variables' or 'parameters'")
    return str(value)


def _mapping(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("it must be a JSON object") from None
    if not isinstance(value, dict) or not all(isinstance(item, str) for pair in value.items() for item in pair):
        raise ValueError("it must be a JSON object whose values are texts")
    return value


READERS: dict[str, Callable[[Any], Any]] = {
    "organization_id": _text,
    "environment": _text,
    "idempotency_header": _text,
    "idempotency": _idempotency,
    "run_variables_field": _variables_field,
    "run_idempotency": _idempotency,
    "job_url_template": _text,
    "timeout_seconds": _seconds,
    "connect_timeout_seconds": _seconds,
    "deadline_seconds": _seconds,
    "max_tries": _count,
    "max_connections": _count,
    "proxy": _text,
    "path_prefixes": _mapping,
    "routes": _mapping,
}
"""The known extras, each with what turns the form's value into the client's; a ValueError says what is wrong."""
