"""What a call is answered with, on the way out of the sandbox."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

Drop = Literal["before", "after", "cut", "timeout", "refused"]

JSON_TYPE = "application/json"
# The published status meanings; anything else keeps a plain word.
CODES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    429: "rate_limited",
    500: "internal_error",
    502: "bad_gateway",
    503: "service_unavailable",
    504: "gateway_timeout",
}


@dataclass
class SandboxReply:
    """One answer.

    `headers` has lower-case names. `drop` tells the door to spoil the connection: "refused" and "before"
    (reset, nothing happened), "after" (the call took effect, its answer is lost), "cut" (the body stops
    half-way), "timeout" (no answer comes at all; `effect_applied` says whether the call took effect).
    `delay_seconds` are real seconds before the answer.
    """

    status: int
    headers: dict[str, str]
    body: bytes = b""
    drop: Drop | None = None
    delay_seconds: float = 0.0
    effect_applied: bool = True

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass
class Answer:
    """What a handler found out, before it becomes bytes. `effect` goes to the journal."""

    status: int
    body: Any = None
    effect: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    content_type: str = JSON_TYPE


class Refusal(Exception):
    """An answer of the 4xx or 5xx family; raised wherever it is found out."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        details: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or CODES.get(status, "error")
        self.details = details or []
        self.headers = headers or {}
        self.extra = extra or {}

    def answer(self) -> Answer:
        error = {"code": self.code, "message": self.message, "details": self.details}
        return Answer(self.status, {"error": error | self.extra})


def invalid(field_name: str, issue: str, message: str | None = None) -> Refusal:
    """The documented 400 about one field."""
    return Refusal(400, message or f"Invalid {field_name}: {issue}", details=[{"field": field_name, "issue": issue}])


def encode(answer: Answer, headers: dict[str, str] | None = None) -> SandboxReply:
    if answer.content is not None:
        body = answer.content
    elif answer.body is None:
        body = b""
    else:
        body = json.dumps(answer.body, separators=(",", ":")).encode()
    out = {"content-type": answer.content_type} if body else {}
    return SandboxReply(answer.status, out | (headers or {}), body)
