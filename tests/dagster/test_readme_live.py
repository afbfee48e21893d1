"""The README's quick start, word for word, in a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planasonix.sandbox import Sandbox
from tests.pages import ROOT, blocks
from tests.tools import UV

pytestmark = [pytest.mark.live, pytest.mark.scenario, pytest.mark.timeout(400)]

README = ROOT / "dagster_planasonix" / "README.md"
# What it would install is found by PYTHONPATH: our wheels, and the project's own package.
PIP = '#!/bin/sh\n[ "$*" = "install -e ." ] || { echo "pip $*" >&2; exit 1; }\n'


def test_the_quick_start_runs(tmp_path: Path) -> None:
    [project] = [block for block in blocks(README, "") if "mkdir -p shop" in block]
    [commands] = [block for block in blocks(README, "") if "dg scaffold defs" in block]
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "pip").write_text(PIP)
    (tools / "pip").chmod(0o755)
    home = tmp_path / "home"
    home.joinpath("dagster").mkdir(parents=True)
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    wheels(tmp_path)
    with Sandbox(speed=60).serve() as sandbox:
        said = commands.replace("http://127.0.0.1:8765", sandbox.url).replace("dg dev\n", "")
        assert sandbox.url in said
        done = shell(f"{project}\n{said}", tmp_path, tools, home)
        assert "dagster_planasonix.PlanasonixWorkspaceComponent" in done
        assert "All definitions loaded successfully" in done
        assert [entry.operation for entry in sandbox.journal].count("connections.sync") == 1
        assert (home / "dagster" / "history").is_dir()


def wheels(folder: Path) -> None:
    """`dg` finds components by what a wheel says of itself."""
    for source in ("core", "dagster_planasonix"):
        subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / source], check=True)
    made = [str(wheel) for wheel in folder.glob("*.whl")]
    subprocess.run([UV, "pip", "install", "--quiet", "--no-deps", "--target", folder / "site", *made], check=True)


def shell(script: str, folder: Path, tools: Path, home: Path) -> str:
    """What it prints; fails with it when a command does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER", "PLANASONIX"))}
    packages = [folder / "shop" / "src", folder / "site"]
    environment: dict[str, Any] = {
        **kept,
        "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), kept["PATH"]]),
        "PYTHONPATH": os.pathsep.join(map(str, packages)),
        "HOME": str(home),
        "DAGSTER_DG_UPDATE_CHECK_ENABLED": "0",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
