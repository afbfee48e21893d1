"""The README's quick start, word for word, in a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from planasonix.sandbox import Sandbox
from scripts.prefect_local import LocalPrefect
from tests.pages import ROOT, blocks
from tests.tools import UV

pytestmark = [pytest.mark.live, pytest.mark.scenario, pytest.mark.timeout(400)]

README = ROOT / "prefect_planasonix" / "README.md"


def test_the_quick_start_runs(tmp_path: Path) -> None:
    [commands] = [block for block in blocks(README, "") if "prefect block register" in block]
    wheels(tmp_path)
    with Sandbox(speed=60).serve() as sandbox, LocalPrefect(workers=0) as prefect:
        said = commands.replace("http://127.0.0.1:8765", sandbox.url).replace("http://127.0.0.1:4200", prefect.url)
        assert said.count(sandbox.url) == 2
        assert said.count(prefect.url) == 1
        done = shell(said, tmp_path, prefect)
        assert "Planasonix Credentials" in done
        assert "tables" in done
        assert [entry.operation for entry in sandbox.journal].count("connections.sync") == 1
        [run] = prefect.runs()
        assert run["state"]["name"] == "Completed"
        assert prefect.artifacts(run["id"], "planasonix-link-")


def wheels(folder: Path) -> None:
    """What a user installs: Prefect looks for the package's entry point, which only a wheel has."""
    for source in ("core", "prefect_planasonix"):
        subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / source], check=True)
    made = [str(wheel) for wheel in folder.glob("*.whl")]
    subprocess.run([UV, "pip", "install", "--quiet", "--no-deps", "--target", folder / "site", *made], check=True)


def shell(script: str, folder: Path, prefect: LocalPrefect) -> str:
    """What it prints; fails with it when a command does."""
    environment = {
        **prefect.environment,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "site"),
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
