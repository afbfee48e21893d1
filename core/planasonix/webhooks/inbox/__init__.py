"""The inbox: every event once, durable before anybody is told, in one order that consumers can rely on."""

from typing import TYPE_CHECKING

from planasonix._lazy import lazy_names

if TYPE_CHECKING:
    from planasonix.webhooks.inbox.box import Inbox
    from planasonix.webhooks.inbox.consuming import Patience, TryLater, consume
    from planasonix.webhooks.inbox.group_writer import GroupWriter
    from planasonix.webhooks.inbox.records import (
        Added,
        Arrival,
        DeadLetter,
        InboxUnavailable,
        Lease,
        LeaseLost,
        Pruned,
        Source,
        StoredEvent,
    )

__all__ = [
    "Added",
    "Arrival",
    "DeadLetter",
    "GroupWriter",
    "Inbox",
    "InboxUnavailable",
    "Lease",
    "LeaseLost",
    "Patience",
    "Pruned",
    "Source",
    "StoredEvent",
    "TryLater",
    "consume",
]

__getattr__ = lazy_names(
    __name__,
    {
        "box": ("Inbox",),
        "consuming": ("Patience", "TryLater", "consume"),
        "group_writer": ("GroupWriter",),
        "records": (
            "Added",
            "Arrival",
            "DeadLetter",
            "InboxUnavailable",
            "Lease",
            "LeaseLost",
            "Pruned",
            "Source",
            "StoredEvent",
        ),
    },
)
