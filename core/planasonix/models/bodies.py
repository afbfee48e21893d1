"""Request bodies: strict, and only the documented fields. Facts §1.1, seed 2.

A mistake in one is a mistake of the caller's, so it raises ConfigurationError, which names the argument and
the fix; pydantic's own error never gets out.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from planasonix.errors import ConfigurationError
from planasonix.models.scalars import REVEAL, Secret, write_timestamp

_FIXES = {
    "start_at": "Give an aware datetime, or ISO 8601 with an offset, as in 2025-01-01T00:00:00Z.",
    "end_at": "Give an aware datetime, or ISO 8601 with an offset, as in 2025-03-01T00:00:00Z.",
    "tables": "Give a list of table names with their schema, as in ['public.orders'], or None for all tables.",
    "priority": "Give one of the server's words, as in 'low' or 'normal', or None.",
    "metadata": "Give a dictionary of JSON values: texts, numbers, true or false, None, lists, dictionaries.",
    "variables": "Give a dictionary of JSON values by the names of the pipeline's variables.",
    "environment_id": "Give the id of an environment, or None for the default one.",
    "url": "Give an absolute URL, as in https://hooks.example.com/planasonix.",
    "events": "Give a list of event names, as in ['job.succeeded', 'job.failed'].",
}


def parse_error_to_configuration_error(error: ValidationError, what: str) -> ConfigurationError:
    """Returns the error that a caller should see for arguments of `what` that do not fit, without their values."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = str(first["loc"][0]) if first["loc"] else None
    fix = _FIXES.get(field or "")
    reason = first.get("ctx", {}).get("error")
    if isinstance(reason, _Misfit):
        problem, fix = str(reason), reason.fix or fix
    elif first["type"] == "missing":
        problem = "is missing"
    elif first["type"] == "extra_forbidden":
        problem, fix = "is not documented", "Leave it out."
    else:
        problem = f"does not fit: {first['msg']}"
    return ConfigurationError(f"{what}: {field + ' ' if field else ''}{problem}", field=field, hint=fix)


class _Misfit(ValueError):
    """An argument that does not fit: what is wrong, to be read after its name, and what to do if not the usual."""

    def __init__(self, problem: str, *, fix: str | None = None) -> None:
        super().__init__(problem)
        self.fix = fix


def _aware(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise _Misfit("is no time in ISO 8601") from None
    if not isinstance(value, datetime):
        raise _Misfit("is no date with a time of day")
    if value.utcoffset() is None:
        raise _Misfit("has no time zone, so it could mean several moments")
    # Two times in one zone compare by the clock on the wall, which a DST change turns back; in UTC they do not.
    return value.astimezone(UTC)


# A naive time is refused, not read as UTC: here it is the caller's, and might be local.
AwareTime = Annotated[
    datetime, BeforeValidator(_aware), PlainSerializer(write_timestamp, return_type=str, when_used="json")
]
Name = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


def _sendable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise _Misfit("holds a number that JSON has not") from None
    return value


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_sendable)]


class RequestBody(BaseModel):
    """Base of the request bodies. None means: not sent. `what` names the request in errors."""

    what: ClassVar[str]

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    def __init__(self, **arguments: Any) -> None:
        try:
            super().__init__(**arguments)
        except ValidationError as error:
            raise parse_error_to_configuration_error(error, self.what) from None

    def to_wire(self) -> dict[str, Any]:
        """Returns the fields to send: times in UTC with `Z`, secrets in the clear, nothing that is not set."""
        data = self.model_dump(mode="json", context=REVEAL)
        return {name: value for name, value in data.items() if value is not None}

    def to_bytes(self) -> bytes:
        """Returns the body as JSON: the same bytes for the same fields, since an idempotency key goes with one body."""
        return json.dumps(self.to_wire(), allow_nan=False, separators=(",", ":"), sort_keys=True).encode()


class SyncRequestBody(RequestBody):
    """Body of `POST /api/v1/connections/{connectionId}/sync`; may be empty."""

    what = "sync"
    pipeline_id: Name | None = None
    priority: Name | None = None
    metadata: Metadata | None = None


class BackfillRequestBody(RequestBody):
    """Body of `POST /api/v1/connections/{connectionId}/backfill`.

    Whether `end_at` belongs to the window is not documented.
    """

    what = "backfill"
    start_at: AwareTime
    end_at: AwareTime
    tables: list[Name] | None = None
    priority: Name | None = None
    metadata: Metadata | None = None

    @field_validator("tables")
    @classmethod
    def _some_table(cls, tables: list[str] | None) -> list[str] | None:
        # The server may take an empty list for all tables.
        if tables is not None and not tables:
            raise _Misfit("is empty")
        return tables

    @field_validator("end_at")
    @classmethod
    def _in_order(cls, end_at: datetime, info: ValidationInfo) -> datetime:
        start_at = info.data.get("start_at")
        if start_at is not None and start_at >= end_at:
            raise _Misfit("must be after start_at", fix="Give a window that ends later than it starts.")
        return end_at


class PipelineRunRequestBody(RequestBody):
    """Body of `POST /api/pipelines/{id}/run`; may be empty.

    `variables_field` is not sent: it is the name under which the variables are. The documents call it
    `variables`, the backend `parameters` (facts §4.2, C18).
    """

    what = "pipeline run"
    variables: Metadata | None = None
    environment_id: Name | None = Field(default=None, serialization_alias="environmentId")
    variables_field: Literal["variables", "parameters"] = Field(default="variables", exclude=True)

    def to_wire(self) -> dict[str, Any]:
        data = self.model_dump(mode="json", by_alias=True)
        data[self.variables_field] = data.pop("variables")
        return {name: value for name, value in data.items() if value is not None}


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _Misfit("is no absolute http or https URL")
    return url


class WebhookCreateBody(RequestBody):
    """Body of `POST /api/v1/webhooks`. Without a `secret` the server makes one."""

    what = "webhook"
    url: str
    events: list[Name] = Field(min_length=1)
    secret: Secret | None = None

    @field_validator("url")
    @classmethod
    def _absolute(cls, url: str) -> str:
        return _web_address(url)

    @field_validator("secret")
    @classmethod
    def _not_blank(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value().strip():
            raise _Misfit("is blank", fix="Give a real secret, or None to have the server make one.")
        return secret


class WebhookUpdateBody(RequestBody):
    """Body of `PUT /api/v1/webhooks/{id}`. Whether it replaces what is left out is not documented."""

    what = "webhook update"
    url: str | None = None
    events: list[Name] | None = Field(default=None, min_length=1)
    enabled: bool | None = None

    @field_validator("url")
    @classmethod
    def _absolute(cls, url: str | None) -> str | None:
        return None if url is None else _web_address(url)

    @model_validator(mode="after")
    def _some_change(self) -> Self:
        if self.url is None and self.events is None and self.enabled is None:
            raise _Misfit("there is nothing to change", fix="Give url, events or enabled.")
        return self


class WebhookTestBody(RequestBody):
    """Body of `POST /api/v1/webhooks/{id}/test`; may be empty."""

    what = "webhook test"
    event: Name | None = None
