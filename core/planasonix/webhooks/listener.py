"""Feels what is stored in an inbox: two looks a second for a whole process, fanned out to whoever subscribed.

    listener = InboxListener.for_url("sqlite:////srv/planasonix/inbox.db")
    with listener.wake_waiters():           # in a running event loop: `jobs.wait` there ends when an event tells so
        await client.jobs.wait("job_01jq8syncabc")

The same look serves SQLite and PostgreSQL: asking for the last number costs less than a millisecond, rows are read only
when it rose. A writer in the same process is noticed at once (`written`), another one that writes into the same SQLite
file by the file's time, ten times a second. An inbox that is down costs nothing but the push: whoever waits goes on
polling.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from planasonix.watch import nudge_shared
from planasonix.watch.heard import HEARD, LOOKS_AFTER_SECONDS
from planasonix.webhooks.listening_place import Place

if TYPE_CHECKING:
    from planasonix.webhooks.inbox import StoredEvent

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5

Callback = Callable[["StoredEvent"], object]

_lock = threading.Lock()
_listeners: dict[str, InboxListener] = {}


class Subscription:
    """Ends with `cancel`, or as a context manager. The last one to end stops the thread."""

    def __init__(self, cancel: Callable[[], None], begun: threading.Event) -> None:
        self._cancel: Callable[[], None] | None = cancel
        self._begun = begun

    def wait_begun(self, timeout_seconds: float) -> bool:
        """Whether the listener knows its place within that time: what is stored after that is heard. Blocks."""
        return self._begun.wait(timeout_seconds)

    def cancel(self) -> None:
        """From now on nothing more is heard; a second call does nothing."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class _Subscriber:
    def __init__(self, callback: Callback, loop: asyncio.AbstractEventLoop | None, wants_recent: bool) -> None:
        self.callback, self.loop, self.wants_recent = callback, loop, wants_recent

    def tell(self, batch: Sequence[StoredEvent]) -> bool:
        """Hand the events on; False once its event loop is gone."""
        if self.loop is None:
            self._call_each(batch)
            return True
        try:
            self.loop.call_soon_threadsafe(self._call_each, batch)
        except RuntimeError:  # the loop was closed
            return False
        return True

    def _call_each(self, batch: Sequence[StoredEvent]) -> None:
        for stored in batch:
            try:
                self.callback(stored)
            except Exception:
                # One subscriber's defect must not keep the news from the others.
                log.exception("a subscriber failed on event %d", stored.seq)


class InboxListener:
    """The listener of this process to one inbox. Get it with `for_url`; any thread may use it."""

    def __init__(self, url: str, poll_seconds: float = POLL_SECONDS) -> None:
        self._url = url
        self._poll_seconds = poll_seconds
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._subscribers: list[_Subscriber] = []
        self._wakers: dict[asyncio.AbstractEventLoop, tuple[int, Subscription]] = {}
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._begun = threading.Event()

    def __repr__(self) -> str:
        return f"<InboxListener of {len(self._subscribers)}>"  # the URL may hold a password

    @classmethod
    def for_url(cls, url: str) -> InboxListener:
        """The one that all of this process share. A forked child gets one of its own: threads are not copied."""
        with _lock:
            listener = _listeners.get(url)
            if listener is None or listener._pid != os.getpid():
                listener = _listeners[url] = cls(url)
            return listener

    def subscribe(
        self, callback: Callback, *, loop: asyncio.AbstractEventLoop | None = None, recent: bool = False
    ) -> Subscription:
        """Call back with each event that is stored from now on, in the inbox's order: once the listener has reached the
        inbox, for which `Subscription.wait_begun` waits.

        In `loop` if one is given, else in the listener's thread, where it must be quick. `recent`: also with some that
        were stored before, if this is the first subscription. At most once, and not at all while the process is down:
        what must not miss an event uses `consume`, which has a cursor.
        """
        subscriber = _Subscriber(callback, loop, recent)
        with self._lock:
            self._subscribers.append(subscriber)
            if self._thread is None or not self._thread.is_alive():
                self._wake, self._begun = threading.Event(), threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._wake, self._begun), name="planasonix-inbox-listener", daemon=True
                )
                self._thread.start()
            begun = self._begun
        return Subscription(lambda: self._leave(subscriber), begun)

    def wake_waiters(self) -> Subscription:
        """An event of a run that is waited for in the running event loop makes its `Watcher` look at once.

        Call it before the wait begins. The API's answer decides, so that a forged, repeated or early event ends no
        wait. Many may call it: they share one subscription.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            count, subscription = self._wakers.get(loop, (0, None))
            if subscription is not None:
                self._wakers[loop] = count + 1, subscription
        if subscription is None:
            subscription = self.subscribe(_wake_waiter, loop=loop, recent=True)
            with self._lock:
                self._wakers[loop] = 1, subscription
        return Subscription(lambda: self._stop_waking(loop), self._begun)

    def wake_threads(self) -> Subscription:
        """The same for waits that block their thread (`watch.blocking`), whichever thread of this process it is."""
        return self.subscribe(lambda stored: None, recent=True)

    def _stop_waking(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            count, subscription = self._wakers.pop(loop, (0, None))
            if subscription is not None and count > 1:
                self._wakers[loop] = count - 1, subscription
                return
        if subscription is not None:
            subscription.cancel()

    def _leave(self, subscriber: _Subscriber) -> None:
        with self._lock:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)
            self._wakers = {loop: waker for loop, waker in self._wakers.items() if not loop.is_closed()}
            if not self._subscribers and self._thread is not None:
                self._thread = None
                self._wake.set()

    def _run(self, wake: threading.Event, begun: threading.Event) -> None:
        place = Place(self._url, wake)
        try:
            while self._is_mine(wake):
                pause = self._look(place)
                if place.is_known:
                    begun.set()
                place.sleep(pause)
                wake.clear()
        finally:
            place.close()

    def _is_mine(self, wake: threading.Event) -> bool:
        with self._lock:
            return self._wake is wake and self._thread is threading.current_thread()

    def _look(self, place: Place) -> float:
        """One look; the pause until the next one, in seconds."""
        try:
            while batch := place.next_batch():
                self._tell(batch, recent=place.looks_back)
        except Exception as error:
            return place.is_down(error, self._poll_seconds)
        place.is_up()
        return self._poll_seconds

    def _tell(self, batch: Sequence[StoredEvent], *, recent: bool) -> None:
        for stored in batch:
            event = stored.event
            if event.kind is not None and event.object_id is not None and event.status is not None:
                HEARD.note(event.kind, event.object_id)
        with self._lock:
            subscribers = [one for one in self._subscribers if one.wants_recent or not recent]
        for one in subscribers:
            if not one.tell(batch):
                self._leave(one)


def _wake_waiter(stored: StoredEvent) -> None:
    kind, run_id = stored.event.kind, stored.event.object_id
    if kind is None or run_id is None or not nudge_shared(kind, run_id):
        return
    loop = asyncio.get_running_loop()
    for seconds in LOOKS_AFTER_SECONDS:
        loop.call_later(seconds, nudge_shared, kind, run_id)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _listeners.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
