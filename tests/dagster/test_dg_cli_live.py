"""`dg` in a fresh project that has our wheels, and nothing of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from planasonix.sandbox import Sandbox
from tests.tools import UV

pytestmark = [pytest.mark.live, pytest.mark.scenario, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
DG = Path(sys.executable).with_name("dg")
KEY = "plnx_live_canary_94be"
COMPONENT = "dagster_planasonix.PlanasonixWorkspaceComponent"
PROJECT = """
[project]
name = "shop"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "shop"
"""
DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


class Project:
    """The project's folder, and `dg` in it."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        home = folder / "dagster_home"
        self.environment = kept | {
            "PYTHONPATH": f"{site}{os.pathsep}{folder / 'src'}",
            "DAGSTER_HOME": str(home),
            "DAGSTER_DG_UPDATE_CHECK_ENABLED": "0",
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        for path, text in {
            folder / "pyproject.toml": PROJECT,
            folder / "src" / "shop" / "__init__.py": "",
            folder / "src" / "shop" / "definitions.py": DEFINITIONS,
            folder / "src" / "shop" / "defs" / "__init__.py": "",
            home / "dagster.yaml": "telemetry:\n  enabled: false\n",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def dg(self, *words: str, expect: int = 0, **environment: str) -> str:
        """What it prints, both streams; checks how it ended, and that the key is not in there."""
        done = subprocess.run(
            [DG, *words],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == expect, done.stdout
        assert KEY not in done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    target = folder / "site"
    for source in ("core", "dagster_planasonix"):
        subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / source], check=True)
    wheels = [str(wheel) for wheel in folder.glob("*.whl")]
    subprocess.run([UV, "pip", "install", "--quiet", "--no-deps", "--target", target, *wheels], check=True)
    return target


@pytest.fixture
def served() -> Iterator[Any]:
    with Sandbox(api_keys=(KEY,), speed=60).serve() as running:
        yield running


def test_from_a_scaffold_to_a_run(tmp_path: Path, site: Path, served: Any) -> None:
    project = Project(tmp_path / "shop", site)
    secret = {"PLANASONIX_API_KEY": KEY}

    assert COMPONENT in project.dg("list", "components")

    project.dg("scaffold", "defs", COMPONENT, "ingest", "--connection-id", "conn_shop_orders", "--base-url", served.url)
    file = project.folder / "src" / "shop" / "defs" / "ingest" / "defs.yaml"
    contents = yaml.safe_load(file.read_text())
    assert contents["attributes"]["connections"] == {"by_id": ["conn_shop_orders"]}
    # The recipe for CI: nothing but `dg utils refresh-defs-state` asks the API.
    contents["attributes"]["defs_state"] = {"management_type": "LOCAL_FILESYSTEM", "refresh_if_dev": False}
    file.write_text(yaml.safe_dump(contents))

    assert "dg utils refresh-defs-state" in project.dg("check", "defs", expect=1)
    project.dg("utils", "refresh-defs-state", **secret)
    (state,) = project.folder.rglob(".local_defs_state/*/state")
    assert KEY not in state.read_text()

    asked = len(served.journal)
    assert "All definitions loaded successfully" in project.dg("check", "defs")
    assert "shop_orders/public/orders" in project.dg("list", "defs", "--json")
    assert len(served.journal) == asked

    project.dg("launch", "--assets", "key:shop_orders/public/orders", **secret)
    assert [entry.operation for entry in served.journal].count("connections.sync") == 1
    assert "connections.list" not in [entry.operation for entry in served.journal][asked:]
    leaked = [path for path in project.folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert leaked == []
