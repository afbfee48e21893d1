"""Where a listener stands in its inbox: what it has read, when it looks again, and what an outage costs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from planasonix.errors import redact
from planasonix.webhooks.written import hear, unhear

if TYPE_CHECKING:
    from planasonix.webhooks.inbox import Inbox, StoredEvent

# One name for whoever sets levels: the listener is one thing to its operator.
log = logging.getLogger("planasonix.webhooks.listener")

FILE_SECONDS = 0.1
"""Between two looks at the time of a SQLite inbox's file, which asks no database."""
LOOKED_BACK = 1_000
"""Of the events that were stored before a listener began, so many of the newest may be of runs that somebody begins to
wait for only now."""
LONGEST_PAUSE_SECONDS = 10.0
"""Between two tries to reach an inbox that is down."""


class Place:
    """Where one thread stands in the inbox. Opened anew after every failure."""

    def __init__(self, url: str, wake: threading.Event) -> None:
        self._url, self._wake = url, wake
        self._inbox: Inbox | None = None
        self._identity: str | None = None
        self._file: str | None = None
        self._stamp: tuple[int, int] | None = None
        self._read_to: int | None = None
        self._began_at = 0
        self._failures = 0

    def sleep(self, seconds: float) -> None:
        """Until it is time for the next look, or somebody has written."""
        until = time.monotonic() + seconds
        file = self._file if self._inbox is not None else None
        while (left := until - time.monotonic()) > 0:
            if self._wake.wait(left if file is None else min(left, FILE_SECONDS)):
                return
            if file is not None and (stamp := _stamp(file)) != self._stamp:
                self._stamp = stamp
                return

    @property
    def is_known(self) -> bool:
        """Whether it has read in the inbox."""
        return self._read_to is not None

    @property
    def looks_back(self) -> bool:
        """Whether the last batch was stored before the listener began."""
        return self._read_to is not None and self._read_to <= self._began_at

    def next_batch(self) -> Sequence[StoredEvent]:
        """What is stored since the last one, opening the inbox first if need be; empty where there is nothing new."""
        if self._inbox is None:
            from planasonix.webhooks.inbox import Inbox

            self._inbox = Inbox.open(self._url)
            hear(self._url, self._wake)
            self._file = _log_of(self._url)
            identity = self._inbox.identity
            if self._identity not in (None, identity):
                log.warning("the inbox is another one than before: listening from its begin")
                self._began_at = self._read_to = 0
            self._identity = identity
        last = self._inbox.last_seq()
        if self._read_to is None:
            self._began_at, self._read_to = last, max(0, last - LOOKED_BACK)
        if last < self._read_to:
            # Another inbox than before: its numbers begin anew.
            self._began_at = self._read_to = 0
        if last == self._read_to:
            return ()
        batch = self._inbox.read(self._read_to)
        if self._read_to < self._began_at:
            batch = [stored for stored in batch if stored.seq <= self._began_at]
            last = self._began_at
        # Where rows were pruned there are numbers without any.
        self._read_to = batch[-1].seq if batch else last
        return batch or self.next_batch()

    def is_down(self, error: Exception, poll_seconds: float) -> float:
        """Says so once, lets the inbox go, and returns the pause until the next try, in seconds."""
        if self._failures == 0:
            log.warning("no push, only polling, until the inbox is back: %s", redact(str(error) or repr(error)))
        self._failures += 1
        self.close()
        return min(LONGEST_PAUSE_SECONDS, poll_seconds * 2 ** min(self._failures - 1, 10))

    def is_up(self) -> None:
        """Says so once after failed looks."""
        if self._failures:
            log.warning("the inbox is back after %d failed looks", self._failures)
        self._failures = 0

    def close(self) -> None:
        """Lets the inbox go. The place in it is kept."""
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            unhear(self._url, self._wake)
            try:
                inbox.close()
            except Exception as error:
                log.debug("closing the inbox failed: %r", error)


def _log_of(url: str) -> str | None:
    """The file that each commit to a SQLite inbox writes to; None for another store."""
    from planasonix.webhooks.inbox.address import address_of

    address = address_of(url)
    return f"{address.url.database}-wal" if address.store == "sqlite" else None


def _stamp(file: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
