"""No warning comes from our code, deprecations of Airflow and Python included; what Airflow's own code says is its own.

A warning belongs to whoever's line it names. Airflow's deprecations name the caller: ours would name a file of ours.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "example_dags" / "airflow").glob("*.py"))

# As `-W error`, for every line of our packages and of the example DAGs. The filter of `-W` wants whole module names.
ERRORS_OF_OURS = """
import re, warnings
warnings.simplefilter("ignore")
warnings.filterwarnings("error", module=r"(airflow_provider_)?planasonix($|\\.)")
warnings.filterwarnings("error", module=r"(planasonix_\\w+|__main__|example)$")
"""
EVERY_MODULE = """
import importlib, pkgutil
import airflow_provider_planasonix, planasonix
names = [
    module.name
    for package in (planasonix, airflow_provider_planasonix)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=raise_it)
    if not module.name.endswith("__main__")
]
assert len(names) > 100, names
for name in names:
    importlib.import_module(name)
"""
RAISE = """
def raise_it(name):
    raise ImportError(name)
"""


def run(code: str, *options: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return subprocess.run(
        [sys.executable, *options, "-c", code], env=environment, capture_output=True, text=True, timeout=110
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_every_module_imports_without_a_warning_of_ours(home: Path) -> None:
    done = run(ERRORS_OF_OURS + RAISE + EVERY_MODULE, home=home)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_core_imports_under_the_strict_option(home: Path) -> None:
    """Whoever's warning it is: the core's dependencies have none either."""
    code = "import planasonix, planasonix.runs.aio, planasonix.models, planasonix.watch.watcher, planasonix.sandbox\n"
    done = run(code + "from planasonix.client._http import load\nload()", "-W", "error", home=home)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_parsed_without_a_warning(home: Path, example: Path) -> None:
    code = f"import runpy\nrunpy.run_path({str(example)!r}, run_name='example')"
    done = run(ERRORS_OF_OURS + code, home=home)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_warning_of_ours_would_be_seen(home: Path) -> None:
    """An import that Airflow 3 deprecates, from a module with a name of ours."""
    code = """
import sys, types
module = types.ModuleType("airflow_provider_planasonix.old")
exec(compile("from airflow.hooks.base import BaseHook", "old.py", "exec"), {"__name__": module.__name__})
"""
    done = run(ERRORS_OF_OURS + code, home=home)
    assert done.returncode != 0
    assert "eprecat" in done.stderr
