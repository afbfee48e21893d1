"""Sweeps again and again, in one process of all that share an inbox: the one that holds the lease."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from planasonix.errors import ConfigurationError, PlanasonixError
from planasonix.webhooks.event import Event
from planasonix.webhooks.sweep.cursor import SweepCursor
from planasonix.webhooks.sweep.find import Swept, Told, sweep_once
from planasonix.webhooks.sweep.pruning import KEEP_DAYS, Pruning

if TYPE_CHECKING:
    from planasonix.client import Planasonix
    from planasonix.webhooks.inbox import Inbox, Lease

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0
_LEASE = 1.5  # intervals: with the pause of those who wait for it, it moves within two
_ASK_AGAIN = 0.25
_SHARE_OF_THE_INTERVAL = 0.5  # that a sweep may take
_TOO_EARLY = 0.9
_CALL_SECONDS = 10.0
_LONGEST_INTERVAL_SECONDS = 86_400.0


class Sweeper:
    """Writes the ends that no webhook brought to an inbox, for as long as it is started.

    `inbox_url` is the inbox and `connect` makes the client, which the sweeper closes. Of all the sweepers on one inbox
    with the same `name` one works, and one of the others takes over within two intervals once it is gone, killed or
    not. Use a name for each tenant where several share an inbox. `interval_seconds` is the pause between two sweeps:
    so late an end is felt whose webhook was lost. Once a day it also prunes the inbox: what arrived more than
    `keep_days` ago is removed, read or not; None keeps everything.

    Raises `ConfigurationError`, which names the field and the fix.

        sweeper = Sweeper("sqlite:////srv/planasonix/inbox.db", Planasonix)
        sweeper.start()
        ...
        sweeper.stop()
    """

    def __init__(
        self,
        inbox_url: str,
        connect: Callable[[], Planasonix],
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        name: str = "sweep",
        keep_days: float | None = KEEP_DAYS,
    ) -> None:
        if isinstance(interval_seconds, bool) or not 0 < interval_seconds <= _LONGEST_INTERVAL_SECONDS:
            raise ConfigurationError(
                f"sweep_interval_seconds must be above 0 and a day at most, got {interval_seconds!r}.",
                field="sweep_interval_seconds",
            )
        self._url, self._connect, self._name = inbox_url, connect, name
        self._interval = interval_seconds
        # Not the process id alone: machines that share a PostgreSQL inbox have equal ones.
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._told = Told()
        self._noted: str | None = None
        self._pruning = Pruning(keep_days)
        self._inbox: Inbox | None = None
        self._client: Planasonix | None = None
        self._lease: Lease | None = None
        self._renewed_at = 0.0
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def __repr__(self) -> str:
        return f"<Sweeper {self._name!r} {'at work' if self.is_at_work else 'idle'}>"  # the URL may hold a password

    def __enter__(self) -> Sweeper:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def is_at_work(self) -> bool:
        """Whether it holds the lease, as far as it knows."""
        return self._lease is not None

    def start(self) -> None:
        """Sweep in a daemon thread until `stop`. A second call does nothing; a forked child starts its own."""
        if self._thread is None or not self._thread.is_alive():
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, name="planasonix-sweeper", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread after the call it is in, give the lease back, and close what was opened."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=_CALL_SECONDS + 5)
        self._thread = None

    def run(self, stop: threading.Event | None = None) -> None:
        """The same in the calling thread, until the event is set."""
        self._stop = stop or self._stop
        self._run()

    def sweep_now(self, seconds: float | None = None) -> Swept | None:
        """One sweep if this process may take it now, else None: another one holds the lease, or the last sweep was
        taken less than an interval ago. `seconds`: how long it may take, half an interval at most. Raises what goes
        wrong.
        """
        inbox = self._open()
        if not self._holds_lease(inbox):
            return None
        text = inbox.note(self._name)
        if text != self._noted:
            # Another process has swept since, or the inbox was put back to an older state, which lacks what was told.
            self._told = Told()
        cursor = SweepCursor.from_text(text)
        if 0 <= time.time() - cursor.swept_at < _TOO_EARLY * self._interval:
            return None
        at_most = max(_SHARE_OF_THE_INTERVAL * self._interval, 1.0)
        until = time.monotonic() + (at_most if seconds is None else min(seconds, at_most))

        def is_over() -> bool:
            late = time.monotonic() >= until
            return late or self._stop.is_set() or not self._keep_lease(inbox)

        try:
            swept = sweep_once(
                self._looking(), cursor, lambda events: _write(inbox, events), self._told, log=_say, stop=is_over
            )
            return swept
        finally:
            # Also after an error, which may have come after half of the work. Whoever lost the lease is refused here.
            if self._lease is not None:
                cursor.swept_at = time.time()
                text = cursor.to_text()
                inbox.write_note(self._name, text, self._lease)
                self._noted = text
                # After the sweep: what is found late hurts, what is removed late does not.
                self._pruning.prune_if_due(inbox, self._lease)

    def _run(self) -> None:
        due_at = time.monotonic()
        try:
            while not self._stop.is_set():
                self._try()
                # Counted from when it was due, so that an interval is one.
                step = self._interval if self.is_at_work else _ASK_AGAIN * self._interval
                due_at = max(due_at + step, time.monotonic() + 0.1 * step)
                self._stop.wait(max(0.0, due_at - time.monotonic()))
        finally:
            self._close()

    def _try(self) -> None:
        from planasonix.webhooks.inbox import LeaseLost

        try:
            swept = self.sweep_now()
        except LeaseLost:
            log.info("another process sweeps now")
            self._lease = None
            return
        except Exception as error:
            self._tell_failure(error)
            return
        if swept is not None and swept.calls_failed:
            self._tell_failure(swept.calls_failed[-1])
        elif swept is not None:
            if self._failures:
                log.warning("the sweep works again after %d failed ones", self._failures)
            self._failures = 0
            if swept.found:
                log.info("the sweep found %d ends; %d runs go on", swept.found, swept.open)

    def _tell_failure(self, error: Exception) -> None:
        """Once, until it works again: an outage of an hour is one line."""
        self._failures += 1
        if self._failures > 1:
            return
        if isinstance(error, PlanasonixError):
            log.warning("a sweep failed, the next one goes on with it: %s", error.headline())
        else:
            log.exception("a sweep failed, the next one goes on with it")

    def _open(self) -> Inbox:
        if self._inbox is None:
            from planasonix.webhooks.inbox import Inbox

            self._inbox = Inbox.open(self._url)
        return self._inbox

    def _looking(self) -> Planasonix:
        if self._client is None:
            self._client = self._connect()
        return self._client.with_options(max_tries=2, deadline_seconds=_CALL_SECONDS)

    def _holds_lease(self, inbox: Inbox) -> bool:
        if self._lease is not None and not inbox.renew(self._lease):
            self._lease = None
        if self._lease is None:
            self._lease = inbox.lease(self._name, self._holder, _LEASE * self._interval)
        self._renewed_at = time.monotonic()
        return self._lease is not None

    def _keep_lease(self, inbox: Inbox) -> bool:
        """Between two calls of a long sweep."""
        if self._lease is not None and time.monotonic() - self._renewed_at > 0.3 * self._interval:
            return self._holds_lease(inbox)
        return self._lease is not None

    def _close(self) -> None:
        inbox, client, lease = self._inbox, self._client, self._lease
        self._inbox = self._client = self._lease = None
        try:
            if inbox is not None and lease is not None:
                inbox.release(lease)
        except Exception as error:
            log.debug("the lease was not given back, and runs out by itself: %r", error)
        for one in (inbox, client):
            if one is not None:
                one.close()


def _write(inbox: Inbox, events: list[Event]) -> None:
    from planasonix.webhooks.inbox import Arrival

    inbox.add([Arrival.of(event, "sweep") for event in events])


def _say(level: str, text: str) -> None:
    log.log(logging.WARNING if level == "warning" else logging.INFO, "%s", text)
