"""The journal: what was called, what it was answered, what it did. No secret ever gets in."""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .clock import to_text

if TYPE_CHECKING:
    from .pipeline import Trace

REDACTED = "[redacted]"
_MAX_TEXT = 10_000
_SECRET_NAMES = re.compile(r"secret|passw|token|authorization|api_?key|private_?key", re.IGNORECASE)


@dataclass(slots=True)
class Entry:
    """One call. `at` and `real_at` are UTC texts in virtual and real time; `connection_id` is the connection, or
    the pipeline, that it is about; `effect` names what the call started or cancelled.
    """

    seq: int
    at: str
    real_at: str
    method: str
    path: str
    operation: str
    query: list[tuple[str, str]]
    request_id: str
    status: int
    connection_id: str | None = None
    idempotency_key: str | None = None
    body: Any = None
    fault: str | None = None
    effect: dict[str, str] = field(default_factory=dict)
    replayed: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Journal:
    """The last `limit` calls, and counts over all of them."""

    def __init__(self, secrets: Iterable[str], limit: int = 200_000) -> None:
        self.entries: deque[Entry] = deque(maxlen=limit)
        self.calls: Counter[str] = Counter()
        self.effects: Counter[tuple[str, str | None]] = Counter()
        self._secrets = tuple(secrets)
        self._seq = 0

    def note(
        self,
        now: float,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
        status: int,
        trace: Trace,
        *,
        seed: int,
    ) -> Entry:
        """Writes a call down as it went; a call without a request id gets one."""
        return self.add(
            at=to_text(now) or "",
            real_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            method=method,
            path=path,
            operation=trace.operation,
            query=query,
            request_id=headers.get("x-request-id") or f"req_{seed}_{self._seq + 1}",
            status=status,
            connection_id=trace.connection_id,
            idempotency_key=trace.idempotency_key,
            body=json_or_text(body),
            fault=trace.fault,
            effect=trace.effect,
            replayed=trace.replayed,
        )

    def add(self, **values: Any) -> Entry:
        self._seq += 1
        entry = Entry(seq=self._seq, **values)
        entry.body = self.scrub(entry.body)
        entry.path = self.scrub(entry.path)
        entry.query = [(name, self._value(name, value)) for name, value in entry.query]
        entry.idempotency_key = self.scrub(entry.idempotency_key)
        self.entries.append(entry)
        self.calls[entry.operation] += 1
        if not entry.replayed:
            for effect in entry.effect:
                self.effects[effect, entry.connection_id] += 1
        return entry

    def effect_count(self, effect: str, connection_id: str | None) -> int:
        if connection_id is not None:
            return self.effects[effect, connection_id]
        return sum(n for (name, _), n in self.effects.items() if name == effect)

    def scrub(self, value: Any, depth: int = 0) -> Any:
        """The same value without secrets: values of telling names, and API keys wherever they stand."""
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, REDACTED)
            return value
        if depth > 50:
            return REDACTED
        if isinstance(value, dict):
            return {self.scrub(name): self._value(name, inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.scrub(inner, depth + 1) for inner in value]
        return value

    def _value(self, name: str, value: Any, depth: int = 0) -> Any:
        return REDACTED if _SECRET_NAMES.search(name) else self.scrub(value, depth)


def json_or_text(body: bytes) -> Any:
    """A body for the journal: parsed if it is JSON, else its beginning as text."""
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body[:_MAX_TEXT].decode("utf-8", "replace")
