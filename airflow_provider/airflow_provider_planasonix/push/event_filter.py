"""Which events a watcher takes, and what it hands to Airflow of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planasonix.webhooks import StoredEvent

CONSUMER = "airflow"
MARK = "planasonix_event"
"""By this name of theirs the operators know an event of a watcher among the triggering ones."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Empty lists take all; `statuses` are those of runs that have ended."""

    connection_ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()

    def may_take(self, stored: StoredEvent) -> bool:
        """Whether it is worth a question to the API, which alone knows a run's connection where the body is silent."""
        if stored.event.connection_id is None and stored.event.object_id is not None:
            return replace(self, connection_ids=()).takes(stored)
        return self.takes(stored)

    def takes(self, stored: StoredEvent) -> bool:
        event = stored.event
        return (
            stored.only_for in (None, CONSUMER)
            and (not self.connection_ids or event.connection_id in self.connection_ids)
            and (not self.types or event.type in self.types)
            and (event.status in self.statuses if self.statuses else bool(self.types) or event.status is not None)
        )

    @staticmethod
    def payload(stored: StoredEvent) -> dict[str, Any]:
        """JSON-ready, and nothing of the body but names: a body may hold data of the tenant's."""
        from planasonix.webhooks import Cause

        return {
            MARK: 1,
            # With what body and job say of the run's place in a chain of events; the inbox may know more.
            **Cause.of(stored).to_dict(),
            "effect_key": stored.effect_key(CONSUMER),
            "received_at": stored.received_at.isoformat(),
            "source": stored.source,
            "seq": stored.seq,
        }
