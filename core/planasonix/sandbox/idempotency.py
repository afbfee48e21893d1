"""Saved answers by idempotency key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from .replies import SandboxReply


@dataclass(slots=True)
class Saved:
    """The first answer to a key, and what that call had created."""

    fingerprint: bytes
    saved_at: float
    reply: SandboxReply
    effect: dict[str, str]


@dataclass
class IdempotencyStore:
    """Keys are scoped by API key, and forgotten after their time."""

    _saved: dict[tuple[str, str], Saved] = field(default_factory=dict)

    def find(self, api_key: str, key: str, now: float, ttl_seconds: float) -> Saved | None:
        saved = self._saved.get((api_key, key))
        if saved is not None and now - saved.saved_at >= ttl_seconds:
            del self._saved[api_key, key]
            return None
        return saved

    def save(self, api_key: str, key: str, saved: Saved) -> None:
        self._saved[api_key, key] = saved


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """Tells apart two requests under one key."""
    return hashlib.sha256(b"\0".join((method.encode(), path.encode("utf-8", "surrogateescape"), body))).digest()
