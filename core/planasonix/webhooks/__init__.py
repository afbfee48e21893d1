"""Push: deliveries verified, kept safe in an inbox, and felt by whoever waits.

    from planasonix.webhooks import verify

    event = verify(body, headers, secrets)
    event.type, event.job_id, event.status

Importing this package imports no web server, no database library and no pydantic: `verify` is for other people's
web handlers too. Design: an event is a hint, never the truth; whoever acts on one asks the API first.
"""

from typing import TYPE_CHECKING

from planasonix._lazy import lazy_names

if TYPE_CHECKING:
    from planasonix.webhooks.event import Event, UnreadableEvent
    from planasonix.webhooks.inbox import Arrival, GroupWriter, Inbox, InboxUnavailable, StoredEvent, consume
    from planasonix.webhooks.listener import InboxListener
    from planasonix.webhooks.loops import Act, LoopGuard, guard
    from planasonix.webhooks.secrets_source import SigningSecrets
    from planasonix.webhooks.signatures import sign, verify
    from planasonix.webhooks.subscriptions import Subscribed, rotate, subscribe
    from planasonix.webhooks.sweep import Sweeper

__all__ = [
    "Act",
    "Arrival",
    "Event",
    "GroupWriter",
    "Inbox",
    "InboxListener",
    "InboxUnavailable",
    "LoopGuard",
    "SigningSecrets",
    "StoredEvent",
    "Subscribed",
    "Sweeper",
    "UnreadableEvent",
    "consume",
    "guard",
    "rotate",
    "sign",
    "subscribe",
    "verify",
]

__getattr__ = lazy_names(
    __name__,
    {
        "event": ("Event", "UnreadableEvent"),
        "listener": ("InboxListener",),
        "loops": ("Act", "LoopGuard", "guard"),
        "secrets_source": ("SigningSecrets",),
        "signatures": ("sign", "verify"),
        "subscriptions": ("Subscribed", "rotate", "subscribe"),
        "sweep": ("Sweeper",),
        "inbox": ("Arrival", "GroupWriter", "Inbox", "InboxUnavailable", "StoredEvent", "consume"),
    },
)
