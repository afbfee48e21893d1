"""Two triggerers on one PostgreSQL inbox: each event once for each watcher, kill -9 included, and no loop of DAGs."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet

from planasonix import Planasonix
from scripts.airflow_local import LocalAirflow
from scripts.airflow_local.errors import AirflowTimeout
from scripts.airflow_local.metadata import Run
from scripts.local.components import Component
from scripts.local.sandbox import SandboxProcess
from tests.airflow.push.world import airflow_with_inbox
from tests.core.webhooks.postgres import PostgresServer

pytestmark = [pytest.mark.live, pytest.mark.scenario, pytest.mark.timeout(400, func_only=True)]

SECRET, PASSWORD = (f"{name}_canary_{secrets.token_hex(16)}" for name in ("whsec", "inbox"))
FERNET_KEY = Fernet.generate_key().decode()
WAITING = ("conn_shop_orders", "conn_shop_inventory", "conn_crm_accounts", "conn_support_tickets")
PATIENCE = 90.0

WATCHING = """
from airflow.sdk import DAG, Asset, AssetWatcher, task
from airflow_provider_planasonix.triggers.event import PlanasonixEventTrigger


def watched(name, trigger):
    asset = Asset(name, watchers=[AssetWatcher(name=name, trigger=trigger)])
    with DAG(f"on_{name}", schedule=[asset], default_args={"retries": 3}):

        @task
        def seen(triggering_asset_events=None):
            return [event.extra["payload"]["job_id"] for event in triggering_asset_events[asset]]

        seen()


watched("orders", PlanasonixEventTrigger("conn_shop_orders", statuses="succeeded"))
watched("everything", PlanasonixEventTrigger())
"""
SLOW = f"""
from airflow.sdk import DAG
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

with DAG("slow", schedule=None, default_args={{"retries": 3}}):
    for connection_id in {WAITING!r}:
        PlanasonixSyncOperator(
            task_id=connection_id, connection_id=connection_id, deferrable=True, poll_interval_seconds=600
        )
"""
# What it starts makes it start again.
LOOP = """
from airflow.sdk import DAG, Asset, AssetWatcher
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from airflow_provider_planasonix.triggers.event import PlanasonixEventTrigger

loaded = Asset("people", watchers=[AssetWatcher(name="people", trigger=PlanasonixEventTrigger("conn_hr_people"))])
with DAG("loop", schedule=[loaded], default_args={"retries": 3}):
    PlanasonixSyncOperator(task_id="sync", connection_id="conn_hr_people", deferrable=True, poll_interval_seconds=600)
