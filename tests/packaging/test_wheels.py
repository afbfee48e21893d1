"""The four distributions as a user gets them: wheels in an environment that holds nothing of this folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tools import UV

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = {
    "core": "planasonix",
    "airflow_provider": "airflow_provider_planasonix",
    "dagster_planasonix": "dagster_planasonix",
    "prefect_planasonix": "prefect_planasonix",
}


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for source in DISTRIBUTIONS:
        subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / source], check=True)
    return {package: next(folder.glob(f"*{package}-*.whl")) for package in DISTRIBUTIONS.values()} | {
        "planasonix": next(folder.glob("planasonix-*.whl"))
    }


@pytest.mark.parametrize("package", DISTRIBUTIONS.values())
def test_each_is_typed_and_holds_its_package_only(wheels: dict[str, Path], package: str) -> None:
    with zipfile.ZipFile(wheels[package]) as wheel:
        names = wheel.namelist()
    assert f"{package}/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {package}


def test_the_provider_brings_the_examples_that_the_tests_run(wheels: dict[str, Path]) -> None:
    """Where Airflow looks for them: `example_dags` of the package, with `[core] load_examples`."""
    folder = ROOT / "example_dags" / "airflow"
    with zipfile.ZipFile(wheels["airflow_provider_planasonix"]) as wheel:
        prefix = "airflow_provider_planasonix/example_dags/"
        shipped = {name.removeprefix(prefix): wheel.read(name) for name in wheel.namelist() if name.startswith(prefix)}
    assert shipped == {path.name: path.read_bytes() for path in folder.glob("*.py")}
    assert "planasonix_nightly.py" in shipped


def test_the_core_works_from_its_wheel(wheels: dict[str, Path], tmp_path: Path) -> None:
    """With httpx and pydantic only: the sandbox's in-process door needs nothing else."""
    target = tmp_path / "site"
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--no-deps", "--target", target, wheels["planasonix"]],
        check=True,
    )
    program = (
        "import planasonix, planasonix.sandbox as s; from planasonix.runs import SyncRequest, run_to_end;"
        f"assert planasonix.__file__.startswith({str(target)!r}), planasonix.__file__;"
        "c = planasonix.Planasonix('plnx_live_sandbox', transport=s.Sandbox(speed=100).transport());"
        "print(run_to_end(c, SyncRequest('conn_shop_orders')).status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "succeeded"), done.stderr
