"""Events in a real Airflow: the sandbox's webhook, the API server, the inbox, a watcher, a deferred task."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.webhooks import Inbox, subscribe
from scripts.airflow_local import LocalAirflow
from scripts.local.sandbox import SandboxProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(300, func_only=True)]

SECRET = f"whsec_canary_{secrets.token_hex(16)}"
SWEEP_SECONDS = 15
EXAMPLE = Path(__file__).resolve().parents[3] / "example_dags" / "airflow" / "planasonix_events.py"


@pytest.fixture(scope="module")
def inbox_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('inbox')}/inbox.db"


@pytest.fixture(scope="module")
def sandbox(_sandbox: SandboxProcess) -> SandboxProcess:
    """Kept as it is between the tests of this module: a reset would forget the webhook."""
    return _sandbox


@pytest.fixture(scope="module")
def pushed(sandbox: SandboxProcess, sandbox_port: int, inbox_url: str) -> Iterator[LocalAirflow]:
    """An Airflow with an inbox, and the sandbox's webhook to its API server."""
    host = f"http://127.0.0.1:{sandbox_port}"
    options = {
        "INBOX_URL": inbox_url,
        "WEBHOOK_SECRETS": SECRET,
        # The one that is documented for deliveries, and the sandbox's.
        "WEBHOOK_SCHEME": "body",
        "SWEEP_INTERVAL_SECONDS": str(SWEEP_SECONDS),
    }
    with LocalAirflow(
        connections={"planasonix_default": {"conn_type": "planasonix", "host": host, "password": sandbox.api_key}},
        environment_variables={f"AIRFLOW__PLANASONIX__{name}": value for name, value in options.items()},
        # With SQLite the triggerer stands still while others write, and five seconds are to be measured.
        database="postgresql",
    ) as running:
        sandbox.reset()
        with Planasonix(sandbox.api_key, base_url=host) as client:
            subscribe(client, f"{running.url}/planasonix/webhooks", secret=SECRET)
        running.add_dag("planasonix_events.py", EXAMPLE.read_text())
        running.add_dag("slow.py", SLOW)
        yield running
        for canary in (sandbox.api_key, SECRET):
            assert running.files_with(canary) == [], "a secret stands in Airflow's logs or database"


SLOW = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

with DAG("slow", schedule=None, default_args={"retries": 6, "retry_delay": timedelta(seconds=5)}):
    PlanasonixSyncOperator(
        task_id="sync", connection_id="conn_shop_orders", deferrable=True, poll_interval_seconds=600
    )
"""


class Pushed:
    """One task that waits with ten minutes between its looks, and what comes of its job's end."""

    def __init__(self, airflow: LocalAirflow, sandbox: SandboxProcess) -> None:
        self.airflow, self.sandbox = airflow, sandbox
        self.sandbox.control("PUT", "connections/conn_shop_orders/script", {"outcome": "stuck"})
        self.watched = self.dag_runs()
        self.run = airflow.trigger("slow")
        airflow.wait_task(self.run, "sync", "deferred")
        [self.job] = airflow.wait_until(
            lambda: [
                job
                for job in sandbox.control("GET", "jobs?connection_id=conn_shop_orders")["jobs"]
                if job["status"] not in ("succeeded", "failed")
            ],
            "a job",
            60,
        )
        # Its trigger's first look comes after ten minutes. And a task that was deferred less than eight seconds ago is
        # not resumed.
        time.sleep(12)

    def dag_runs(self) -> list[Any]:
        return self.airflow.database.query("SELECT run_id FROM dag_run WHERE dag_id = 'planasonix_events_report'")

    def finish(self) -> float:
        self.sandbox.control("POST", f"jobs/{self.job['id']}/finish", {"outcome": "succeeded"})
        return time.monotonic()

    def resumed_after(self, since: float, patience: float) -> float:
        self.airflow.wait_until(
            lambda: self.airflow.database.task(self.run, "sync").state != "deferred", "the task to resume", patience
        )
        return time.monotonic() - since

    def told(self) -> dict[str, Any]:
        """What the DAG that the watcher started read from its triggering event."""
        run = self.airflow.wait_until(
            lambda: (
                self.airflow.database.first_run("planasonix_events_report")
                if len(self.dag_runs()) > len(self.watched)
                else None
            ),
            "a run of the watched DAG",
            60,
        )
        [new] = [row for row in self.dag_runs() if row not in self.watched]
        run = type(run)(run.dag_id, new["run_id"])
        assert self.airflow.wait_run(run) == "success"
        return self.airflow.database.xcoms(run, "report")["return_value"]


@contextlib.contextmanager
def without_receiver(airflow: LocalAirflow) -> Iterator[None]:
    """The sender finds nobody, and gives up or comes again."""
    airflow.api_server.kill()
    yield
    airflow.api_server.start()
    airflow.wait_healthy()


def test_a_webhook_resumes_a_task_and_starts_a_dag(pushed: LocalAirflow, sandbox: SandboxProcess) -> None:
    world = Pushed(pushed, sandbox)
    seconds = world.resumed_after(world.finish(), 30)
    assert seconds <= 5
    assert pushed.wait_run(world.run) == "success"
    told = world.told()
    assert (told["job_id"], told["source"]) == (world.job["id"], "webhook")
    assert (told["connection_id"], told["status"]) == ("conn_shop_orders", "succeeded")
    assert told["rows_loaded"] > 0
    assert len(world.dag_runs()) == len(world.watched) + 1


@pytest.mark.scenario
def test_the_sweep_completes_both_while_the_receiver_is_dead(
    pushed: LocalAirflow, sandbox: SandboxProcess, inbox_url: str
) -> None:
    world = Pushed(pushed, sandbox)
    with without_receiver(pushed):
        world.finish()
        with Inbox.open(inbox_url) as inbox:
            pushed.wait_until(
                lambda: any(one.source == "sweep" and one.event.object_id == world.job["id"] for one in inbox.read(0)),
                "the sweep to find the end",
                3 * SWEEP_SECONDS,
            )
    assert pushed.wait_run(world.run, timeout_seconds=60) == "success"
    told = world.told()
    assert (told["job_id"], told["source"]) == (world.job["id"], "sweep")
    assert told["rows_loaded"] > 0