"""


class Two:
    """An Airflow with two triggerers, and what its watchers have fired."""

    def __init__(self, airflow: LocalAirflow, sandbox: SandboxProcess, second: Component) -> None:
        self.airflow, self.sandbox = airflow, sandbox
        self.triggerers = [airflow.triggerer, second]

    def watch(self, filename: str, source: str, watchers: int) -> None:
        """Add DAGs, and wait until as many more watchers have a place in the inbox: they begin at now."""
        before = self.places()
        self.airflow.add_dag(filename, source)
        self.airflow.wait_until(lambda: self.places() == before + watchers, "the watchers to begin", PATIENCE)

    def places(self) -> int:
        return len(self.airflow.database.query("SELECT key FROM asset_state_store"))

    def owner(self, trigger_id: int) -> int | None:
        return {row["id"]: row["triggerer_id"] for row in self.airflow.database.triggers()}[trigger_id]

    def component(self, triggerer_id: int | None) -> Component:
        rows = self.airflow.database.query("SELECT id FROM job WHERE job_type = 'TriggererJob' ORDER BY id")
        return dict(zip((row["id"] for row in rows), self.triggerers, strict=True))[triggerer_id]

    def fired(self, asset: str) -> list[dict[str, Any]]:
        rows = self.airflow.database.query(
            "SELECT asset_event.extra FROM asset_event JOIN asset ON asset.id = asset_event.asset_id "
            "WHERE asset.name = ? ORDER BY asset_event.id",
            asset,
        )
        return [row["extra"]["payload"] for row in rows]

    def seen(self, dag_id: str, events: int) -> Counter[str]:
        """The jobs that a DAG's runs were told of, once so many events have become runs, and these have ended."""
        rows: list[dict[str, Any]] = []
        with contextlib.suppress(AirflowTimeout):
            rows = self.airflow.wait_until(
                lambda: found if len(found := self.consumed(dag_id)) >= events else None, f"runs of {dag_id}", 45
            )
        for row in rows:
            assert self.airflow.wait_run(Run(dag_id, row["run_id"]), timeout_seconds=PATIENCE) == "success"
        runs = {row["run_id"] for row in self.consumed(dag_id)}
        lists = [self.airflow.database.xcoms(Run(dag_id, run_id), "seen")["return_value"] for run_id in runs]
        return Counter(job for jobs in lists for job in jobs)

    def consumed(self, dag_id: str) -> list[dict[str, Any]]:
        """One row for each event of each run."""
        return self.airflow.database.query(
            "SELECT run_id, event_id FROM dagrun_asset_event JOIN dag_run ON dag_run.id = dag_run_id WHERE dag_id = ?",
            dag_id,
        )

    def jobs(self, connection_id: str) -> list[dict[str, Any]]:
        return self.sandbox.control("GET", f"jobs?connection_id={connection_id}")["jobs"]


@pytest.fixture(scope="module")
def sandbox(_sandbox: SandboxProcess) -> SandboxProcess:
    """Kept as it is between the tests of this module: a reset would forget the webhook."""
    return _sandbox


@pytest.fixture(scope="module")
def inbox_url() -> Iterator[str]:
    server = PostgresServer()
    # It trusts everybody, whatever the password.
    yield server.new_database().replace("postgres@", f"postgres:{PASSWORD}@")
    server.close()


