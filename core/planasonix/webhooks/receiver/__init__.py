"""The receiver: verifies deliveries and answers 2xx only for what is durable. Needs the extra `webhooks`."""

from typing import TYPE_CHECKING

from planasonix._lazy import lazy_names

if TYPE_CHECKING:
    from planasonix.webhooks.receiver.app import receiver_app

__all__ = ["receiver_app"]

__getattr__ = lazy_names(__name__, {"app": ("receiver_app",)})
