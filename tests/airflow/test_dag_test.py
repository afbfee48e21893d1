"""`dag.test()` in a plain Python process, as an author runs it: both ways of waiting, good and bad ends, and Ctrl-C.

The sandbox's journal is the judge of what was started and cancelled.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planasonix.sandbox import Sandbox
from scripts.airflow_local.cluster import VENV
from scripts.airflow_local.settings import base_environment
from scripts.airflow_local.template import copy_database

pytestmark = [pytest.mark.live, pytest.mark.timeout(200)]

ORDERS = "conn_shop_orders"
PROGRAM = """
import json, sys, warnings
from datetime import UTC, datetime, timedelta
from airflow.sdk import DAG
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

WINDOW = dict(start_at=datetime(2026, 1, 1, tzinfo=UTC), end_at=datetime(2026, 1, 3, tzinfo=UTC))
DAGS = {}
for mode in ("blocking", "deferred"):
    common = dict(
        task_id="load", connection_id="conn_shop_orders", deferrable=mode == "deferred", poll_interval_seconds=0.3,
        retries=1, retry_delay=timedelta(0),
    )
    for kind, operator, more in (
        ("sync", PlanasonixSyncOperator, {}),
        ("backfill", PlanasonixBackfillOperator, WINDOW),
        ("staged", PlanasonixBackfillOperator, dict(WINDOW, stage="1d", max_active_stages=2)),
    ):
        with DAG(f"{kind}_{mode}", schedule=None) as dag:
            operator(**common, **more)
        DAGS[dag.dag_id] = dag

# Whatever a task does, no line of ours may earn a warning while it does it.
warnings.filterwarnings("error", module=r"(airflow_provider_)?planasonix($|\\.)")

if __name__ == "__main__":
    # One process for all tests: the first dag.test() of a process takes Airflow longer than all others together.
    for line in sys.stdin:
        try:
            state = DAGS[line.strip()].test().state
        except KeyboardInterrupt:
            state = "interrupted"
        print("RUN", json.dumps({"dag": line.strip(), "state": state}), flush=True)
"""


class Author:
    """Who runs a DAG file with Python, and has nothing but a metadata database."""

    def __init__(self, home: Path, sandbox: Any) -> None:
        (home / "dags").mkdir(parents=True)
        program = home / "dags" / "mine.py"
        program.write_text(PROGRAM)
        self._output = home / "output.txt"
        self._seen = 0
        copy_database(VENV, home / "airflow.db")
        connection = {"conn_type": "planasonix", "host": sandbox.url, "password": sandbox.api_key}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(program)],
                env=base_environment(home) | {"AIRFLOW_CONN_PLANASONIX_DEFAULT": json.dumps(connection)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self, dag_id: str) -> None:
        assert self._process.stdin is not None
        self._seen = len(self.whole_output)
        self._process.stdin.write(f"{dag_id}\n".encode())
        self._process.stdin.flush()

    def interrupt(self) -> None:
        os.kill(self._process.pid, signal.SIGINT)

    def run(self, dag_id: str) -> str:
        self.start(dag_id)
        return self.end_of(dag_id)

    def end_of(self, dag_id: str) -> str:
        """The state in which the run of this test ended, or "interrupted"."""
        self.until(lambda: bool(self._ends), f"the end of {dag_id}")
        assert self._ends[0]["dag"] == dag_id
        return self._ends[0]["state"]

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 150.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert self._process.poll() is None, f"ended before {what}:\n{self.output[-4000:]}"
            assert time.monotonic() < deadline, f"waited for {what}:\n{self.output[-4000:]}"
            time.sleep(0.05)

    @property
    def whole_output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def output(self) -> str:
        """What this test's run printed."""
        return self.whole_output[self._seen :]

    @property
    def _ends(self) -> list[dict[str, str]]:
        return [json.loads(line[4:]) for line in self.output.splitlines() if line.startswith("RUN ")]

    def leave(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    with Sandbox(busy="parallel").serve() as running:
        yield running


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, served: Any) -> Iterator[Author]:
    one = Author(tmp_path_factory.mktemp("author") / "home", served)
    yield one
    one.leave()
    assert served.api_key not in one.whole_output


@pytest.fixture
def sandbox(served: Any) -> Any:
    served.reset()
    return served


@pytest.fixture
def author(process: Author, sandbox: Any) -> Author:
    return process


@pytest.mark.parametrize(
    "dag_id",
    [
        "sync_blocking",
        "sync_deferred",
        pytest.param("backfill_blocking", marks=pytest.mark.scenario),
        pytest.param("backfill_deferred", marks=pytest.mark.scenario),
    ],
)
def test_it_runs_to_a_good_end(author: Author, sandbox: Any, dag_id: str) -> None:
    sandbox.script(ORDERS, "succeeded", duration_seconds=1)
    assert author.run(dag_id) == "success", author.output[-4000:]
    assert ("running trigger in line" in author.output) == ("deferred" in dag_id)
    assert (sandbox.jobs_started() + sandbox.backfills_started(), sandbox.cancels()) == (1, 0)


@pytest.mark.parametrize("dag_id", [pytest.param("sync_deferred", marks=pytest.mark.scenario), "backfill_blocking"])
def test_a_failed_job_fails_the_run_once_its_retry_failed_too(author: Author, sandbox: Any, dag_id: str) -> None:
    sandbox.script(ORDERS, "failed", duration_seconds=1)
    assert author.run(dag_id) == "failed", author.output[-4000:]
    assert "source_unavailable" in author.output
    assert (sandbox.jobs_started() + sandbox.backfills_started(), sandbox.cancels()) == (2, 0)


@pytest.mark.parametrize("kind", ["sync", pytest.param("staged", marks=pytest.mark.scenario)])
@pytest.mark.parametrize(("mode", "end"), [("blocking", "failed"), ("deferred", "interrupted")])
def test_ctrl_c_cancels_and_nothing_is_tried_again(
    author: Author, sandbox: Any, kind: str, mode: str, end: str
) -> None:
    sandbox.script(ORDERS, "stuck", cancel_seconds=0.2)
    jobs = 2 if kind == "staged" else 1
    author.start(f"{kind}_{mode}")
    author.until(lambda: waits(sandbox, jobs), "a look at what was started")
    author.interrupt()
    assert author.end_of(f"{kind}_{mode}") == end, author.output[-4000:]
    assert sandbox.jobs_started() + sandbox.backfills_started() == jobs
    author.until(lambda: cancelled(sandbox) == jobs, "the cancelled jobs' ends", 10)


def test_ctrl_c_while_the_start_is_under_way(author: Author, sandbox: Any) -> None:
    """The answer is awaited: breaking the call off would leave a job that nobody knows."""
    sandbox.script(ORDERS, "stuck", cancel_seconds=0.2)
    sandbox.fault("connections.sync", "latency", where="after", seconds=2.0)
    author.start("sync_blocking")
    author.until(lambda: sandbox.jobs_started() == 1, "the start")
    author.interrupt()
    assert author.end_of("sync_blocking") == "failed", author.output[-4000:]
    author.until(lambda: cancelled(sandbox) == 1, "the cancelled job's end", 10)


def waits(sandbox: Any, jobs: int) -> bool:
    looks = sum(sandbox.calls(operation) for operation in ("jobs.get", "backfills.get", "jobs.list", "backfills.list"))
    return len(sandbox.jobs(ORDERS)) == jobs and looks > 0


def cancelled(sandbox: Any) -> int:
    return sum(job["status"] == "cancelled" for job in sandbox.jobs(ORDERS))
