"""How the inbox sensor finds runs: what the inbox has for it, and one step of the sweep for what no webhook brought."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from planasonix.errors import AuthenticationError, ConfigurationError, PlanasonixError, redact
from planasonix.runs import Hint, take_hint

if TYPE_CHECKING:
    from dagster_planasonix.sensors.inbox_cursor import InboxCursor
    from planasonix import Planasonix
    from planasonix.webhooks import Inbox, StoredEvent, Sweeper

Log = Callable[[str, str], None]


class Ears:
    """The sensor's connections to its inbox. One for the life of a code server: opening them costs more than a tick.

    `consumer` is its name for replays that are meant for it alone.
    """

    def __init__(self, consumer: str, connect: Callable[[], Planasonix], sweep_interval_seconds: float | None) -> None:
        self.consumer = consumer
        self._connect = connect
        self._interval = sweep_interval_seconds
        self._url: str | None = None
        self._inbox: Inbox | None = None
        self._sweeper: Sweeper | None = None

    def hear(self, url: str, cursor: InboxCursor, connection_ids: Collection[str], *, seconds: float, log: Log) -> str:
        """Note what the inbox tells of these connections, for about `seconds` at most.

        Returns a sentence where something stood in the way, else "". Raises `ConfigurationError` for a bad URL, and
        `AuthenticationError` where a sweep's key was refused.
        """
        from planasonix.webhooks import InboxUnavailable

        until = time.monotonic() + seconds
        try:
            inbox = self._open(url)
            trouble = self._sweep(url, 0.5 * seconds)
            _take(inbox, cursor, connection_ids, self.consumer, until=until, log=log)
        except InboxUnavailable as error:
            text = f"The inbox cannot be reached, so that nothing new is heard: {redact(str(error))}"
            log("warning", text)
            return text
        if trouble:
            log("warning", trouble)
        return trouble

    def _open(self, url: str) -> Inbox:
        from planasonix.webhooks import Inbox

        if self._inbox is None or self._url != url:
            self._inbox, self._url, self._sweeper = Inbox.open(url), url, None
        return self._inbox

    def _sweep(self, url: str, seconds: float) -> str:
        """A sweep, where it is this process's turn; what failed of it, the next one goes on with."""
        from planasonix.webhooks.inbox import LeaseLost

        if self._interval is None:
            return ""
        if self._sweeper is None:
            from planasonix.webhooks import Sweeper

            self._sweeper = Sweeper(url, self._connect, interval_seconds=self._interval)
        try:
            swept = self._sweeper.sweep_now(seconds)
        except (AuthenticationError, ConfigurationError):
            raise
        except LeaseLost:
            return ""
        except PlanasonixError as error:
            return f"The sweep failed, and goes on in a later tick: {error.headline()}"
        if swept is None or not swept.calls_failed:
            return ""
        return f"The sweep is not complete, and goes on in a later tick: {swept.calls_failed[-1].headline()}"


def _take(
    inbox: Inbox, cursor: InboxCursor, connection_ids: Collection[str], consumer: str, *, until: float, log: Log
) -> None:
    identity, last = inbox.identity, inbox.last_seq()
    if cursor.identity is None:
        # What was delivered before the first tick is history.
        cursor.identity, cursor.seq = identity, last
        return
    if identity != cursor.identity or last < cursor.seq:
        log("warning", "The inbox is another one than before, or an older copy: it is read from its begin.")
        cursor.identity, cursor.seq = identity, 0
    while cursor.seq < last and time.monotonic() < until:
        batch = inbox.read(cursor.seq)
        if not batch:  # the rest was removed by retention
            cursor.seq = last
        for stored in batch:
            hint = hint_of(stored, consumer)
            if hint is not None and not take_hint(cursor.runs, hint, connection_ids, now=hint.heard_at):
                log(
                    "warning", f"Too many runs are waiting to be told: event {stored.seq} and later ones are read then."
                )
                return
            cursor.seq = stored.seq


def hint_of(stored: StoredEvent, consumer: str) -> Hint | None:
    """The run that the event says has ended; None for one that says nothing of an end, or is another one's replay."""
    event = stored.event
    if event.kind is None or event.object_id is None or event.status is None:
        return None
    if stored.only_for not in (None, consumer):
        return None
    return Hint(event.kind, event.object_id, event.connection_id, time.time(), again=stored.source == "replay")
