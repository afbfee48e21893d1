"""Planasonix for orchestrators: client, run engine, sandbox.

    from planasonix import Planasonix

    with Planasonix() as client:
        job = client.connections.sync("conn_01jq8k2m3n4p5q6r7s8t9u0v1")
        client.jobs.wait(job.id, timeout=3600)

Importing this package imports neither httpx nor pydantic: orchestrators parse their files often, and most
of the time only the names are needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planasonix import errors as errors
    from planasonix import models as models
    from planasonix.client import AsyncPlanasonix as AsyncPlanasonix
    from planasonix.client import Planasonix as Planasonix
    from planasonix.errors import PlanasonixError as PlanasonixError

    __version__: str

__all__ = ["AsyncPlanasonix", "Planasonix", "PlanasonixError", "__version__", "errors", "models"]

_MODULE_BY_NAME = {
    "AsyncPlanasonix": "planasonix.client",
    "Planasonix": "planasonix.client",
    "PlanasonixError": "planasonix.errors",
}


def __getattr__(name: str) -> Any:
    if name in ("errors", "models"):
        return import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("planasonix")
    elif name in _MODULE_BY_NAME:
        value = getattr(import_module(_MODULE_BY_NAME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
