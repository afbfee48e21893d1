"""Deliveries of events: what is sent to whom, when again, and what became of it. The courier sends."""

from __future__ import annotations

import ipaddress
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .backfills import Backfill
from .clock import to_text
from .flaws import flawed_body, flawed_headers
from .jobs import Job
from .webhooks import Webhook

if TYPE_CHECKING:
    from .state import State

MAX_ROWS = 100
_REORDER_HOLD_SECONDS = 5.0
_REPLAY_SECONDS = 1.0
_JOB_EVENTS = {"succeeded": "job.succeeded", "failed": "job.failed"}


@dataclass
class Delivery:
    """One event on its way to one subscription. Instants are virtual epoch seconds."""

    id: str
    webhook_id: str
    event: str
    body: bytes
    created: float
    flaw: str = "none"
    replays: int = 0
    recorded: dict[str, str] | None = field(default=None, repr=False)
    """The headers of the delivery that this one repeats."""
    status: str = "pending"
    http_status: int | None = None
    attempt: int = 0
    delivered: float | None = None
    last_error: str | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Shipment:
    """One attempt, ready to be posted."""

    delivery: Delivery
    url: str
    headers: dict[str, str] = field(repr=False)
    timeout_seconds: float
    allowed: bool


class Deliveries:
    def __init__(self, state: State) -> None:
        self._state = state
        self.by_webhook: dict[str, list[Delivery]] = {}
        self._due: deque[Delivery] = deque()
        self._held: Delivery | None = None

    def job_ended(self, job: Job) -> None:
        # Only three events are published: nothing is sent for a cancelled job.
        event = _JOB_EVENTS.get(job.status)
        if event is None or job.finished is None:
            return
        rows = sum(rows for _, rows, _ in job.loaded(job.finished))
        seconds = round(job.finished - (job.started or job.finished))
        self._emit(event, {"job_id": job.id}, job.status, rows, seconds, job.finished)

    def backfill_ended(self, backfill: Backfill) -> None:
        if backfill.status != "completed" or backfill.finished is None:
            return
        rows = backfill.rows_processed(backfill.finished)
        seconds = round(backfill.finished - backfill.created)
        subject = {"backfill_id": backfill.id}
        self._emit("backfill.completed", subject, "completed", rows, seconds, backfill.finished)

    def _emit(self, event: str, subject: dict[str, str], status: str, rows: int, seconds: int, now: float) -> None:
        hooks = self._state.webhooks.subscribed(event)
        if not hooks or not self._state.switches.deliveries_enabled:
            return
        payload = self._payload(event, subject, status, rows, seconds, now)
        switches = self._state.switches
        flaw = switches.delivery_flaw
        for hook in hooks:
            if switches.delivery_flaw_place == "beside" and flaw != "none":
                self._queue(self._new(hook, event, payload, now, flaw), now)
            for _ in range(1 + switches.delivery_duplicates):
                kept = flaw if switches.delivery_flaw_place == "instead" else "none"
                delivery = self._new(hook, event, payload, now, kept)
                delivery.replays = switches.delivery_replays
                self._queue(delivery, now)

    def send_test(self, hook: Webhook, event: str) -> Delivery:
        """Queues a test event; its job does not exist."""
        now = self._state.now
        kind = "backfill_id" if event.startswith("backfill.") else "job_id"
        subject = {kind: self._state.ids.new("bf" if kind == "backfill_id" else "job")}
        status = event.partition(".")[2]
        payload = self._payload(event, subject, status, 0, 0, now)
        delivery = self._new(hook, event, payload, now)
        self._due.append(delivery)
        return delivery

    def _payload(self, event: str, subject: dict[str, str], status: str, rows: int, seconds: int, now: float) -> bytes:
        body = {
            "id": self._state.ids.new("evt"),
            "type": event,
            "timestamp": to_text(now),
            **subject,
            "data": {
                "status": status,
                "summary": {"total_rows_synced": rows, "duration_seconds": seconds},
            },
        }
        return json.dumps(body, separators=(",", ":")).encode()

    def _new(self, hook: Webhook, event: str, body: bytes, now: float, flaw: str = "none") -> Delivery:
        body = flawed_body(body, flaw, self._state.ids.new)
        delivery = Delivery(self._state.ids.new("whd"), hook.id, event, body, now, flaw)
        self.by_webhook.setdefault(hook.id, []).append(delivery)
        return delivery

    def _queue(self, delivery: Delivery, now: float) -> None:
        if delay := self._state.switches.delivery_delay_seconds:
            self._state.timeline.at(now + delay, self._order, delivery)
        else:
            self._order(now, delivery)

    def _order(self, now: float, delivery: Delivery) -> None:
        if not self._state.switches.delivery_reorder:
            self._due.append(delivery)
        elif self._held is None:
            self._held = delivery
            self._state.timeline.at(now + _REORDER_HOLD_SECONDS, self._release, delivery)
        else:
            self._due += [delivery, self._held]
            self._held = None

    def _release(self, now: float, delivery: Delivery) -> None:
        if self._held is delivery:
            self._held = None
            self._due.append(delivery)

    def _replay(self, hook: Webhook, shipment: Shipment) -> None:
        first, now = shipment.delivery, self._state.now
        for number in range(1, first.replays + 1):
            again = self._new(hook, first.event, first.body, now)
            again.flaw, again.recorded = first.flaw, shipment.headers
            self._state.timeline.at(now + number * _REPLAY_SECONDS, self._retry, again)

    def _retry(self, now: float, delivery: Delivery) -> None:
        self._due.append(delivery)

    def take_due(self) -> list[Shipment]:
        """Attempts to make now; each is counted as begun."""
        shipments: list[Shipment] = []
        switches = self._state.switches
        while self._due:
            delivery = self._due.popleft()
            hook = self._state.webhooks.by_id.get(delivery.webhook_id)
            if hook is None:
                continue
            delivery.attempt += 1
            # Receivers compare this timestamp with their own clock, so it is caller time, not virtual time.
            stamp = int(self._state.clock.caller_time() - switches.signature_age_seconds)
            signature = delivery.recorded
            if signature is None:
                signature = flawed_headers(
                    delivery.body, hook.secret, delivery.flaw, switches=switches, timestamp=stamp
                )
            headers = {"Content-Type": "application/json", "User-Agent": "planasonix-sandbox", **signature}
            shipments.append(
                Shipment(
                    delivery,
                    hook.url,
                    headers,
                    switches.delivery_timeout_seconds,
                    is_allowed(hook.url, switches.delivery_hosts),
                )
            )
        return shipments

    def record(self, shipment: Shipment, http_status: int | None, error: str | None) -> None:
        """Notes the outcome of one attempt and plans the next one."""
        delivery, state = shipment.delivery, self._state
        hook = state.webhooks.by_id.get(delivery.webhook_id)
        delivery.http_status = http_status
        attempt = {"attempt": delivery.attempt, "at": to_text(state.now), "http_status": http_status}
        delivery.attempts.append(attempt | ({"error": error} if error else {}))
        if hook is not None:
            hook.last_delivery = state.now
        if http_status is not None and 200 <= http_status < 300:
            delivery.status, delivery.delivered, delivery.last_error = "delivered", state.now, None
            if hook is not None:
                self._replay(hook, shipment)
            return
        delivery.last_error = error or f"HTTP {http_status}"
        if hook is not None:
            hook.failures.append(state.now)
        if not shipment.allowed or delivery.attempt >= state.switches.delivery_max_attempts:
            delivery.status = "failed"
            return
        pause = state.switches.delivery_backoff_seconds * 2 ** (delivery.attempt - 1)
        state.timeline.at(state.now + pause, self._retry, delivery)


def is_allowed(url: str, hosts: tuple[str, ...]) -> bool:
    """Loopback and the hosts allowed by hand: a sandbox must not be a way to reach other machines."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host in hosts:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
