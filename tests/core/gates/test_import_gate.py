"""What a DAG file, an asset file or a flow file names must not load what only a running task needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "httpx",
    "httpcore",
    "anyio",
    "asyncio",
    "ssl",
    "pydantic",
    "pydantic_core",
    "sqlite3",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "click",
    "rich",
)


def loaded(code: str) -> list[str]:
    """The heavy modules that a fresh interpreter has loaded after `code`, and had not before."""
    program = f"""
import json, sys
before = set(sys.modules)
{code}
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules and name not in before]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "import planasonix",
        "import planasonix.runs",
        "from planasonix.runs import Provenance, new_intent",
        "from planasonix.runs.requests import BackfillRequest, SyncRequest",
        "from planasonix.errors import PlanasonixError, RunFailedError",
        "from planasonix.watch.interval import Interval",
        "import planasonix.models, planasonix.models.status, planasonix.models.enums",
    ],
)
def test_what_a_dag_file_names_loads_nothing_heavy(code: str) -> None:
    assert loaded(code) == []


def test_no_http_library_before_the_first_request() -> None:
    """Not even with a client made: workers make one in tasks that may send nothing."""
    code = "from planasonix import AsyncPlanasonix, Planasonix; Planasonix('key'); AsyncPlanasonix('key')"
    assert not {"httpx", "httpcore", "sqlalchemy", "click"} & set(loaded(code))


def test_the_gate_sees_what_is_loaded() -> None:
    assert loaded("import httpx, sqlite3") != []
