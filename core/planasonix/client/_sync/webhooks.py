# Generated from ../_async/webhooks.py by scripts/unasync.py. Edit that file, then run "python -m scripts.unasync".
# fmt: off
"""Subscriptions to events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planasonix.client._sync.calls import Caller
from planasonix.client.building import body_of, listed, query_of
from planasonix.client.reading import one, page, read_json, read_nothing
from planasonix.client.routes import checked_id
from planasonix.engine import Page
from planasonix.errors import NotFoundError
from planasonix.models import (
    Delivery,
    DeliveryReceipt,
    Webhook,
    WebhookCreateBody,
    WebhookSecret,
    WebhookTestBody,
    WebhookUpdateBody,
)


class Webhooks:
    """`client.webhooks`: who is told about ended jobs and backfills. Source: facts §1.1 and §3.1."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(self, *, max_pages: int | None = None) -> Iterator[Webhook]:
        """All subscriptions, without their secrets."""
        return self._caller.walk(self._list_page, lambda webhook: webhook.id, max_pages)

    def create(self, url: str, events: Sequence[str], secret: str | None = None) -> Webhook:
        """Subscribe `url` to `events` (published: "job.succeeded", "job.failed", "backfill.completed").

        Without `secret` the server makes one. Keep `signing_secret.get_secret_value()` of what is returned:
        it may never be shown again.
        """
        body = body_of(WebhookCreateBody, url=url, events=listed("events", events), secret=secret)
        answer = self._caller.call("webhooks.create", {}, read_json, body=body)
        return one(answer, Webhook, "webhook")

    def get(self, webhook_id: str) -> Webhook:
        """One subscription with its recent failures. Raises `NotFoundError`."""
        answer = self._caller.call("webhooks.get", _id(webhook_id), read_json)
        return one(answer, Webhook, "webhook")

    def update(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change a subscription; what is None stays as it is.

        The documents do not say whether PUT replaces the whole subscription, so it is read first and sent
        complete.
        """
        asked = {"url": url, "events": listed("events", events), "enabled": enabled}
        # Checked before anything is sent.
        body_of(WebhookUpdateBody, **asked)
        current = self.get(webhook_id)
        kept = {"url": current.url, "events": [*current.events] or None, "enabled": current.enabled}
        body = body_of(WebhookUpdateBody, **{name: kept[name] if asked[name] is None else asked[name] for name in kept})
        answer = self._caller.call("webhooks.update", _id(webhook_id), read_json, body=body)
        return one(answer, Webhook, "webhook")

    def delete(self, webhook_id: str) -> None:
        """Delete a subscription. Raises `NotFoundError` if there was none."""
        try:
            self._caller.call("webhooks.delete", _id(webhook_id), read_nothing)
        except NotFoundError as error:
            # After a lost answer, "not found" is how the success of the first try looks.
            if error.outcome != "unknown":
                raise

    def rotate_secret(self, webhook_id: str) -> WebhookSecret:
        """Replace the signing secret. Whether the old one stays valid for a while is not documented."""
        answer = self._caller.call("webhooks.rotate_secret", _id(webhook_id), read_json)
        return one(answer, WebhookSecret, "webhook")

    def test(self, webhook_id: str, event: str | None = None) -> DeliveryReceipt:
        """Have a test event sent; the id of its delivery, for `deliveries`."""
        body = body_of(WebhookTestBody, event=event)
        answer = self._caller.call("webhooks.test", _id(webhook_id), read_json, body=body)
        return one(answer, DeliveryReceipt, "delivery")

    def deliveries(self, webhook_id: str, *, max_pages: int | None = None) -> Iterator[Delivery]:
        """What was delivered to a subscription, and what was not."""
        parameters = _id(webhook_id)

        def fetch(cursor: str | None) -> Page[Delivery]:
            query = query_of({"cursor": cursor})
            answer = self._caller.call("webhooks.deliveries", parameters, read_json, query=query)
            return page(answer, Delivery, "deliveries")

        return self._caller.walk(fetch, lambda delivery: delivery.id, max_pages)

    def _list_page(self, cursor: str | None) -> Page[Webhook]:
        answer = self._caller.call("webhooks.list", {}, read_json, query=query_of({"cursor": cursor}))
        return page(answer, Webhook, "webhooks")


def _id(webhook_id: str) -> dict[str, str]:
    return {"webhook_id": checked_id("webhook_id", webhook_id)}
