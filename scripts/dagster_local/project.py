"""The project that a local Dagster serves, and the settings of its instance."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NAME = "scene"
"""Of the project, its package and its code location."""

_PYPROJECT = f"""
[project]
name = "{NAME}"
version = "0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{NAME}"
"""

SETTINGS: dict[str, Any] = {
    "telemetry": {"enabled": False},
    # Of the default kind, but asked once a second whether a run may start.
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_interval_seconds": 1, "max_concurrent_runs": 25},
    },
    "run_monitoring": {"enabled": True, "poll_interval_seconds": 2, "start_timeout_seconds": 300},
    # A run whose process died is tried again if its tags ask for it; a step that failed has its own retries.
    "run_retries": {"enabled": True, "max_retries": 0, "retry_on_asset_or_op_failure": False},
}
"""What `dagster.yaml` says, unless a test says otherwise."""


def write_project(folder: Path, definitions: str | Path, files: Mapping[str, str]) -> None:
    """Write a project as `dg` knows it.

    definitions: Python source that has a `Definitions` in a name of its module, or the folder of a project to copy.
    """
    if isinstance(definitions, Path):
        shutil.copytree(definitions, folder, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        package = folder / NAME
        package.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(_PYPROJECT)
        (package / "__init__.py").write_text("")
        write_definitions(folder, definitions)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_definitions(folder: Path, definitions: str) -> None:
    (folder / NAME / "definitions.py").write_text(definitions)


def write_settings(home: Path, settings: Mapping[str, Any]) -> None:
    """Write `dagster.yaml`: JSON, which is YAML too and needs no library."""
    (home / "dagster.yaml").write_text(json.dumps({**SETTINGS, **settings}))


def environment(home: Path, project: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without the settings of another Dagster or Planasonix."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DAGSTER", "PLANASONIX", "PYTEST", "AIRFLOW"))
    }
    # The packages of this tree, wherever the environment's own links lead.
    tree = [str(ROOT / "core"), str(ROOT / "dagster_planasonix")]
    paths = [str(project), *tree, *filter(None, [kept.get("PYTHONPATH", "")])]
    return {
        **kept,
        "DAGSTER_HOME": str(home),
        "DAGSTER_DG_UPDATE_CHECK_ENABLED": "0",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PYTHONPATH": os.pathsep.join(paths),
        # Sockets and temporary files of processes that are killed must not stay behind.
        "TMPDIR": str(home / "tmp"),
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        **more,
    }
