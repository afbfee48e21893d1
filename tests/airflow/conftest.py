"""One real Airflow and one sandbox process for all live tests of this folder."""

import os
import shutil
import socket
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Whoever imports airflow in this process must not make or read a home of the user's.
_HOME = Path(tempfile.mkdtemp(prefix="airflow-unit-"))
os.environ["AIRFLOW_HOME"] = str(_HOME)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from scripts.airflow_local import LocalAirflow  # noqa: E402
from scripts.airflow_local.sandbox import SandboxProcess  # noqa: E402


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


# Looked for in logs, database and XComs: it must turn up nowhere.
CANARY_KEY = "plnx_live_canary_5b1f0c9d"


@pytest.fixture(scope="session")
def sandbox_port() -> int:
    """The port of the sandbox, known before it runs, because Airflow's connection names it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def _sandbox(sandbox_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(sandbox_port, CANARY_KEY, tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture
def sandbox_process(_sandbox: SandboxProcess) -> SandboxProcess:
    """The product's sandbox as a separate process, as new."""
    _sandbox.reset()
    return _sandbox


@pytest.fixture(scope="session")
def airflow(sandbox_port: int) -> Iterator[LocalAirflow]:
    """A running Airflow whose `planasonix_default` points at the sandbox, started at first use."""
    connection = {
        "conn_type": "planasonix",
        "host": f"http://127.0.0.1:{sandbox_port}",
        "password": CANARY_KEY,
        "extra": {"job_url_template": f"http://127.0.0.1:{sandbox_port}/#/jobs/{{job_id}}"},
    }
    with LocalAirflow(connections={"planasonix_default": connection}) as running:
        yield running


@pytest.fixture
def dag(airflow: LocalAirflow, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Returns a function that installs the body of a DAG for this test and returns the DAG id.

    The body is what stands inside `with DAG(...)`; `airflow.sdk`, `datetime`, `timedelta` and `UTC` are imported.
    """
    test_module = Path(request.node.path).stem.removeprefix("test_")
    dag_id = f"{test_module}__{request.node.name}".replace("[", "_").replace("]", "")

    def install(body: str, *, imports: str = "", arguments: str = "schedule=None") -> str:
        source = "\n".join(
            [
                "from datetime import UTC, datetime, timedelta",
                "from airflow.sdk import DAG, Asset, BaseOperator, task",
                textwrap.dedent(imports),
                f"with DAG({dag_id!r}, {arguments}):",
                textwrap.indent(textwrap.dedent(body), "    "),
            ]
        )
        airflow.add_dag(f"{dag_id}.py", source)
        return dag_id

    return install
