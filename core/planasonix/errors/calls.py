"""The errors of one call: no answer, an error answer, an answer that cannot be read."""

from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict

from planasonix.errors.attempts import Attempt
from planasonix.errors.base import PlanasonixError
from planasonix.errors.redaction import redact


class ErrorDetail(TypedDict):
    """One entry of the documented `error.details`."""

    field: str
    issue: str


class TransportError(PlanasonixError):
    """No whole answer came. `outcome`: "not_sent" if nothing can have reached the server, else "unknown"."""

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        outcome: Literal["not_sent", "unknown"] = "unknown",
        hint: str | None = None,
        request_id: str | None = None,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id, attempts=attempts)
        self.outcome = outcome


class APIError(PlanasonixError):
    """The server answered with an error status.

    `status_code` is the HTTP status; `code` the server's word for the error (only `invalid_request` is
    published); `message` the server's own text; `details` a list of `{field, issue}`; `existing_job_id` the
    job that a 409 on a start may name; `operation` the call, as in `connections.sync`; `retry_after_seconds`
    the pause that the server asked for, None if it did not. Source: facts §2, error envelope.
    """

    outcome = "refused"

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        code: str | None = None,
        details: Sequence[ErrorDetail] = (),
        existing_job_id: str | None = None,
        retry_after_seconds: float | None = None,
        operation: str | None = None,
        hint: str | None = None,
        request_id: str | None = None,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id, attempts=attempts)
        self.status_code = status_code
        self.code = None if code is None else redact(code)
        self.details: list[ErrorDetail] = [
            {"field": redact(detail["field"]), "issue": redact(detail["issue"])} for detail in details
        ]
        self.existing_job_id = None if existing_job_id is None else redact(existing_job_id)
        self.retry_after_seconds = retry_after_seconds
        self.operation = operation
        # Request Timeout and Too Early ask for the same request again; Not Implemented and HTTP Version Not
        # Supported stay that way.
        if status_code in (408, 425, 501, 505):
            self.retryable = status_code < 500

    def headline(self) -> str:
        text = f"HTTP {self.status_code}"
        if self.operation:
            text = f"{self.operation}: {text}"
        if self.code and self.code != self.message:
            text += f" {self.code}"
        text += f": {self.message}"
        shown = [": ".join(filter(None, (d["field"], d["issue"]))) for d in self.details]
        return f"{text} ({'; '.join(shown)})" if shown else text


class InvalidRequestError(APIError):
    """400 or 422: the server does not accept the request as it is."""


class AuthenticationError(APIError):
    """401: the API key is missing, malformed or revoked."""


class PermissionDeniedError(APIError):
    """403: the key lacks a scope, the plan lacks the feature, or the address is not on the allow-list."""


class NotFoundError(APIError):
    """404: there is no such object, or it belongs to another organization."""


class ConflictError(APIError):
    """409: the state of the object does not allow this now."""


class RateLimitError(APIError):
    """429: too many requests, of this key or of the whole organization. Nothing was done."""

    retryable = True


class ServerError(APIError):
    """5xx: the server failed, possibly after the request took effect."""

    retryable = True
    outcome = "unknown"


class InvalidResponseError(PlanasonixError):
    """A success status with an answer that cannot be read. `field` names what is missing or wrong, if it is
    one.

    The request may well have taken effect. `retryable` is True for a body that looks cut off.
    """

    outcome = "unknown"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        retryable: bool = False,
        hint: str | None = None,
        request_id: str | None = None,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id, attempts=attempts)
        self.field = field
        self.retryable = retryable


class PagingError(PlanasonixError):
    """A list that never ends: its cursor came back a second time, or there were more pages than allowed."""
