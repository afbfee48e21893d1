"""What each module that a DAG file may import costs on top of `airflow.sdk`: Airflow imports it at each parse."""

import json
import pkgutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

PACKAGE = "airflow_provider_planasonix"
GATE_SECONDS = 0.060
TRIES = 3
# What DAG files name besides operators, sensors and hooks.
NAMED = ("assets", "links", "retry_policy", "task_groups")
TOO_DEAR = (
    "airflow.models",
    "airflow.providers",
    "anyio",
    "click",
    "httpx",
    "openlineage",
    "planasonix.client",
    "planasonix.models",
    "planasonix.sandbox",
    "rich",
    "sqlalchemy",
    "starlette",
)

# Each try in a fork of a process that has imported airflow.sdk: as fresh as a new interpreter, in a hundredth of its
# time. Processor time, not the clock's: what else this machine does is not what an import costs.
MEASURE = """
import json, os, sys, time
import airflow.sdk
from airflow.sdk import DAG, BaseOperator, Asset, task

def once(name):
    reading, writing = os.pipe()
    if os.fork() == 0:
        before = set(sys.modules)
        began = time.process_time()
        __import__(name)
        took = time.process_time() - began
        dear = [m for m in sys.modules if m not in before and any(m == d or m.startswith(d + ".") for d in DEAR)]
        os.write(writing, json.dumps([took, dear]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read()
    os.wait()
    return json.loads(told)

for name in NAMES:
    tries = [once(name) for _ in range(TRIES)]
    print(json.dumps([name, min(took for took, _ in tries), tries[0][1]]))
"""


def modules() -> list[str]:
    """All modules of the packages that hold operators, sensors and hooks, and the others that exist."""
    found = [f"{PACKAGE}.{name}" for name in NAMED if find_spec(f"{PACKAGE}.{name}")]
    for part in ("operators", "sensors", "hooks"):
        name = f"{PACKAGE}.{part}"
        spec = find_spec(name)
        if spec is not None:
            inside = pkgutil.iter_modules(spec.submodule_search_locations, f"{name}.")
            found += [name, *(module.name for module in inside)]
    return sorted(found)


@pytest.fixture(scope="module")
def measured() -> dict[str, tuple[float, list[str]]]:
    together = f"{PACKAGE}.operators.sync"
    head = f"NAMES, TRIES, DEAR = {[*modules(), 'airflow.models.dag']!r}, {TRIES}, {TOO_DEAR!r}\n"
    run = subprocess.run([sys.executable, "-c", head + MEASURE], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("[")]
    assert together in (row[0] for row in rows), run.stderr
    return {name: (took, dear) for name, took, dear in rows}


@pytest.mark.alone
@pytest.mark.parametrize("module", modules())
def test_a_dag_file_pays_little_for(module: str, measured: dict[str, tuple[float, list[str]]]) -> None:
    took, dear = measured[module]
    assert dear == []
    assert took <= GATE_SECONDS


@pytest.mark.alone
def test_the_gate_sees_what_is_dear(measured: dict[str, tuple[float, list[str]]]) -> None:
    took, dear = measured["airflow.models.dag"]
    assert any(name.startswith("airflow.models.") for name in dear)
    assert took > GATE_SECONDS


def test_all_that_is_named_in_the_provider_info_is_measured() -> None:
    from airflow_provider_planasonix.get_provider_info import get_provider_info

    info = get_provider_info()
    named = {
        name
        for part in ("operators", "sensors", "hooks")
        for group in info.get(part, ())
        for name in group["python-modules"]
    }
    assert named
    assert named <= set(modules())
