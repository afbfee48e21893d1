"""A limit on how much the retries of a credential may add to a server's load during an outage."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Hashable


class RetryBudget:
    """Retries of reads: a share of the calls plus a small burst.

    Every call puts `ratio` of a retry into the purse, every retry takes one out, and the purse holds at
    most `burst`. A thousand polls against a server that is down then send some 1,200 requests instead of
    5,000. Only reads ask: whoever polls will ask again anyway, while a start given up here would be a job
    that never ran.
    """

    def __init__(self, *, ratio: float = 0.2, burst: float = 20.0) -> None:
        self._ratio = ratio
        self._burst = burst
        self._purse = burst
        # Reentrant, because a signal's handler may make calls: see `Pacer`.
        self._lock = threading.RLock()
        _budgets.add(self)

    def deposit(self) -> None:
        """Count one call."""
        with self._lock:
            self._purse = min(self._burst, self._purse + self._ratio)

    def withdraw(self) -> bool:
        """Whether one more retry is allowed now; takes it out if so."""
        with self._lock:
            if self._purse < 1.0:
                return False
            self._purse -= 1.0
            return True

    def renew_lock(self) -> None:
        """After a fork: the lock may have been held by a thread that does not exist in the child."""
        self._lock = threading.RLock()


_budgets: weakref.WeakSet[RetryBudget] = weakref.WeakSet()
_registry: weakref.WeakValueDictionary[Hashable, RetryBudget] = weakref.WeakValueDictionary()
_registry_lock = threading.RLock()


def budget_for(key: Hashable) -> RetryBudget:
    """The process's one retry budget for `key` (a credential's fingerprint), as long as somebody holds it.

    Were it each client's own, a process with a client for each waiter would have a burst for each waiter.
    """
    with _registry_lock:
        budget = _registry.get(key)
        if budget is None:
            budget = _registry[key] = RetryBudget()
        return budget


def _after_fork() -> None:
    global _registry_lock
    _registry_lock = threading.RLock()
    for budget in list(_budgets):
        budget.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
