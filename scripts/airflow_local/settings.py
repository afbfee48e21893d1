"""The environment variables that make an Airflow small, quick and alone."""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Intervals:
    """How soon Airflow notices things, in seconds. The defaults suit tests on a busy two-core machine.

    task_heartbeat_timeout: a task whose supervisor was killed counts as dead after it.
    health: a triggerer or scheduler that was killed counts as dead after it.
    """

    task_heartbeat_timeout: int = 15
    health: int = 10
    scheduler_idle: float = 0.3


def new_secrets() -> dict[str, str]:
    """Return the keys that all components of one Airflow must share."""
    return {
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
    }


def connection_variables(connections: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return `AIRFLOW_CONN_<ID>` variables; a connection is a mapping as in Airflow's JSON form."""
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(dict(value)) for name, value in connections.items()}


def base_environment(home: Path) -> dict[str, str]:
    """Return this process's environment without the settings of another Airflow or Planasonix."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW", "PLANASONIX", "PYTEST"))
    }
    return kept | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=30",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Its listener forks a process at the begin and at the end of each task.
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }


def environment(home: Path, port: int, intervals: Intervals, parallelism: int) -> dict[str, str]:
    """Return the whole environment of a component."""
    url = f"http://127.0.0.1:{port}"
    options: dict[str, dict[str, object]] = {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": parallelism,
            "simple_auth_manager_all_admins": True,
            "execution_api_server_url": f"{url}/execution/",
            "dags_are_paused_at_creation": False,
            "default_task_retry_delay": 1,
            "min_serialized_dag_update_interval": 0,
            "test_connection": "Enabled",
        },
        "api": {"host": "127.0.0.1", "port": port, "base_url": url, "log_fetch_timeout_sec": 2},
        "scheduler": {
            "job_heartbeat_sec": 1,
            "scheduler_heartbeat_sec": 1,
            "scheduler_idle_sleep_time": intervals.scheduler_idle,
            "scheduler_health_check_threshold": intervals.health,
            "orphaned_tasks_check_interval": 3,
            "task_instance_heartbeat_sec": 1,
            "task_instance_heartbeat_timeout": intervals.task_heartbeat_timeout,
            "task_instance_heartbeat_timeout_detection_interval": 1,
            "trigger_timeout_check_interval": 1,
        },
        "workers": {"min_heartbeat_interval": 1, "socket_cleanup_timeout": 5},
        "triggerer": {"job_heartbeat_sec": 1, "triggerer_health_check_threshold": intervals.health},
        "dag_processor": {
            "refresh_interval": 1,
            "bundle_refresh_check_interval": 1,
            # A changed file is parsed at once anyway; parsing unchanged ones again only costs processor time.
            "min_file_process_interval": 3600,
            "parsing_processes": 1,
        },
    }
    named = {
        f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
        for section, values in options.items()
        for option, value in values.items()
    }
    return base_environment(home) | named
