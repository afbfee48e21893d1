"""Every way out of a waiting task, in both modes (G2, G3): what is cancelled, what is left, what starts anew."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.scenario]

modes = pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])


@modes
def test_clear_after_success_is_a_new_wish(world: Any, deferrable: bool) -> None:
    run = world.sync(deferrable=deferrable)
    assert world.airflow.wait_run(run) == "success"
    world.airflow.clear(run, "sync")
    world.airflow.wait_task(run, "sync", "success", try_number=2)
    assert world.statuses() == ["succeeded", "succeeded"]


@modes
def test_clear_while_waiting_cancels_the_old_job_and_starts_a_new_one(world: Any, deferrable: bool) -> None:
    world.script(sequence=[{"outcome": "stuck"}, {"outcome": "succeeded"}])
    run = world.sync(deferrable=deferrable)
    world.waiting(run, deferrable)
    world.airflow.clear(run, "sync")
    assert world.airflow.wait_run(run) == "success"
    assert world.statuses() == ["cancelled", "succeeded"]


@modes
@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_mark_cancels_the_job(world: Any, deferrable: bool, state: str) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=deferrable)
    world.waiting(run, deferrable)
    world.airflow.mark(run, "sync", state)
    world.cancelled(1)
    assert world.airflow.wait_run(run) == state
    assert world.statuses() == ["cancelled"]


def test_a_job_cancelled_by_a_human_fails_without_retry(world: Any) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=True)
    world.waiting(run, deferrable=True)
    world.finish(world.wait_for_job(), "cancelled")
    assert world.airflow.wait_run(run) == "failed"
    assert world.airflow.database.task(run, "sync").try_number == 1
    assert len(world.jobs()) == 1


@modes
def test_past_the_deadline_the_job_is_cancelled(world: Any, deferrable: bool) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=deferrable, extra="timeout_seconds=4, retries=0")
    assert world.airflow.wait_run(run) == "failed"
    world.cancelled(1)
    assert "had not ended" in world.airflow.task_log(run, "sync")


@modes
def test_a_busy_connection_is_waited_for(world: Any, deferrable: bool) -> None:
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


def _entries(sandbox: Any) -> list[dict[str, Any]]:
    found = sandbox.control("GET", "journal?operation=connections.sync")
    return found["entries"] if isinstance(found, dict) else found


def test_mapped_syncs_are_intents_of_their_own(world: Any) -> None:
    connections = ["conn_crm_accounts", "conn_support_tickets", "conn_hr_people"]
    for connection_id in connections:
        world.script(connection_id, outcome="stuck")
    run = world.start(
        f"PlanasonixSyncOperator.partial(task_id='sync', deferrable=True, {world.FAST})"
        f".expand(connection_id={connections})"
    )
    for connection_id in connections:
        world.wait_for_job(1, connection_id)
    for index, connection_id in enumerate(connections):
        world.airflow.wait_task(run, "sync", "deferred", map_index=index)
        world.wait_for_a_look(world.wait_for_job(1, connection_id))
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


@modes
def test_a_backfill_marked_failed_leaves_no_shard_running(world: Any, deferrable: bool) -> None:
    world.script(outcome="stuck")
    run = world.start(
        f"PlanasonixBackfillOperator(task_id='sync', connection_id='{world.ORDERS}', deferrable={deferrable}, "
        f"{world.FAST}, "
        "start_at='2026-01-01T00:00:00+00:00', end_at='2026-04-01T00:00:00+00:00')"
    )
    world.waiting(run, deferrable, look="backfills.get")
    assert len(world.jobs()) > 1
    world.airflow.mark(run, "sync", "failed")
    world.airflow.wait_until(
        lambda: world.jobs() and set(world.statuses()) == {"cancelled"}, "all shards to be cancelled", 40
    )
    assert world.airflow.wait_run(run) == "failed"
