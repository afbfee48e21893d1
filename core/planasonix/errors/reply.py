"""Makes an error of an HTTP answer, whichever of the known envelopes it came in.

Source of the envelopes: facts §2, row "Error envelope".
"""

import json
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, cast

from planasonix.errors.attempts import Attempt
from planasonix.errors.calls import (
    APIError,
    AuthenticationError,
    ConflictError,
    ErrorDetail,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from planasonix.errors.hints import hint_for
from planasonix.errors.redaction import redact

_LONGEST_TEXT = 1000
_LONGEST_ID = 200
_LONGEST_READ = 8000
_MOST_DETAILS = 50
# An error body is small; what is larger is no envelope, and not worth parsing.
_LARGEST_BODY_BYTES = 1_000_000
# Keeps sums with clocks finite, whatever a header says.
_LONGEST_PAUSE_SECONDS = 1e9

# Nothing in such an id can be masked. To search each answer's id for credentials costs as much as to read its job.
_PLAIN_ID = re.compile(r"(?:req_)?[A-Za-z0-9-]{1,128}")

_CLASS_BY_STATUS: dict[int, type[APIError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidRequestError,
    429: RateLimitError,
}


@dataclass
class _Envelope:
    message: str | None = None
    code: str | None = None
    details: list[ErrorDetail] = field(default_factory=list[ErrorDetail])
    existing_job_id: str | None = None


def error_from_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    operation: str | None = None,
    attempts: Iterable[Attempt] = (),
    secrets: Sequence[str] = (),
    now: float | None = None,
) -> APIError:
    """Returns the error that an answer with an error status stands for; the caller raises it.

    Parameters: `status`, `headers` (names in any case) and `body` of the answer; `operation`, the call as in
    `connections.sync`; `attempts`, the tries so far; `secrets`, literal strings to mask, such as the API key,
    should the server quote them; `now`, Unix time in seconds, used for a Retry-After date if the answer has
    no Date.

    Of the body, only the error fields of the known envelopes are kept; of any other, its type and length.
    """
    envelope = _read_envelope(body)
    message = envelope.message or envelope.code or _describe(body, header(headers, "content-type"))
    cls = ServerError if status >= 500 else _CLASS_BY_STATUS.get(status, APIError)
    job_id = None if envelope.existing_job_id is None else _clean(envelope.existing_job_id, secrets, _LONGEST_ID)
    return cls(
        _clean(message, secrets),
        status_code=status,
        code=None if envelope.code is None else _clean(envelope.code, secrets, _LONGEST_ID),
        details=[
            {"field": _clean(d["field"], secrets, _LONGEST_ID), "issue": _clean(d["issue"], secrets)}
            for d in envelope.details[:_MOST_DETAILS]
        ],
        existing_job_id=job_id,
        retry_after_seconds=retry_after_seconds_of(headers, now=now),
        operation=operation,
        hint=hint_for(status, operation=operation, existing_job_id=job_id),
        request_id=request_id_of(headers, secrets),
        attempts=attempts,
    )


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Returns a header by its lower-case name, in whatever case the mapping has it; None if it is absent."""
    if name in headers:
        return headers[name]
    return next((value for key, value in headers.items() if key.lower() == name), None)


def request_id_of(headers: Mapping[str, str], secrets: Sequence[str] = ()) -> str | None:
    """Returns the server's id of the request (`X-Request-ID` or `Request-Id`), or None."""
    value = header(headers, "x-request-id") or header(headers, "request-id")
    if value and _PLAIN_ID.fullmatch(value) and not any(secret in value for secret in secrets if secret):
        return value
    return _clean(value, secrets, _LONGEST_ID) or None if value else None


def retry_after_seconds_of(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Returns how long the server asks to wait, in seconds, never negative; None if it does not ask or is
    unreadable.

    `Retry-After` may be a number of seconds or a date. A date is measured against the server's own `Date`,
    because our clock may differ from its; without one, against `now` (Unix time in seconds; the clock's, if
    not given).
    """
    value = (header(headers, "retry-after") or "").strip()
    if not value:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value, re.ASCII):
        seconds = float(value)
    else:
        until = http_date(value)
        if until is None:
            return None
        server_now = http_date(header(headers, "date") or "")
        if server_now is None:
            server_now = time.time() if now is None else now
        seconds = until - server_now
    return min(max(seconds, 0.0), _LONGEST_PAUSE_SECONDS) if not math.isnan(seconds) else None


def http_date(value: str) -> float | None:
    """Returns the Unix time of an HTTP date, or None for anything else."""
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _clean(text: str, secrets: Sequence[str], longest: int = _LONGEST_TEXT) -> str:
    """Returns one printable line without credentials."""
    if len(text) > _LONGEST_READ:
        # A hostile text must not keep the patterns busy. Its last word may be half a key, so it goes too.
        text = text[:_LONGEST_READ].rpartition(" ")[0]
    # Redacted before it is cut: half a key would no longer be recognised.
    text = redact(text, secrets)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _describe(body: bytes, content_type: str | None) -> str:
    if not body:
        return "the answer has no body"
    kind = (content_type or "").split(";")[0].strip() or "no content type"
    return f"the answer names no error ({kind}, {len(body)} bytes)"


def _read_envelope(body: bytes) -> _Envelope:
    if not body or len(body) > _LARGEST_BODY_BYTES:
        return _Envelope()
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        return _Envelope()
    if not isinstance(data, dict):
        return _Envelope()
    top = cast("dict[str, Any]", data)
    error = top.get("error")
    if isinstance(error, dict):
        envelope = _from_object(cast("dict[str, Any]", error))
    elif isinstance(error, str) and error.strip():
        envelope = _from_string(error.strip(), top.get("error_description") or top.get("message"))
    else:
        envelope = _from_object(top)
    envelope.existing_job_id = envelope.existing_job_id or _text(top, "existing_job_id", "existingJobId")
    return envelope


def _from_object(error: dict[str, Any]) -> _Envelope:
    # The Iceberg catalog's `code` repeats the HTTP status; its `type` is the word for the error.
    code = _text(error, "code") or _text(error, "type")
    if code is None and isinstance(error.get("code"), int):
        code = str(error["code"])
    return _Envelope(
        message=_text(error, "message", "detail", "error_description"),
        code=code,
        details=_details(error.get("details")),
        existing_job_id=_text(error, "existing_job_id", "existingJobId"),
    )


def _from_string(error: str, description: Any) -> _Envelope:
    # `{"error": "authorization_pending"}` is a code, `{"error": "A job is running"}` a sentence.
    code = error if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", error) else None
    if isinstance(description, str) and description.strip():
        return _Envelope(message=description, code=code or error)
    return _Envelope(message=error, code=code)


def _details(value: Any) -> list[ErrorDetail]:
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value)
        return [{"field": str(name), "issue": issue} for name, issue in pairs.items() if isinstance(issue, str)]
    if not isinstance(value, list):
        return []
    found: list[ErrorDetail] = []
    for entry in cast("list[Any]", value):
        if isinstance(entry, dict):
            item = cast("dict[str, Any]", entry)
            name, issue = _text(item, "field"), _text(item, "issue", "message")
            if name or issue:
                found.append({"field": name or "", "issue": issue or ""})
        elif isinstance(entry, str):
            found.append({"field": "", "issue": entry})
    return found


def _text(data: dict[str, Any], *names: str) -> str | None:
    for name in names:
        value = data.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return None
