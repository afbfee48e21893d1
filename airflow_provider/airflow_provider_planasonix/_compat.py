"""The one place that knows where Airflow keeps things.

Only `airflow.sdk` here: importing `airflow.models` or a provider costs a DAG file more than this whole package.
"""

from __future__ import annotations

import sys
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
    from airflow.sdk import Connection

__all__ = [
    "AirflowFailException",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "TaskDeferralTimeout",
    "aconnection_and_extra",
    "api_base_url",
    "default_deferrable",
    "mask_secret",
    "runs_in_dag_test",
]


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


def default_deferrable() -> bool:
    """Airflow's `[operators] default_deferrable`: the default of every operator's `deferrable`."""
    conf: Any = configuration.conf  # type: ignore[attr-defined]  # made on first access, unknown to type checkers
    return conf.getboolean("operators", "default_deferrable", fallback=False)


def runs_in_dag_test() -> bool:
    """Whether this process is `dag.test()`, or the command line's `tasks test`: task and trigger run in it."""
    # Only those load it, besides supervisors; and of those only they talk to themselves.
    supervisor = sys.modules.get("airflow.sdk.execution_time.supervisor")
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    in_process = getattr(supervisor, "InProcessSupervisorComms", None)
    return in_process is not None and isinstance(getattr(runner, "SUPERVISOR_COMMS", None), in_process)
