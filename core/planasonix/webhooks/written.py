"""Tells the listeners of this process that something was stored, so that they need not wait for their next look.

Processes tell each other nothing: what another one stored is found by the look that every listener takes twice a
second.
"""

from __future__ import annotations

import os
import threading

_lock = threading.Lock()
_waiting: dict[str, set[threading.Event]] = {}


def announce(inbox: str) -> None:
    """Wake whoever listens in this process to the inbox of this URL; called after each commit. Never raises, and
    costs a dictionary's look-up where nobody does.
    """
    with _lock:
        for one in _waiting.get(inbox, ()):
            one.set()


def hear(inbox: str, event: threading.Event) -> None:
    """From now on `announce` sets the event."""
    with _lock:
        _waiting.setdefault(inbox, set()).add(event)


def unhear(inbox: str, event: threading.Event) -> None:
    """Undo `hear`."""
    with _lock:
        mine = _waiting.get(inbox, set())
        mine.discard(event)
        if not mine:
            _waiting.pop(inbox, None)


def after_fork() -> None:
    """A child has none of the listeners' threads, and a lock that another thread may have held."""
    global _lock
    _lock = threading.Lock()
    _waiting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)
