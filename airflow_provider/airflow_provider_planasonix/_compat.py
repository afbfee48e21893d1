"""The one place that knows where Airflow keeps things.

Only `airflow.sdk` here: importing `airflow.models` or a provider costs a DAG file more than this whole package.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, BaseHook, BaseOperator, BaseOperatorLink, configuration
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
)
from airflow.sdk.log import mask_secret

if TYPE_CHECKING:
    from airflow.sdk import BaseSensorOperator, Connection, PokeReturnValue, RetryDecision, RetryPolicy
    from airflow.sdk.exceptions import AirflowSensorTimeout
    from airflow.triggers.base import StartTriggerArgs

__all__ = [
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "Asset",
    "AssetAlias",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "PokeReturnValue",
    "StartTriggerArgs",
    "RetryDecision",
    "RetryPolicy",
    "TaskDeferralTimeout",
    "aconnection_and_extra",
    "api_base_url",
    "asset_uri_of",
    "default_deferrable",
    "is_mapped_instance",
    "mask_secret",
    "option",
    "plugin_base",
    "state_stores_of",
    "stats",
    "runs_in_dag_test",
]

# Only DAG files with sensors or a retry policy pay for these.
_LAZY = {
    "AirflowSensorTimeout": "airflow.sdk.exceptions",
    "BaseSensorOperator": "airflow.sdk",
    "PokeReturnValue": "airflow.sdk",
    "RetryDecision": "airflow.sdk",
    "RetryPolicy": "airflow.sdk",
    "StartTriggerArgs": "airflow.triggers.base",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


async def aconnection_and_extra(conn_id: str) -> tuple[Connection, dict[str, Any]]:
    """Return a connection and its decoded extra, on an event loop.

    Not `BaseHook.aget_connection` and `extra_dejson`: before 3.3.2 both mask their secrets with a blocking call to
    the supervisor, which deadlocks a triggerer. Raises `AirflowNotFoundException` when there is no such connection.
    """
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    connection = await get_async_connection(conn_id)
    return connection, await get_async_extra_dejson(connection)


def api_base_url() -> str:
    """Airflow's `[api] base_url`, as the users' browsers see it."""
    conf: Any = configuration.conf  # type: ignore[attr-defined]  # as below
    return conf.get("api", "base_url", fallback="")


def stats() -> Any:
    """What sends Airflow's metrics from this process: `incr(name, tags=)`, `timing(name, timedelta, tags=)`.

    Airflow 3.3 has two copies of it. The SDK's is set up in workers and, by the SDK's serializer, in triggerers; the
    core's in its own processes only.
    """
    from airflow.sdk.observability import stats as of_sdk

    return of_sdk


def default_deferrable() -> bool:
    """Airflow's `[operators] default_deferrable`: the default of every operator's `deferrable`."""
    conf: Any = configuration.conf  # type: ignore[attr-defined]  # made on first access, unknown to type checkers
    return conf.getboolean("operators", "default_deferrable", fallback=False)


def option(section: str, name: str, default: str = "") -> str:
    """An option of Airflow's configuration as text. May run a command or ask a backend: not on an event loop."""
    conf: Any = configuration.conf  # type: ignore[attr-defined]  # as above
    value = conf.get(section, name, fallback=None)
    return default if value is None else str(value)


def plugin_base() -> Any:
    """Airflow's class of plugins, from the copy that this process has: each of the two would load the other's parts."""
    for name in ("airflow.plugins_manager", "airflow.sdk.plugins_manager"):
        if name in sys.modules:
            return sys.modules[name].AirflowPlugin
    return import_module("airflow.plugins_manager").AirflowPlugin


def state_stores_of(accessors: Any) -> list[Any]:
    """The state store of each asset that an event trigger is for, from what a triggerer gives the trigger.

    That itself takes calls for one asset only, and triggers with equal arguments are one trigger.
    """
    if accessors is None:
        return []
    stores = [*getattr(accessors, "_by_name", {}).values(), *getattr(accessors, "_by_uri", {}).values()]
    return stores or [accessors]


def is_mapped_instance(operator: BaseOperator) -> bool:
    """Whether an operator was made on a worker from `partial(...).expand(...)`, and not by a DAG file."""
    return bool(getattr(operator, "_BaseOperator__from_mapped", False))


def asset_uri_of(outlet: object) -> str | None:
    """The address of an asset, or of a reference to one (`Asset.ref`); None for anything else, aliases included."""
    for name in ("uri", "name"):
        value = getattr(outlet, name, None)
        if isinstance(value, str) and not isinstance(outlet, AssetAlias):
            return value
    return None


def runs_in_dag_test() -> bool:
    """Whether this process is `dag.test()`, or the command line's `tasks test`: task and trigger run in it."""
    # Only those load it, besides supervisors; and of those only they talk to themselves.
    supervisor = sys.modules.get("airflow.sdk.execution_time.supervisor")
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    in_process = getattr(supervisor, "InProcessSupervisorComms", None)
    return in_process is not None and isinstance(getattr(runner, "SUPERVISOR_COMMS", None), in_process)
