"""One rate budget and one pause for all callers of a credential in this process."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal

from planasonix.engine.effects import Priority
from planasonix.engine.rate_headers import RateState, read_rate_headers

# The share of the limit that a priority leaves untouched for those above it. What starts a job comes first,
# what stops one second; a poll can always be late.
_LEAVES_UNTOUCHED: Mapping[Priority, float] = {"start": 0.0, "cancel": 0.02, "other": 0.1, "poll": 0.2}

# Below this share of the limit, polls are spread over the rest of the window instead of using it up at once.
_SPREAD_BELOW = 0.5

# How long a spent budget is respected when the server did not say when it is renewed.
_BLIND_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Delay:
    """Not yet: ask again after this many seconds."""

    seconds: float
    reason: Literal["retry_after", "rate_limit"]


class Pacer:
    """Admits calls to the API, from any thread and any event loop.

    It never sleeps. `admit` answers at once: None for "go", or a `Delay` after which to ask again. Whoever
    was admitted reports with `settle` in every case. Times are monotonic seconds unless named otherwise.

    Without rate headers (the documents promise them only "when your deployment supports them") it holds
    nobody back except for a pause that the server asked for.
    """

    def __init__(self) -> None:
        # Reentrant: a signal's handler runs between two steps of the main thread, maybe inside these very
        # sections, and whoever is asked to stop there cancels a job with the same credential.
        self._lock = threading.RLock()
        self._paused_until = -math.inf
        self._limit: int | None = None
        self._remaining: int | None = None
        self._reset_at: float | None = None
        self._window_seconds: float | None = None
        self._renewed_at = -math.inf
        self._next_poll_at = -math.inf
        self._in_flight = 0

    def admit(self, priority: Priority, now: float) -> Delay | None:
        """Take a turn if there is one for this priority."""
        with self._lock:
            if now < self._paused_until:
                return Delay(self._paused_until - now, "retry_after")
            delay = self._budget_delay(priority, now)
            if delay is not None:
                return delay
            if self._remaining is not None:
                self._remaining -= 1
            self._in_flight += 1
            return None

    def settle(
        self, headers: Mapping[str, str] | None, *, now: float, wall: float, admitted_at: float = math.inf
    ) -> None:
        """The call that was admitted at `admitted_at` is over; `headers` of its answer, or None if there was
        none. `wall` in epoch seconds.
        """
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
            state = read_rate_headers(headers, wall) if headers else None
            if state is not None:
                self._learn(state, now, admitted_at)

    def pause(self, seconds: float, now: float) -> None:
        """Nobody is admitted for this long. A running longer pause stays."""
        with self._lock:
            self._paused_until = max(self._paused_until, now + seconds)

    def renew_lock(self) -> None:
        """After a fork: the lock may have been held, and calls made, by threads that do not exist in the
        child.
        """
        self._lock = threading.RLock()
        self._in_flight = 0

    def _budget_delay(self, priority: Priority, now: float) -> Delay | None:
        if self._limit is None or self._remaining is None:
            return None
        if self._reset_at is not None and now >= self._reset_at:
            # What is still on its way may be counted in the new window.
            self._remaining = max(0, self._limit - self._in_flight)
            self._renewed_at = now
            self._next_poll_at = -math.inf
            self._reset_at = None if self._window_seconds is None else now + self._window_seconds
        # At least one call of the limit stays usable, whatever its priority: with a limit of 1, polls still
        # move.
        floor = min(math.ceil(self._limit * _LEAVES_UNTOUCHED[priority]), self._limit - 1)
        usable = self._remaining - floor
        if usable <= 0:
            if self._reset_at is None:
                self._reset_at = now + _BLIND_WAIT_SECONDS
            return Delay(self._reset_at - now, "rate_limit")
        if priority == "poll" and self._remaining < self._limit * _SPREAD_BELOW and self._reset_at is not None:
            if now < self._next_poll_at:
                return Delay(self._next_poll_at - now, "rate_limit")
            self._next_poll_at = now + (self._reset_at - now) / usable
        return None

    def _learn(self, state: RateState, now: float, admitted_at: float) -> None:
        # The server has not counted what is still on its way to it.
        remaining = max(0, state.remaining - self._in_flight)
        limit = state.limit or max(state.remaining, self._limit or 1)
        if state.reset_in_seconds is None:
            self._limit, self._remaining, self._reset_at = limit, remaining, None
            return
        reset_at = now + state.reset_in_seconds
        # A late answer to a call of the window before would end this window early.
        if admitted_at < self._renewed_at and self._reset_at is not None and reset_at < self._reset_at - 1.0:
            return
        # Within one window the budget only shrinks, so an answer that was overtaken by another cannot
        # enlarge it. Whole seconds in the headers make the same moment wobble by up to one second.
        if self._remaining is not None and self._reset_at is not None and abs(reset_at - self._reset_at) < 1.0:
            remaining = min(remaining, self._remaining)
        if self._reset_at is not None and reset_at >= self._reset_at + 1.0:
            self._renewed_at = now
        if limit != self._limit:
            self._window_seconds = None
        self._limit, self._remaining, self._reset_at = limit, remaining, reset_at
        self._window_seconds = max(self._window_seconds or 0.0, state.reset_in_seconds)


_registry: weakref.WeakValueDictionary[Hashable, Pacer] = weakref.WeakValueDictionary()
_registry_lock = threading.RLock()


def pacer_for(key: Hashable) -> Pacer:
    """The process's one pacer for `key` (a credential's fingerprint). It lives as long as somebody holds
    it.
    """
    with _registry_lock:
        pacer = _registry.get(key)
        if pacer is None:
            pacer = _registry[key] = Pacer()
        return pacer


def _after_fork() -> None:
    global _registry_lock
    _registry_lock = threading.RLock()
    for pacer in list(_registry.values()):
        pacer.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
