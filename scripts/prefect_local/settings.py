"""The settings of a local Prefect: quick intervals, a home of its own, nothing sent to anybody."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POOL = "local"
"""The work pool of the process worker."""

SETTINGS: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_CLI_COLORS": "false",
    "PREFECT_LOGGING_COLORS": "false",
    # Ask for work and look at the pool every second, instead of every ten and thirty.
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    # Many processes write to one SQLite.
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_API_REQUEST_TIMEOUT": "120",
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
}


def environment(home: Path, url: str, more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without the settings of another Prefect or Planasonix."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT", "PLANASONIX", "PYTEST", "AIRFLOW", "DAGSTER"))
    }
    # The packages of this tree, wherever the environment's own links lead.
    tree = [str(ROOT / "core"), str(ROOT / "prefect_planasonix")]
    paths = [*tree, *filter(None, [kept.get("PYTHONPATH", "")])]
    return {
        **kept,
        **SETTINGS,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_UI_URL": url,
        "PYTHONPATH": os.pathsep.join(paths),
        # Temporary files of processes that are killed must not stay behind.
        "TMPDIR": str(home / "tmp"),
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        **more,
    }
