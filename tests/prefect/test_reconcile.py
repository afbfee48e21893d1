"""Reconcile's view of flow runs and their ledger: who owns a job, who sleeps for it, and who is to be woken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow, task
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Running, Scheduled, State

from planasonix.errors import ConfigurationError
from planasonix.runs import Record, SyncRequest
from planasonix.sandbox import RunningSandbox
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.owner import RunOwner
from prefect_planasonix.reconcile import cleanup, mark_crashed, run_pass
from prefect_planasonix.resuming import resume_run
from tests.prefect.conftest import CANARY_KEY
from tests.prefect.reconcile_world import ALL, FIRST, World, a_world


@pytest.fixture
def world(prefect_server: str, sandbox: RunningSandbox) -> Iterator[World]:
    with a_world(sandbox) as made:
        yield made


def test_a_sleeping_run_is_woken_once_its_jobs_have_ended_and_not_before(world: World) -> None:
    one, two, each = world.asleep(), world.asleep(), world.asleep()
    ended = world.job(one, deferral=ALL)
    half = [world.job(two, deferral=ALL), world.job(two, deferral=ALL)]
    first = [world.job(each, deferral=FIRST), world.job(each, deferral=FIRST)]
    assert world.to_wake(one, two, each) == set()
    for entry in (ended, half[0], first[0]):
        world.sandbox.finish(str(entry.record.run_id), "failed")
    assert world.to_wake(one, two, each) == {one, each}
    world.sandbox.finish(str(half[1].record.run_id))
    assert world.to_wake(two) == {two}


def test_a_job_that_is_gone_or_past_its_deadline_wakes_its_run(world: World) -> None:
    gone, late = world.asleep(), world.asleep()
    world.sandbox.forget(str(world.job(gone, deferral=ALL).record.run_id))
    world.job(late, deferral=ALL, deadline_at=time.time() - 1)
    assert world.to_wake(gone, late) == {gone, late}


def test_a_run_that_a_user_has_suspended_stays_so(world: World) -> None:
    theirs = world.asleep(key="1")
    world.sandbox.finish(str(world.job(theirs, deferral=ALL).record.run_id))
    assert world.to_wake(theirs) == set()


def test_waking_a_run_twice_wakes_it_once(world: World) -> None:
    flow_run_id = UUID(world.asleep())
    assert resume_run(world.prefect, flow_run_id) == "resumed"
    assert resume_run(world.prefect, flow_run_id) == "resumed"
    assert world.prefect.read_flow_run(flow_run_id).state.name == "Resuming"


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (Cancelled(), "orphan"),
        (Completed(), "orphan"),
        (Crashed(), "orphan"),
        (Running(), "left"),
        (Cancelling(), "left"),
        (Scheduled(name="AwaitingRetry"), "left"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_only_a_run_that_has_ended_for_good_leaves_an_orphan(world: World, state: State[Any], kind: str) -> None:
    flow_run_id = world.run(state)
    world.job(flow_run_id)
    done = run_pass(world.client, world.prefect, world.source(flow_run_id), grace_seconds=0.0)
    assert [found.kind for found in done.found.findings] == [kind]
    assert world.sandbox.cancels() == 0
    run_pass(world.client, world.prefect, world.source(flow_run_id), grace_seconds=0.0, dry_run=False)
    assert world.sandbox.cancels() == (1 if kind == "orphan" else 0)


@pytest.mark.parametrize(
    ("state", "more"),
    [
        (Completed(), {"waits": False}),
        (Crashed(), {"waits": False}),
        (Crashed(), {"on_shutdown": "leave"}),
        (Cancelled(message="Runner is shutting down."), {"on_shutdown": "leave"}),
        (Cancelled(), {"ended_as": "succeeded"}),
    ],
)
def test_what_was_only_started_or_left_on_purpose_is_left(world: World, state: State[Any], more: Any) -> None:
    flow_run_id = world.run(state)
    world.job(flow_run_id, **more)
    run_pass(world.client, world.prefect, world.source(flow_run_id), grace_seconds=0.0, dry_run=False)
    assert world.sandbox.cancels() == 0


def test_what_a_cancelled_run_had_only_started_is_an_orphan(world: World) -> None:
    flow_run_id = world.run(Cancelled())
    world.job(flow_run_id, waits=False)
    run_pass(world.client, world.prefect, world.source(flow_run_id), grace_seconds=0.0, dry_run=False)
    assert world.sandbox.cancels() == 1


def test_a_deleted_run_has_ended_and_a_subflow_lives_as_long_as_its_caller(world: World) -> None:
    @flow
    def inner() -> str:
        from prefect.runtime import flow_run

        return str(flow_run.id)

    @flow
    def outer() -> str:
        from prefect.runtime import flow_run

        return f"{flow_run.id} {inner()}"

    parent, child = outer().split()
    world.job(child)
    world.prefect.set_flow_run_state(UUID(parent), Running(), force=True)
    assert {found.owner for found in world.source(child).entries()} == {"alive"}  # pyright: ignore
    world.prefect.set_flow_run_state(UUID(parent), Completed(), force=True)
    assert {found.owner for found in world.source(child).entries()} == {"ended"}  # pyright: ignore
    never = str(uuid4())
    source = world.source()
    assert source._ask([LedgerEntry("s", RunOwner(flow_run_id=never), Record.fresh("i", SyncRequest("c"), {}))]) == {
        never: ("ended", "deleted", None)
    }


def test_a_run_of_a_deployment_ends_by_itself_whoever_called_it(world: World) -> None:
    parent = world.run(Running())
    called = world.prefect.create_task_run(
        task=task(lambda: None), flow_run_id=UUID(parent), dynamic_key="1", state=Running()
    )
    child = world.prefect.create_flow_run_from_deployment(world.deployment_id, parent_task_run_id=called.id)
    world.prefect.set_flow_run_state(child.id, Cancelled(), force=True)
    world.job(str(child.id))
    assert {found.owner for found in world.source(str(child.id)).entries()} == {"ended"}  # pyright: ignore


def test_a_silent_run_is_called_crashed_only_where_it_says_that_it_runs(world: World) -> None:
    running, asleep = world.run(Running()), world.asleep()
    assert mark_crashed(world.prefect, running, print) is True
    assert mark_crashed(world.prefect, asleep, print) is False
    assert world.prefect.read_flow_run(UUID(running)).state.is_crashed()
    assert world.prefect.read_flow_run(UUID(asleep)).state.name == "Suspended"


def test_cleanup_cancels_what_one_run_has_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANASONIX_API_KEY", CANARY_KEY)
    monkeypatch.setenv("PLANASONIX_BASE_URL", world.sandbox.url)
    given_up, other = world.run(Cancelled()), world.run(Cancelled())
    mine = world.job(given_up)
    world.job(other)
    done = cleanup(f"prefect.flow-run.{given_up}")
    assert [(one["run_id"], one["action"]) for one in done["findings"]] == [(mine.record.run_id, "cancelled")]
    assert world.sandbox.cancels() == 1
    with pytest.raises(ConfigurationError, match="flow_run_id"):
        cleanup("nightly")
