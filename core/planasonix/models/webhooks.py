"""Webhook subscriptions and their deliveries. Facts §1.1 and §3.1, seed 2."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from planasonix.models.base import WireModel
from planasonix.models.enums import DeliveryStatus, WebhookEvent
from planasonix.models.scalars import Id, Secret, Timestamp

_SECRET_NAMES: Mapping[str, Sequence[str]] = {"signing_secret": ("secret",)}


class Webhook(WireModel):
    """A subscription. `signing_secret` comes with the answer to its creation only."""

    secret_fields = frozenset({"signing_secret"})
    other_names: ClassVar[Mapping[str, Sequence[str]]] = _SECRET_NAMES

    id: Id
    url: str | None = None
    events: list[WebhookEvent] = Field(default=[])
    signing_secret: Secret | None = None
    enabled: bool | None = None
    last_delivery_at: Timestamp | None = None
    failure_count_24h: int | None = None
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None


class WebhookSecret(WireModel):
    """The answer to a rotation. Whether the old secret stays valid for a while is not documented."""

    secret_fields = frozenset({"signing_secret"})
    other_names: ClassVar[Mapping[str, Sequence[str]]] = _SECRET_NAMES

    id: str | None = None
    signing_secret: Secret
    rotated_at: Timestamp | None = None


class Delivery(WireModel):
    """One delivery of one event. `last_error` comes with failures, and may contradict `http_status`."""

    strict_fields = frozenset({"status"})
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {"id": ("delivery_id",)}

    id: Id
    event: WebhookEvent | None = None
    status: DeliveryStatus | None = None
    http_status: int | None = None
    attempt: int | None = None
    last_error: str | None = None
    delivered_at: Timestamp | None = None


class DeliveryReceipt(WireModel):
    """The answer to a test event: which delivery to look for in the list."""

    strict_fields = frozenset({"status"})
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {"delivery_id": ("id",)}

    delivery_id: Id
    status: DeliveryStatus | None = None
