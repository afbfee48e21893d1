"""The operators in a real Airflow, over HTTP to the sandbox; its journal is the judge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from scripts.airflow_local import LocalAirflow
from scripts.airflow_local.sandbox import SandboxProcess

pytestmark = pytest.mark.live

ORDERS = "conn_shop_orders"
IMPORTS = """
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
"""
ARGUMENTS = "schedule=None, default_args={'retries': 1, 'retry_delay': timedelta(seconds=1)}"
FAST = "poll_interval_seconds=0.5"
modes = pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])


class World:
    """One Airflow, one sandbox, and short ways to what the tests ask."""

    def __init__(self, airflow: LocalAirflow, sandbox: SandboxProcess, dag: Any) -> None:
        self.airflow = airflow
        self.sandbox = sandbox
        self._dag = dag

    def start(self, body: str, **run: Any) -> Any:
        return self.airflow.trigger(self._dag(body, imports=IMPORTS, arguments=ARGUMENTS), **run)

    def sync(self, *, deferrable: bool, connection_id: str = ORDERS, extra: str = "") -> Any:
        return self.start(
            f"PlanasonixSyncOperator(task_id='sync', connection_id='{connection_id}', deferrable={deferrable}, "
            f"{FAST}, {extra})"
        )

    def script(self, connection_id: str = ORDERS, **outcome: Any) -> None:
        self.sandbox.control("PUT", f"connections/{connection_id}/script", outcome)

    def jobs(self, connection_id: str = ORDERS) -> list[dict[str, Any]]:
        """Oldest first."""
        found = self.sandbox.control("GET", f"jobs?connection_id={connection_id}")
        return sorted(found["jobs"] if isinstance(found, dict) else found, key=lambda job: job["id"])

    def wait_for_job(self, number: int = 1, connection_id: str = ORDERS) -> dict[str, Any]:
        """The number-th job of the connection, once it is there and was looked at."""
        return self.airflow.wait_until(
            lambda: (self.jobs(connection_id)[number - 1 :] or [None])[0], f"job {number} of {connection_id}", 40
        )

    def waiting(self, run: Any, deferrable: bool, try_number: int = 1, look: str = "jobs.get") -> None:
        """Return once the task waits for its job: somebody looks at it."""
        self.airflow.wait_task(run, "sync", "deferred" if deferrable else "running", try_number=try_number)
        before = self.calls(look)
        self.airflow.wait_until(lambda: self.calls(look) > before, "a look at the job", 40)

    def calls(self, operation: str) -> int:
        return self.sandbox.control("GET", "counts")["calls_by_operation"].get(operation, 0)

    def finish(self, job: dict[str, Any], outcome: str = "succeeded") -> None:
        self.sandbox.control("POST", f"jobs/{job['id']}/finish", {"outcome": outcome})

    def statuses(self, connection_id: str = ORDERS) -> list[str]:
        return [job["status"] for job in self.jobs(connection_id)]

    def cancelled(self, number: int, connection_id: str = ORDERS) -> None:
        self.airflow.wait_until(
            lambda: self.statuses(connection_id)[number - 1] == "cancelled", f"job {number} to be cancelled", 40
        )


@pytest.fixture
def world(airflow: LocalAirflow, sandbox_process: SandboxProcess, dag: Any) -> World:
    return World(airflow, sandbox_process, dag)


@modes
def test_a_sync_succeeds_and_tells_the_result(world: World, deferrable: bool) -> None:
    run = world.sync(deferrable=deferrable)
    assert world.airflow.wait_run(run) == "success"
    outcome = world.airflow.database.xcoms(run, "sync")["return_value"]
    [job] = world.jobs()
    assert (outcome["id"], outcome["status"], outcome["owned"]) == (job["id"], "succeeded", True)
    assert {"public.orders", "public.customers"} <= {table["name"] for table in outcome["tables"]}
    assert outcome["rows_loaded"] > 0
    metadata = job["metadata"]
    assert metadata["triggered_by"] == f"airflow_dag_{run.dag_id}"
    assert (metadata["dag_run_id"], metadata["task_id"]) == (run.run_id, "sync")


@modes
def test_a_failing_connection_fails_its_task_with_the_readable_message(world: World, deferrable: bool) -> None:
    run = world.sync(deferrable=deferrable, connection_id="conn_legacy_mainframe", extra="retries=0")
    assert world.airflow.wait_run(run) == "failed"
    log = world.airflow.task_log(run, "sync")
    [job] = world.jobs("conn_legacy_mainframe")
    assert f"Planasonix job {job['id']} of connection conn_legacy_mainframe failed" in log
    assert "source_authentication_failed" in log


@modes
def test_a_retry_after_a_failed_job_starts_a_new_one(world: World, deferrable: bool) -> None:
    world.script(sequence=[{"outcome": "failed"}, {"outcome": "succeeded"}])
    run = world.sync(deferrable=deferrable)
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["failed", "succeeded"]
    assert [job["metadata"]["planasonix_generation"] for job in world.jobs()] == [0, 1]


@pytest.mark.parametrize("what", ["task", "both"])
def test_a_retry_after_a_killed_worker_waits_for_the_same_job(world: World, what: str) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=False)
    world.waiting(run, deferrable=False)
    world.airflow.kill_task(run, "sync", what=what)
    world.waiting(run, deferrable=False, try_number=2)
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]
    assert world.airflow.database.xcoms(run, "sync")["return_value"]["reattached"]


def test_a_worker_killed_between_post_and_answer_starts_no_second_job(world: World) -> None:
    world.script(outcome="stuck")
    world.sandbox.control(
        "POST",
        "faults",
        {"operation": "connections.sync", "kind": "timeout", "where": "after", "seconds": 60, "times": 1},
    )
    run = world.sync(deferrable=False)
    job = world.wait_for_job()
    world.airflow.kill_task(run, "sync", what="task")
    world.waiting(run, deferrable=False, try_number=2)
    world.finish(job)
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]


def test_a_lost_answer_starts_no_second_job(world: World) -> None:
    world.sandbox.control("POST", "faults", {"operation": "connections.sync", "kind": "drop", "times": 1})
    run = world.sync(deferrable=True)
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]


def test_a_triggerer_killed_mid_wait_loses_nothing_and_starts_nothing_twice(world: World) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=True)
    world.waiting(run, deferrable=True)
    world.airflow.triggerer.kill()
    world.airflow.triggerer.start()
    world.waiting(run, deferrable=True)
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["succeeded"]
    assert world.airflow.database.task(run, "sync").try_number == 1


@modes
def test_clear_after_success_is_a_new_wish(world: World, deferrable: bool) -> None:
    run = world.sync(deferrable=deferrable)
    assert world.airflow.wait_run(run) == "success"
    world.airflow.clear(run, "sync")
    world.airflow.wait_task(run, "sync", "success", try_number=2)
    assert world.statuses() == ["succeeded", "succeeded"]


@modes
def test_clear_while_waiting_cancels_the_old_job_and_starts_a_new_one(world: World, deferrable: bool) -> None:
    world.script(sequence=[{"outcome": "stuck"}, {"outcome": "succeeded"}])
    run = world.sync(deferrable=deferrable)
    world.waiting(run, deferrable)
    world.airflow.clear(run, "sync")
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["cancelled", "succeeded"]


@modes
@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_mark_cancels_the_job(world: World, deferrable: bool, state: str) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=deferrable)
    world.waiting(run, deferrable)
    world.airflow.mark(run, "sync", state)
    world.cancelled(1)
    assert world.airflow.wait_run(run) == state
    assert world.statuses() == ["cancelled"]


def test_a_job_cancelled_by_a_human_fails_without_retry(world: World) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=True)
    world.waiting(run, deferrable=True)
    world.finish(world.wait_for_job(), "cancelled")
    assert world.airflow.wait_run(run) == "failed"
    assert world.airflow.database.task(run, "sync").try_number == 1
    assert len(world.jobs()) == 1


@modes
def test_past_the_deadline_the_job_is_cancelled(world: World, deferrable: bool) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=deferrable, extra="timeout_seconds=4, retries=0")
    assert world.airflow.wait_run(run) == "failed"
    world.cancelled(1)
    assert "had not ended" in world.airflow.task_log(run, "sync")


def test_an_execution_timeout_cancels_the_job(world: World) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=False, extra="execution_timeout=timedelta(seconds=5), retries=0")
    assert world.airflow.wait_run(run) == "failed"
    world.cancelled(1)


@modes
def test_a_busy_connection_is_waited_for(world: World, deferrable: bool) -> None:
    world.script(sequence=[{"outcome": "stuck"}, {"outcome": "succeeded"}])
    first = world.sync(deferrable=True)
    world.waiting(first, deferrable=True)
    second = world.airflow.trigger(first.dag_id)
    world.airflow.wait_until(
        lambda: any(e["status"] == 409 for e in _entries(world.sandbox)), "the second task to find it busy", 40
    )
    world.finish(world.wait_for_job())
    assert world.airflow.wait_run(first) == "success"
    assert world.airflow.wait_run(second) == "success"
    assert world.statuses() == ["succeeded", "succeeded"]


def _entries(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    found = sandbox.control("GET", "journal?operation=connections.sync")
    return found["entries"] if isinstance(found, dict) else found


def test_mapped_syncs_are_intents_of_their_own(world: World) -> None:
    connections = ["conn_crm_accounts", "conn_support_tickets", "conn_hr_people"]
    for connection_id in connections:
        world.script(connection_id, outcome="stuck")
    run = world.start(
        f"PlanasonixSyncOperator.partial(task_id='sync', deferrable=True, {FAST}).expand(connection_id={connections})"
    )
    for connection_id in connections:
        world.wait_for_job(1, connection_id)
    for index in range(3):
        world.airflow.wait_task(run, "sync", "deferred", map_index=index)
    world.airflow.mark(run, "sync", "failed", map_index=1)
    world.cancelled(1, connections[1])
    for connection_id in (connections[0], connections[2]):
        world.finish(world.wait_for_job(1, connection_id))
    assert world.airflow.wait_run(run) == "failed"
    assert [world.statuses(connection_id) for connection_id in connections] == [
        ["succeeded"],
        ["cancelled"],
        ["succeeded"],
    ]
    assert [world.jobs(c)[0]["metadata"]["map_index"] for c in connections] == [0, 1, 2]


def test_the_link_is_there_while_the_job_runs(world: World) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=True)
    world.waiting(run, deferrable=True)
    job = world.wait_for_job()
    assert world.airflow.database.xcoms(run, "sync")["planasonix_job_link"].endswith(f"/#/jobs/{job['id']}")
    world.finish(job)
    assert world.airflow.wait_run(run) == "success"


@modes
def test_a_backfill_loads_the_data_interval(world: World, deferrable: bool) -> None:
    run = world.start(
        f"PlanasonixBackfillOperator(task_id='load', connection_id='{ORDERS}', tables=['public.orders'], "
        f"deferrable={deferrable}, {FAST})",
        logical_date=datetime(2026, 1, 5, tzinfo=UTC),
        data_interval=(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)),
    )
    assert world.airflow.wait_run(run) == "success"
    outcome = world.airflow.database.xcoms(run, "load")["return_value"]
    assert (outcome["window_start"], outcome["window_end"]) == ("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z")
    assert [table["name"] for table in outcome["tables"]] == ["public.orders"]
    assert world.sandbox.control("GET", "counts")["backfills_started"] == 1


def test_a_backfill_marked_failed_leaves_no_shard_running(world: World) -> None:
    world.script(outcome="stuck")
    run = world.start(
        f"PlanasonixBackfillOperator(task_id='sync', connection_id='{ORDERS}', deferrable=True, {FAST}, "
        "start_at='2026-01-01T00:00:00+00:00', end_at='2026-04-01T00:00:00+00:00')"
    )
    world.waiting(run, deferrable=True, look="backfills.get")
    assert len(world.jobs()) > 1
    world.airflow.mark(run, "sync", "failed")
    world.airflow.wait_until(
        lambda: world.jobs() and set(world.statuses()) == {"cancelled"}, "all shards to be cancelled", 40
    )
    assert world.airflow.wait_run(run) == "failed"


def test_bad_input_starts_nothing_and_names_the_field(world: World) -> None:
    run = world.start(
        f"PlanasonixBackfillOperator(task_id='load', connection_id='{ORDERS}', retries=0, "
        "start_at='2026-01-02', end_at='2026-01-03')"
    )
    assert world.airflow.wait_run(run) == "failed"
    assert "start_at has no time zone" in world.airflow.task_log(run, "load")
    assert world.sandbox.control("GET", "counts")["calls"] == 0
