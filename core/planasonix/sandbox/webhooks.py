"""Webhook subscriptions."""

from __future__ import annotations

from dataclasses import dataclass, field

EVENTS = ("job.succeeded", "job.failed", "backfill.completed")
_DAY = 86_400.0


@dataclass
class Webhook:
    id: str
    url: str
    events: list[str]
    secret: str = field(repr=False)
    created: float
    enabled: bool = True
    updated: float | None = None
    last_delivery: float | None = None
    rotations: int = 0
    failures: list[float] = field(default_factory=list)

    def failure_count_24h(self, now: float) -> int:
        self.failures = [at for at in self.failures if now - at < _DAY]
        return len(self.failures)


class WebhookBook:
    """Subscriptions by id."""

    def __init__(self) -> None:
        self.by_id: dict[str, Webhook] = {}

    def subscribed(self, event: str) -> list[Webhook]:
        return [hook for hook in self.by_id.values() if hook.enabled and event in hook.events]
