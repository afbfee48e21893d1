"""The trigger of an asset's watcher: a run has ended in Planasonix, whoever started it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

STATUSES = ("succeeded", "failed", "cancelled")

_instances: dict[str, PlanasonixEventTrigger] = {}


class PlanasonixEventTrigger(BaseEventTrigger):
    """Fires for each event in the inbox that it takes, each once, from its first start on; it never ends.

    The triggerer needs `[planasonix] inbox_url`. All watchers of a triggerer share one look a second at the inbox.
    The event's data stand in `extra["payload"]` of the asset event: `kind`, `id`, `job_id`, `connection_id`, `status`,
    `type`, `finished_at`, `event_id`. They are what the API said of the run when it was asked for it, once for each
    event; one that it does not confirm fires nothing.

    :param connection_id: whose events count, or a list; None for all.
    :param types: the API's words that count, such as `job.succeeded`; None for any.
    :param statuses: of `succeeded`, `failed` and `cancelled`; None for any end, and with `types` for any event.
    :param name: of this watcher's place in the inbox. With a name it keeps the place when the filter is edited; two
        watchers of one asset need two.
    :param planasonix_conn_id: the Airflow connection by which the runs are read.
    :raises ConfigurationError: a filter that would take nothing.

        loaded = Asset("orders_loaded", watchers=[
            AssetWatcher(name="orders", trigger=PlanasonixEventTrigger("conn_shop_orders", statuses=["succeeded"])),
        ])
    """

    def __init__(
        self,
        connection_id: str | Sequence[str] | None = None,
        types: str | Sequence[str] | None = None,
        statuses: str | Sequence[str] | None = None,
        name: str | None = None,
        planasonix_conn_id: str = "planasonix_default",
        version: int = 1,
    ) -> None:
        super().__init__()
        self.connection_id = _words("connection_id", connection_id)
        self.types = _words("types", types)
        self.statuses = _words("statuses", statuses)
        if self.statuses and (wrong := set(self.statuses) - set(STATUSES)):
            raise ConfigurationError(f"statuses may be {', '.join(STATUSES)}, got {sorted(wrong)}.", field="statuses")
        self.name = name
        self.planasonix_conn_id = planasonix_conn_id
        self.version = version

    def serialize(self) -> tuple[str, dict[str, Any]]:
        # In one order: Airflow takes triggers with equal arguments for one.
        return (
            "airflow_provider_planasonix.triggers.event.PlanasonixEventTrigger",
            {
                "connection_id": self.connection_id,
                "types": self.types,
                "statuses": self.statuses,
                "name": self.name,
                "planasonix_conn_id": self.planasonix_conn_id,
                "version": self.version,
            },
        )

    def shared_stream_key(self) -> Hashable | None:
        """One stream for each watcher, so that each has its own acknowledgements; what they read is shared below."""
        key = _key(self.serialize()[1])
        # Airflow asks for it once, before it opens the stream, which knows the arguments and not the trigger.
        _instances[key] = self
        return key

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        from airflow_provider_planasonix.push.event_filter import EventFilter
        from airflow_provider_planasonix.push.producer import InboxProducer
        from airflow_provider_planasonix.push.watermark import Watermark
        from airflow_provider_planasonix.triggers.lines import LogLines

        trigger = _instances[_key(kwargs)]
        place = {"name": kwargs["name"]} if kwargs.get("name") else kwargs
        event_filter = EventFilter(*(tuple(kwargs[name] or ()) for name in ("connection_id", "types", "statuses")))
        return InboxProducer(
            event_filter,
            Watermark(trigger.asset_state_store, place),
            kwargs["planasonix_conn_id"],
            LogLines(trigger.log),
        )

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        async for payload in shared_stream:
            yield TriggerEvent(payload)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Not called by Airflow, which takes the shared stream: that alone is acknowledged."""
        raise NotImplementedError("the events come by the shared stream")
        yield  # an async iterator, as Airflow's is

    async def cleanup(self) -> None:
        """The watcher was moved to another triggerer, or is gone."""
        key = _key(self.serialize()[1])
        if _instances.get(key) is self:
            del _instances[key]


def _key(arguments: dict[str, Any]) -> str:
    return "planasonix:" + json.dumps(arguments, sort_keys=True)


def _words(field: str, value: str | Sequence[str] | None) -> list[str] | None:
    if value is None:
        return None
    words = [value] if isinstance(value, str) else list(value)
    if not words or not all(isinstance(word, str) and word.strip() and "{{" not in word for word in words):
        raise ConfigurationError(
            f"{field} must be a name or a list of names, got {value!r}.",
            field=field,
            hint="Leave it out to take all. Templates are not rendered: a watcher belongs to no task.",
        )
    return sorted(set(words))
