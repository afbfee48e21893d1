"""The clients that this process shares: of Planasonix, one for each credential; of Prefect, one for each server.

A thousand waits of one process so keep the connections of one. They stay open until the process ends.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from planasonix import AsyncPlanasonix, Planasonix
    from prefect_planasonix.credentials import PlanasonixCredentials

_Key = tuple[tuple[str, Any], ...]


class _Shared:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sync: dict[_Key, Planasonix] = {}
        self.of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, AsyncPlanasonix]] = WeakKeyDictionary()
        self.prefect: dict[tuple[str | None, str | None], SyncPrefectClient] = {}


_shared = _Shared()


def _forget() -> None:
    """A fork must not talk over its parent's connections."""
    global _shared
    _shared = _Shared()


os.register_at_fork(after_in_child=_forget)


def shared_client(credentials: PlanasonixCredentials) -> Planasonix:
    """A copy of the process's client for these credentials: closing it closes nothing.

    Raises `ConfigurationError`, which names the field.
    """
    key = _key(credentials)
    with _shared.lock:
        client = _shared.sync.get(key)
        if client is None:
            client = _shared.sync[key] = credentials.get_client()
    return client.with_options()


def shared_async_client(credentials: PlanasonixCredentials) -> AsyncPlanasonix:
    """The same for the running event loop."""
    key = _key(credentials)
    with _shared.lock:
        clients = _shared.of_loop.setdefault(asyncio.get_running_loop(), {})
        client = clients.get(key)
        if client is None:
            client = clients[key] = credentials.get_async_client()
    return client.with_options()


def prefect_client() -> SyncPrefectClient:
    """A client of the Prefect API that the caller's settings name. Safe to use in several threads; never closed."""
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    key = (api.url, None if api.key is None else api.key.get_secret_value())
    with _shared.lock:
        client = _shared.prefect.get(key)
        if client is None:
            # With settings of its own it is not the one of the caller's flow, which is closed when that ends.
            client = get_client(httpx_settings={}, sync_client=True)
            client.__enter__()
            _shared.prefect[key] = client
    return client


def _key(credentials: PlanasonixCredentials) -> _Key:
    # What is left out comes from the environment, which a test changes within one process.
    return (
        ("api_key", credentials.api_key.get_secret_value()),
        # By its name a saved block's key is read again once it was replaced.
        ("block", credentials.block_name),
        *sorted(credentials.settings().items(), key=lambda item: item[0]),
        ("environment's address", os.environ.get("PLANASONIX_BASE_URL")),
    )