@pytest.fixture(scope="module")
def two(sandbox: SandboxProcess, inbox_url: str) -> Iterator[Two]:
    # So few triggers for one that both have some.
    own = {"AIRFLOW__TRIGGERER__CAPACITY": "3", "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY}
    with airflow_with_inbox(sandbox, inbox_url, SECRET, PASSWORD, **own) as running:
        second = running.extra_triggerer()
        second.start()
        two = Two(running, sandbox, second)
        two.watch("watching.py", WATCHING, 2)
        running.add_dag("slow.py", SLOW)
        yield two


def test_each_event_is_one_run_for_each_watcher_and_wakes_the_tasks_of_both(two: Two) -> None:
    for connection_id in WAITING:
        two.sandbox.control("PUT", f"connections/{connection_id}/script", {"outcome": "stuck"})
    run = two.airflow.trigger("slow")
    for connection_id in WAITING:
        two.airflow.wait_task(run, connection_id, "deferred")

    def owners() -> set[int]:
        rows = two.airflow.database.triggers()
        return {row["triggerer_id"] for row in rows} if len(rows) == 2 + len(WAITING) else set()

    two.airflow.wait_until(lambda: None not in owners() and len(owners()) == 2, "both to have triggers", PATIENCE)
    # No secret is in what a trigger was made of.
    for row in two.airflow.database.triggers():
        told = row["kwargs"]
        if not told.startswith("{"):
            told = Fernet(FERNET_KEY).decrypt(told.encode()).decode()
        assert not [canary for canary in (SECRET, PASSWORD, two.sandbox.api_key) if canary in told]
    # The first looks of their triggers. And a task that was deferred less than eight seconds ago is not resumed.
    time.sleep(12)
    jobs = {connection_id: two.jobs(connection_id)[0]["id"] for connection_id in WAITING}
    began = time.monotonic()
    for job_id in jobs.values():
        two.sandbox.control("POST", f"jobs/{job_id}/finish", {"outcome": "succeeded"})
    assert two.airflow.wait_run(run, timeout_seconds=PATIENCE) == "success"
    # Ten minutes would pass without events, and a sweep's fifteen seconds are no webhook's.
    assert time.monotonic() - began < 60
    two.airflow.wait_until(lambda: len(two.fired("everything")) >= len(jobs), "the asset events", PATIENCE)
    # A second one of an event would come by the same looks.
    time.sleep(3)
    assert Counter(told["job_id"] for told in two.fired("everything")) == Counter(jobs.values())
    assert [told["job_id"] for told in two.fired("orders")] == [jobs["conn_shop_orders"]]
    # Airflow puts events that come close together into one run.
    told = two.seen("on_everything", len(jobs))
    assert (told, two.seen("on_orders", 1)) == (Counter(jobs.values()), Counter([jobs["conn_shop_orders"]]))


def test_a_triggerer_that_is_killed_amid_events_loses_none(two: Two) -> None:
    before = {told["effect_key"] for told in two.fired("everything")}
    two.sandbox.control(
        "PUT", "connections/conn_ads_google/script", {"outcome": "succeeded", "queue_seconds": 0, "duration_seconds": 0}
    )
    [watcher] = two.airflow.database.query("SELECT trigger_id FROM asset_watcher WHERE name = 'everything'")
    owner = two.owner(watcher["trigger_id"])
    killed = two.component(owner)
    started: list[str] = []
    with Planasonix(two.sandbox.api_key, base_url=two.sandbox.url) as client:
        for number in range(30):
            started.append(client.jobs.wait(client.connections.sync("conn_ads_google").id).id)
            if number == 12:
                two.airflow.wait_until(
                    lambda: len(two.fired("everything")) > len(before), "the first of them", PATIENCE
                )
                killed.kill()
                stored = {told["effect_key"] for told in two.fired("everything")} - before
    two.airflow.wait_until(
        lambda: set(started) <= {told["job_id"] for told in two.fired("everything")}, "all events to be fired", PATIENCE
    )
    assert two.owner(watcher["trigger_id"]) not in (None, owner)
    # One that comes again would do so by the next looks.
    time.sleep(3)
    keys = Counter(told["effect_key"] for told in two.fired("everything") if told["effect_key"] not in before)
    assert len(keys) == len(started)
    # Airflow had stored these, and nobody was left to hear of it.
    assert {key for key, count in keys.items() if count > 1} <= stored
    assert max(keys.values()) <= 2
    # Airflow puts events that come close together into one run. Each is in as many runs as it was fired.
    told_of = two.seen("on_everything", len(before) + keys.total())
    assert all(told_of[job_id] >= 1 for job_id in started)
    assert told_of.total() == len(before) + keys.total()
    killed.start()
    two.airflow.wait_healthy("triggerer")


def test_a_loop_of_event_and_sync_stops_at_the_depth(two: Two) -> None:
    two.watch("loop.py", LOOP, 1)
    two.sandbox.control(
        "PUT", "connections/conn_hr_people/script", {"outcome": "succeeded", "queue_seconds": 0, "duration_seconds": 1}
    )
    with Planasonix(two.sandbox.api_key, base_url=two.sandbox.url) as client:
        client.connections.sync("conn_hr_people")

    def ended() -> list[dict[str, Any]] | None:
        runs = two.airflow.database.query("SELECT run_id, state FROM dag_run WHERE dag_id = 'loop' ORDER BY id")
        states = [run["state"] for run in runs]
        return runs if "failed" in states and {"queued", "running"}.isdisjoint(states) else None

    runs = two.airflow.wait_until(ended, "the loop to end", 180)
    assert [run["state"] for run in runs] == ["success", "success", "success", "failed"]
    # The one that nobody's event started, and three more.
    assert len(two.jobs("conn_hr_people")) == 4
    last = Run("loop", runs[-1]["run_id"])
    row = two.airflow.database.task(last, "sync")
    assert row is not None
    assert row.try_number == 1, "a retry would find the same"
    log = two.airflow.task_log(last, "sync")
    assert "3 runs in a row were started by events" in log
