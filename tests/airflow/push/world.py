"""What the live tests of events share: an Airflow with an inbox and a webhook to it, a task that waits, its job."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from planasonix import Planasonix
from planasonix.webhooks import subscribe
from scripts.airflow_local import LocalAirflow
from scripts.local.sandbox import SandboxProcess

SWEEP_SECONDS = 15
EXAMPLE = Path(__file__).resolve().parents[3] / "example_dags" / "airflow" / "planasonix_events.py"


@contextlib.contextmanager
def airflow_with_inbox(
    sandbox: SandboxProcess, inbox_url: str, secret: str, *canaries: str, **options: str
) -> Iterator[LocalAirflow]:
    """An Airflow with an inbox, and the sandbox's webhook to its API server.

    canaries: what must stand nowhere in its files, besides the API key and the secret. options: more of `[planasonix]`,
    or variables of Airflow's by their whole names.
    """
    own = {
        "INBOX_URL": inbox_url,
        "WEBHOOK_SECRETS": secret,
        # The one that is documented for deliveries, and the sandbox's.
        "WEBHOOK_SCHEME": "body",
        "SWEEP_INTERVAL_SECONDS": str(SWEEP_SECONDS),
    }
    connection = {"conn_type": "planasonix", "host": sandbox.url, "password": sandbox.api_key}
    with LocalAirflow(
        connections={"planasonix_default": connection},
        environment_variables={f"AIRFLOW__PLANASONIX__{name}": value for name, value in own.items()} | options,
        # With SQLite the triggerer stands still while others write, and five seconds are to be measured.
        database="postgresql",
    ) as running:
        sandbox.reset()
        with Planasonix(sandbox.api_key, base_url=sandbox.url) as client:
            subscribe(client, f"{running.url}/planasonix/webhooks", secret=secret)
        yield running
        for canary in (sandbox.api_key, secret, *canaries):
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
