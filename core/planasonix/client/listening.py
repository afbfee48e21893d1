"""Who hears what the engine decides: the log, and the caller's `on_event`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from planasonix.engine import Event, GaveUp, Paced, RequestStarted, ResponseReceived, Retrying

logger = logging.getLogger("planasonix.client")

_PACED_BECAUSE = {"retry_after": "the server asked for a pause", "rate_limit": "the rate limit is nearly used up"}


def listener(on_event: Callable[[Event], None] | None) -> Callable[[Event], None]:
    """A listener that logs each event as a sentence, then passes it on."""

    def listen(event: Event) -> None:
        level = level_of(event)
        if logger.isEnabledFor(level):
            logger.log(level, "%s", sentence(event))
        if on_event is not None:
            try:
                on_event(event)
            except Exception:
                # What only watches must not break a call half-way: the job may be started already.
                logger.exception("on_event failed for %s", type(event).__name__)

    return listen


def level_of(event: Event) -> int:
    """INFO for what costs the caller time or leaves the outcome open, DEBUG for the rest.

    A refusal is an ordinary answer (a busy connection, results not ready): its caller gets the error, and
    often expects it. A 429 is none, because it outlived all tries.
    """
    if isinstance(event, GaveUp):
        refused = event.status is not None and 400 <= event.status < 500 and event.status != 429
        return logging.DEBUG if refused else logging.INFO
    return logging.INFO if isinstance(event, Retrying | Paced) else logging.DEBUG


def sentence(event: Event) -> str:
    """The event for people."""
    match event:
        case RequestStarted():
            return f"{event.operation}: sending {event.method} {event.path} (try {event.attempt})"
        case ResponseReceived():
            took = f"{event.operation}: HTTP {event.status} after {event.duration_seconds:.3f} s (try {event.attempt})"
            return took + _request(event.request_id)
        case Retrying():
            text = f"{event.operation}: try {event.attempt} failed, the next one follows in {event.delay_seconds:.1f} s"
            return f"{text}: {event.reason}{_request(event.request_id)}"
        case Paced():
            return f"{event.operation}: waiting {event.delay_seconds:.1f} s, {_PACED_BECAUSE[event.reason]}"
        case GaveUp():
            tries = f" after {event.attempts} tries" if event.attempts > 1 else ""
            return f"{event.operation}: failed{tries}: {event.reason}"


def _request(request_id: str | None) -> str:
    return f" [request {request_id}]" if request_id else ""
