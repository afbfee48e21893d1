"""The typed client: `Planasonix` and its async twin.

The façade is written once, in `_async`; `_sync` is generated from it by `scripts/unasync.py`. Neither
imports httpx, which only `_http` does, at the first request.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planasonix.client._async.client import AsyncPlanasonix as AsyncPlanasonix
    from planasonix.client._sync.client import Planasonix as Planasonix
    from planasonix.client.config import ClientConfig as ClientConfig
    from planasonix.client.options import CallOptions as CallOptions
    from planasonix.client.routes import ROUTES as ROUTES
    from planasonix.client.routes import Route as Route
    from planasonix.client.start_reply import StartReply as StartReply
    from planasonix.engine.paging import Page as Page

_MODULE_BY_NAME = {
    "AsyncPlanasonix": "planasonix.client._async.client",
    "Planasonix": "planasonix.client._sync.client",
    "ClientConfig": "planasonix.client.config",
    "CallOptions": "planasonix.client.options",
    "ROUTES": "planasonix.client.routes",
    "Route": "planasonix.client.routes",
    "StartReply": "planasonix.client.start_reply",
    "Page": "planasonix.engine.paging",
}


def __getattr__(name: str) -> Any:
    module = _MODULE_BY_NAME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_BY_NAME})
