"""One real Airflow and one sandbox process for all live tests of this folder."""

import os
import secrets
import shutil
import socket
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.airflow_local import LocalAirflow
from scripts.airflow_local.statsd import StatsdCapture
from scripts.local.sandbox import SandboxProcess

# Whoever imports airflow in this process must not make or read a home of the user's.
_HOME = Path(tempfile.mkdtemp(prefix="airflow-unit-"))
os.environ["AIRFLOW_HOME"] = str(_HOME)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whichever live test comes first starts the Airflow of all of them: that has limits of its own.
    for item in items:
        if item.get_closest_marker("live") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(240, func_only=True))


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


# The API key of this run: looked for in all that Airflow and the sandbox wrote, and by `make test` in all output.
CANARY_KEY = os.environ.get("PLANASONIX_SANDBOX_API_KEY") or f"plnx_live_canary_{secrets.token_hex(16)}"


@pytest.fixture(scope="session")
def sandbox_port() -> int:
    """The port of the sandbox, known before it runs, because Airflow's connection names it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def _sandbox(sandbox_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    logs = tmp_path_factory.mktemp("sandbox")
    with SandboxProcess(sandbox_port, CANARY_KEY, logs) as process:
        yield process
    assert [path for path in logs.rglob("*") if path.is_file() and CANARY_KEY.encode() in path.read_bytes()] == []


@pytest.fixture
def sandbox_process(_sandbox: SandboxProcess) -> SandboxProcess:
    """The product's sandbox as a separate process, as new."""
    _sandbox.reset()
    return _sandbox


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsdCapture]:
    """The metrics that the running Airflow sends."""
    with StatsdCapture() as capture:
        yield capture
        assert capture.lines(CANARY_KEY) == []


@pytest.fixture(scope="session")
def airflow(sandbox_port: int, statsd: StatsdCapture) -> Iterator[LocalAirflow]:
    """A running Airflow whose `planasonix_default` points at the sandbox, started at first use."""
    connection = {
        "conn_type": "planasonix",
        "host": f"http://127.0.0.1:{sandbox_port}",
        "password": CANARY_KEY,
        "extra": {"job_url_template": f"http://127.0.0.1:{sandbox_port}/#/{{kind}}s/{{id}}"},
    }
    # All examples run at once: SQLite lets one of its writers in at a time, and the triggerer stands still meanwhile.
    with LocalAirflow(
        connections={"planasonix_default": connection},
        environment_variables=statsd.environment,
        database="postgresql",
    ) as running:
        yield running
        assert running.files_with(CANARY_KEY) == [], "the API key stands in Airflow's logs or database"


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


OPERATORS = """
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
"""
RETRIES = "schedule=None, default_args={'retries': 1, 'retry_delay': timedelta(seconds=1)}"


PATIENCE = 90.0
"""For what a quiet machine does in a second or ten: two lanes of tests share its cores."""


class World:
    """One Airflow, one sandbox, and short ways to what the tests ask."""

    ORDERS = "conn_shop_orders"
    FAST = "poll_interval_seconds=0.5"

    def __init__(self, airflow: LocalAirflow, sandbox: SandboxProcess, dag: Any) -> None:
        self.airflow = airflow
        self.sandbox = sandbox
        self._dag = dag

    def start(self, body: str, **run: Any) -> Any:
        return self.airflow.trigger(self._dag(body, imports=OPERATORS, arguments=RETRIES), **run)

    def sync(self, *, deferrable: bool, connection_id: str = "conn_shop_orders", extra: str = "") -> Any:
        return self.start(
            f"PlanasonixSyncOperator(task_id='sync', connection_id='{connection_id}', deferrable={deferrable}, "
            f"{self.FAST}, {extra})"
        )

    def script(self, connection_id: str = "conn_shop_orders", **outcome: Any) -> None:
        self.sandbox.control("PUT", f"connections/{connection_id}/script", outcome)

    def jobs(self, connection_id: str = "conn_shop_orders") -> list[dict[str, Any]]:
        """Oldest first."""
        found = self.sandbox.control("GET", f"jobs?connection_id={connection_id}")
        return sorted(found["jobs"] if isinstance(found, dict) else found, key=lambda job: job["id"])

    def wait_for_job(self, number: int = 1, connection_id: str = "conn_shop_orders") -> dict[str, Any]:
        """The number-th job of the connection, once it is there and was looked at."""
        return self.airflow.wait_until(
            lambda: (self.jobs(connection_id)[number - 1 :] or [None])[0], f"job {number} of {connection_id}", PATIENCE
        )

    def waiting(self, run: Any, deferrable: bool, try_number: int = 1, look: str = "jobs.get") -> None:
        """Return once the task waits for its job: somebody looks at it."""
        self.airflow.wait_task(run, "sync", "deferred" if deferrable else "running", try_number=try_number)
        before = self.calls(look)
        self.airflow.wait_until(lambda: self.calls(look) > before, "a look at the job", PATIENCE)

    def wait_for_a_look(self, job: dict[str, Any]) -> None:
        """Return once somebody reads this job: its trigger runs."""

        def looked() -> bool:
            found = self.sandbox.control("GET", "journal?operation=jobs.get")
            return any(job["id"] in entry["path"] for entry in found["entries"])

        self.airflow.wait_until(looked, f"a look at {job['id']}", PATIENCE)

    def calls(self, operation: str) -> int:
        return self.sandbox.control("GET", "counts")["calls_by_operation"].get(operation, 0)

    def finish(self, job: dict[str, Any], outcome: str = "succeeded") -> None:
        self.sandbox.control("POST", f"jobs/{job['id']}/finish", {"outcome": outcome})

    def statuses(self, connection_id: str = "conn_shop_orders") -> list[str]:
        return [job["status"] for job in self.jobs(connection_id)]

    def cancelled(self, number: int, connection_id: str = "conn_shop_orders") -> None:
        self.airflow.wait_until(
            lambda: self.statuses(connection_id)[number - 1] == "cancelled", f"job {number} to be cancelled", PATIENCE
        )


@pytest.fixture
def world(airflow: LocalAirflow, sandbox_process: SandboxProcess, dag: Any) -> World:
    return World(airflow, sandbox_process, dag)
