"""The loop of everybody who acts on events: one holder a consumer, each event at least once, the stream never stops.

At least once is all that a cursor can promise: a process may be killed between an effect and the cursor. So each effect
has a key that is the same each time, and does nothing where that key is known.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from planasonix.errors import FeedbackLoopError
from planasonix.webhooks.inbox.box import Inbox
from planasonix.webhooks.inbox.records import InboxUnavailable, Lease, LeaseLost, StoredEvent
from planasonix.webhooks.inbox.rows import one_line
from planasonix.webhooks.inbox.slow_effects import WatchedEffect

_LOOK_SECONDS = 1.0

Effect = Callable[[StoredEvent], object]
Log = Callable[[str, str], None]
"""Takes a level and a sentence."""


class TryLater(Exception):
    """Raised by an effect whose target is away: the stream waits for it, and the event is not counted as failed."""

    def __init__(self, message: str = "the target is away", *, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Patience:
    """How often an event is tried, and the pauses in seconds between: each twice as long as the one before."""

    attempts: int = 8
    first_seconds: float = 1.0
    longest_seconds: float = 300.0

    def pause(self, attempts: int) -> float:
        """The pause after so many attempts: half of it fixed, half by chance, so that not all come back at once."""
        full = min(self.longest_seconds, self.first_seconds * 2.0 ** min(attempts - 1, 30))
        return full * random.uniform(0.5, 1.0)


PATIENCE = Patience()


def consume(
    inbox: Inbox,
    consumer: str,
    effect: Effect,
    *,
    holder: str,
    stop: threading.Event,
    start: Literal["now", "beginning"] = "now",
    lease_seconds: float = 30.0,
    idle_seconds: float = 1.0,
    slow_seconds: float = 60.0,
    patience: Patience = PATIENCE,
    log: Log = lambda level, text: None,
) -> None:
    """Calls `effect` for each event, one after the other, until `stop` is set.

    Of several processes with the same `consumer` one works, and another one takes over when it ends or is killed, after
    `lease_seconds`. `holder` names this process in messages; two may have the same name. `start` is where a new
    consumer begins.

    An effect is called at least once for an event; `stored.effect_key(consumer)` is the same each time. One that raises
    is tried again later by `patience`, then the event is a dead letter of this consumer; the events behind it do not
    wait. One that raises TryLater makes the stream wait. One that takes longer than `slow_seconds` is told in the log,
    and again each time that it has taken twice as long: it is not given up, for nobody could say what it has done. A
    store that is away is waited for. Raises nothing that an effect raises, but lets KeyboardInterrupt and SystemExit
    through.
    """
    away = False
    subscribed = False
    while not stop.is_set():
        try:
            if not subscribed:
                inbox.subscribe(consumer, start)
                subscribed = True
            lease = inbox.lease(f"consume:{consumer}", holder, lease_seconds)
            if away:
                away = False
                log("info", f"The inbox is back for {consumer}.")
            if lease is not None:
                watched = WatchedEffect(consumer, effect, slow_seconds, log)
                with _kept(inbox, lease, watched) as lost:
                    _Turn(inbox, consumer, watched, lease, lost, stop, idle_seconds, patience, log).take()
        except LeaseLost:
            log("info", f"Another process goes on with {consumer}.")
        except InboxUnavailable as error:
            if not away:
                away = True
                log("warning", f"{consumer} waits for the inbox: {error}")
        if not stop.is_set():
            stop.wait(idle_seconds)


@contextmanager
def _kept(inbox: Inbox, lease: Lease, watched: WatchedEffect) -> Generator[threading.Event]:
    """Renews the lease while an effect takes its time; gives an event that is set once the lease is lost."""
    lost, ended = threading.Event(), threading.Event()

    def keep() -> None:
        while not ended.wait(min(lease.seconds / 3, watched.slow_seconds)):
            watched.tell_if_slow()
            try:
                if not inbox.renew(lease):
                    lost.set()
                    return
            except InboxUnavailable:
                continue  # the lease may last until the store is back; if not, the next call says so

    keeper = threading.Thread(target=keep, name="planasonix-inbox-lease", daemon=True)
    keeper.start()
    try:
        yield lost
    finally:
        ended.set()
        keeper.join()
        with suppress(InboxUnavailable):  # then it ends by itself
            inbox.release(lease)


@dataclass(slots=True)
class _Turn:
    """The work of one holder, as long as it has the lease."""

    inbox: Inbox
    consumer: str
    effect: Effect
    lease: Lease
    lost: threading.Event
    stop: threading.Event
    idle_seconds: float
    patience: Patience
    log: Log
    _first: bool = True
    _waits: int = 0

    def take(self) -> None:
        seq = self.inbox.cursor(self.consumer)
        while self._goes_on():
            tried = self._retries()
            events = self.inbox.read(seq)
            for stored in events:
                if not self._goes_on():
                    return
                self._one(stored)
                seq = stored.seq
            if not tried and not events:
                self.stop.wait(self.idle_seconds)

    def _goes_on(self) -> bool:
        return not self.stop.is_set() and not self.lost.is_set()

    def _retries(self) -> int:
        due = self.inbox.due(self.consumer)
        for retry in due:
            if not self._goes_on():
                break
            # Counted first, and put off further: a try may kill the process.
            again = self.patience.pause(retry.attempts + 1)
            attempts = self.inbox.begin(self.consumer, retry.stored.seq, again, self.lease)
            self._try(retry.stored, attempts)
        return len(due)

    def _one(self, stored: StoredEvent) -> None:
        if stored.only_for not in (None, self.consumer):
            self.inbox.advance(self.consumer, stored.seq, self.lease)
            return
        attempts = 1
        if self._first:
            # The first event of a turn may be what ended the turn before, so that one is counted in advance.
            attempts = self.inbox.begin(self.consumer, stored.seq, 0.0, self.lease)
            self._first = False
        self._try(stored, attempts)

    def _try(self, stored: StoredEvent, attempts: int) -> None:
        if attempts > self.patience.attempts:
            self._failed(stored, "the process ended during each try", attempts - 1)
            return
        while True:
            try:
                self.effect(stored)
            except TryLater as later:
                if not self._wait(later):
                    self.inbox.not_tried(self.consumer, stored.seq, self.lease)
                    return
            except Exception as error:
                self._failed(stored, error, attempts)
                return
            else:
                self.inbox.advance(self.consumer, stored.seq, self.lease)
                self._waits = 0
                return

    def _failed(self, stored: StoredEvent, error: Exception | str, attempts: int) -> None:
        # A loop that was cut is as deep at the next try.
        last = attempts >= self.patience.attempts or isinstance(error, FeedbackLoopError)
        self.inbox.failed(
            self.consumer,
            stored.seq,
            error,
            attempts=attempts,
            again_in_seconds=None if last else self.patience.pause(attempts),
            lease=self.lease,
        )
        self._waits = 0
        what = f"{self.consumer} failed on event {stored.seq} ({stored.event.type}), try {attempts}: {one_line(error)}"
        if last:
            self.log("error", f"{what}. It is a dead letter now.")
        else:
            self.log("warning", what)

    def _wait(self, later: TryLater) -> bool:
        """Waits for a target that is away; False if the turn ends meanwhile."""
        self._waits += 1
        if self._waits == 1:
            self.log("warning", f"{self.consumer} waits: {one_line(later)}")
        seconds = self.patience.pause(self._waits) if later.seconds is None else later.seconds
        until = time.monotonic() + seconds
        while self._goes_on() and (left := until - time.monotonic()) > 0:
            self.stop.wait(min(left, _LOOK_SECONDS))
        return self._goes_on()
