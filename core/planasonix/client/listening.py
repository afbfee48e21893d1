"""Who hears what the engine decides: the log, and the caller's `on_event`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from planasonix.engine import Event, GaveUp, Paced, Retrying

logger = logging.getLogger("planasonix.client")


def listener(on_event: Callable[[Event], None] | None) -> Callable[[Event], None]:
    """A listener that logs each event, then passes it on."""

    def listen(event: Event) -> None:
        level = logging.INFO if isinstance(event, Retrying | Paced | GaveUp) else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s", event)
        if on_event is not None:
            try:
                on_event(event)
            except Exception:
                # What only watches must not break a call half-way: the job may be started already.
                logger.exception("on_event failed for %s", type(event).__name__)

    return listen
