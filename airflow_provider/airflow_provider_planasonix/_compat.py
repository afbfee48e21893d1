"""The one place that knows where Airflow keeps things.

Only `airflow.sdk` here: importing `airflow.models` or a provider costs a DAG file more than this whole package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseOperator, BaseOperatorLink, configuration
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
)
from airflow.sdk.log import mask_secret

if TYPE_CHECKING:
    from airflow.sdk import Connection, RetryDecision, RetryPolicy

__all__ = [
    "AirflowFailException",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "RetryDecision",
    "RetryPolicy",
    "TaskDeferralTimeout",
    "aconnection_and_extra",
    "api_base_url",
    "default_deferrable",
    "mask_secret",
    "stats",
]


def __getattr__(name: str) -> Any:
    # Only DAG files that have a retry policy pay for it.
    if name in ("RetryDecision", "RetryPolicy"):
        import airflow.sdk

        return getattr(airflow.sdk, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
