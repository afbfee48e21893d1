"""The API clients of this process: one for each set of settings, shared by all resources that have them.

A resource is made anew for each step and each tick of a sensor. Its client is not: connections stay open between ticks,
and a client that one tick closed cannot break another one's call.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planasonix import Planasonix

_lock = threading.Lock()
_clients: dict[tuple[tuple[str, Any], ...], Planasonix] = {}


def shared_client(settings: dict[str, Any]) -> Planasonix:
    """The process's client for these settings of `planasonix.Planasonix`, as a copy whose `close` closes nothing.

    Raises `ConfigurationError`, which names the setting.
    """
    # What is left out comes from the environment, which a test changes within one process.
    inherited = [(name, os.environ.get(name)) for name in ("PLANASONIX_API_KEY", "PLANASONIX_BASE_URL")]
    key = (*sorted(settings.items()), *inherited)
    with _lock:
        client = _clients.get(key)
        if client is None:
            from planasonix import Planasonix  # here, because whoever only loads definitions needs no client

            if not _clients:
                atexit.register(close_clients)
            client = _clients[key] = Planasonix(**settings)
    return client.with_options()


def close_clients() -> None:
    """Close all of them: at the end of the process, or of a test. A later call opens new ones."""
    with _lock:
        clients = list(_clients.values())
        _clients.clear()
    for client in clients:
        client.close()
