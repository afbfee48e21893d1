"""Group commit: what arrives while one commit is under way goes into the next one, together.

A commit waits for the disk, and costs nearly the same for one event as for a hundred. One thread writes, so that no
event loop waits for a disk, and writers of one process never wait for one another's locks.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from planasonix.errors import PlanasonixError
from planasonix.webhooks.inbox.box import Inbox
from planasonix.webhooks.inbox.records import Added, Arrival, InboxUnavailable
from planasonix.webhooks.inbox.rows import one_line


@dataclass(frozen=True, slots=True)
class _Waiting:
    arrival: Arrival
    added: Future[Added]


class GroupWriter:
    """Writes arrivals into an inbox from any number of coroutines, in any event loop.

    Parameters: `max_waiting`, how many may wait before more are turned away; `max_batch`, how many go into one commit;
    `timeout_seconds`, how long an arrival waits for its commit.
    """

    def __init__(
        self, inbox: Inbox, *, max_waiting: int = 2_000, max_batch: int = 200, timeout_seconds: float = 8.0
    ) -> None:
        self._inbox = inbox
        self._max_batch, self._timeout_seconds = max_batch, timeout_seconds
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(max_waiting)
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._closed = False
        atexit.register(self.close)

    async def submit(self, arrival: Arrival) -> Added:
        """Returns when the arrival is committed, and on the disk.

        Raises InboxUnavailable if that does not come about: the store is down or slow, too many wait, or the writer is
        closed. The arrival may be stored all the same; added again it is a duplicate.
        """
        waiting = _Waiting(arrival, Future())
        self._put(waiting)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.wrap_future(waiting.added)
        except TimeoutError:
            raise InboxUnavailable(
                f"The inbox ({self._inbox.label}) took longer than {self._timeout_seconds:g} s for one event."
            ) from None

    def close(self) -> None:
        """Writes what waits, and ends the thread. Later arrivals are turned away."""
        with self._lock:
            thread = self._thread if self._pid == os.getpid() else None
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=self._timeout_seconds)
            thread.join(2 * self._timeout_seconds)

    def _put(self, waiting: _Waiting) -> None:
        if self._pid not in (0, os.getpid()):  # a fork: its copy of the lock may be held for ever
            self._lock = threading.Lock()
        with self._lock:
            if self._closed:
                raise InboxUnavailable(f"The writer of the inbox ({self._inbox.label}) is closed.")
            if self._pid != os.getpid():
                self._queue, self._pid = queue.Queue(self._max_waiting), os.getpid()
                self._thread = threading.Thread(target=self._write, name="planasonix-inbox-writer", daemon=True)
                self._thread.start()
            try:
                self._queue.put_nowait(waiting)
            except queue.Full:
                raise InboxUnavailable(
                    f"{self._max_waiting} events already wait for the inbox ({self._inbox.label})."
                ) from None

    def _write(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < self._max_batch:
                    batch.append(self._queue.get_nowait())
            ended = None in batch
            # Whoever has stopped waiting has told the sender to come again: no need to write while a store is slow.
            self._store([one for one in batch if one is not None and one.added.set_running_or_notify_cancel()])

    def _store(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        try:
            added = self._inbox.add([waiting.arrival for waiting in batch])
        except InboxUnavailable as error:
            for waiting in batch:
                waiting.added.set_exception(error)
        except Exception as error:
            # One row may be at fault, and its neighbours shall not be.
            if len(batch) == 1:
                self._give_up(batch[0], error)
            else:
                self._store(batch[: len(batch) // 2])
                self._store(batch[len(batch) // 2 :])
        else:
            for waiting, each in zip(batch, added, strict=True):
                waiting.added.set_result(each)

    def _give_up(self, waiting: _Waiting, error: Exception) -> None:
        """A genuine event that the store cannot take: kept as a dead letter, else its sender repeats it for ever."""
        event = waiting.arrival.event
        body = repr(waiting.arrival.body if event is None else event.payload).encode("utf-8", "replace")
        try:
            (added,) = self._inbox.add([Arrival.unreadable(body, one_line(error), waiting.arrival.source)])
        except Exception as again:
            told = again if isinstance(again, PlanasonixError) else error
            waiting.added.set_exception(InboxUnavailable(one_line(told)))
        else:
            waiting.added.set_result(added)
