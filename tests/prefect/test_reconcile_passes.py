"""Reconcile where something is in its way: a second pass, a key that is missing or not the right one, a lost call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Cancelled
from pydantic import SecretStr

from planasonix import Planasonix
from planasonix.errors import ConfigurationError
from planasonix.sandbox import RunningSandbox
from prefect_planasonix.credentials import PlanasonixCredentials
from prefect_planasonix.reconcile import cleanup, run_pass
from prefect_planasonix.reconcile_source import PrefectSource
from prefect_planasonix.resuming import to_resume
from tests.prefect.conftest import CANARY_KEY
from tests.prefect.reconcile_world import ALL, World, a_world


@pytest.fixture
def world(prefect_server: str, sandbox: RunningSandbox) -> Iterator[World]:
    with a_world(sandbox) as made:
        yield made


def test_a_cleanup_that_lacks_one_key_looks_after_the_jobs_of_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLANASONIX_API_KEY", raising=False)
    monkeypatch.setenv("PLANASONIX_BASE_URL", world.sandbox.url)
    PlanasonixCredentials(api_key=SecretStr(CANARY_KEY)).save("still-there", overwrite=True)
    given_up = world.run(Cancelled())
    world.job(given_up)
    world.job(given_up, credentials_block="deleted")
    mine = world.job(given_up, credentials_block="still-there")
    with pytest.raises(ConfigurationError) as told:
        cleanup(given_up)
    assert told.value.field == "credentials"
    assert world.sandbox.cancels(str(mine.record.connection_id)) == 1


def test_news_of_a_job_wakes_a_run_that_sleeps_for_it_and_no_gate_of_a_user(world: World) -> None:
    ours, theirs = world.asleep(), world.asleep(key="approval")
    assert cleanup(f"prefect.flow-run.{ours}", has_news=True) == {"resumption": "resumed"}
    assert cleanup(f"prefect.flow-run.{theirs}", has_news=True) == {"resumption": "left"}
    assert world.prefect.read_flow_run(UUID(ours)).state.name == "Resuming"
    assert world.prefect.read_flow_run(UUID(theirs)).state.name == "Suspended"


def test_a_job_that_outlives_the_look_back_still_wakes_its_run(world: World) -> None:
    late = world.asleep()
    world.sandbox.finish(str(world.job(late, deferral=ALL).record.run_id))
    source = PrefectSource(world.prefect, since_hours=0.0)
    assert list(source.entries()) == []
    assert late in {str(run.id) for run, _ in to_resume(world.client, source)}


def test_a_key_that_may_be_another_organizations_wakes_nobody_because_it_finds_nothing(world: World) -> None:
    unknown, known, elsewhere = world.asleep(), world.asleep(), world.asleep()
    of = replace(world.client.config, organization_id="org_1")
    at = {"base_url": of.base_url, "deferral": ALL}
    world.sandbox.forget(str(world.job(unknown, credentials_block="theirs", **at).record.run_id))
    world.sandbox.forget(str(world.job(known, credentials_block="theirs", organization_id="org_1", **at).record.run_id))
    there = world.job(elsewhere, organization_id="org_2", **at)
    world.sandbox.finish(str(there.record.run_id))
    source = PrefectSource(world.prefect, of=of, credentials_block="ours")
    woken = {str(run.id) for run, _ in to_resume(world.client, source)} & {unknown, known, elsewhere}
    assert woken == {known}
    listed = "\n".join(found.slot for found in source.entries())
    assert unknown in listed
    assert elsewhere not in listed


def test_a_run_that_cannot_be_woken_keeps_no_other_asleep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [world.asleep() for _ in range(3)]
    for flow_run_id in runs:
        world.sandbox.finish(str(world.job(flow_run_id, deferral=ALL).record.run_id))
    resume, refused = world.prefect.resume_flow_run, []

    def resume_or_not(flow_run_id: UUID) -> Any:
        if not refused:
            refused.append(str(flow_run_id))
            raise ConnectionError("the server went away")
        return resume(flow_run_id)

    monkeypatch.setattr(world.prefect, "resume_flow_run", resume_or_not)
    done = run_pass(world.client, world.prefect, world.source(), dry_run=False, cancel=False)
    told = {each.flow_run_id: (each.action, each.error) for each in done.resumed if each.flow_run_id in runs}
    assert told.pop(refused[0], None) in (("not_resumed", "ConnectionError"), None)
    assert set(told.values()) == {("resumed", None)}
    assert len([each for each in done.resumed if each.error]) == 1
    assert "not resumed" in done.report()


def test_an_owner_that_cannot_be_asked_again_keeps_its_job_and_no_other_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = world.run(Cancelled())
    doubtful, orphan = world.job(given_up), world.job(given_up)
    source = world.source(given_up)
    ask = source._refreshed

    def ask_or_not(slot: str) -> Any:
        if doubtful.slot in slot:
            raise ConnectionError("the server went away")
        return ask(slot)

    monkeypatch.setattr(source, "_refreshed", ask_or_not)
    done = run_pass(world.client, world.prefect, source, dry_run=False, grace_seconds=0.0)
    actions = {found.run_id: (found.kind, found.action) for found in done.found.findings}
    assert actions == {
        doubtful.record.run_id: ("left", "none"),
        orphan.record.run_id: ("orphan", "cancelled"),
    }


def test_two_passes_at_once_wake_and_cancel_as_one_does(world: World) -> None:
    asleep, given_up = world.asleep(), world.run(Cancelled())
    world.sandbox.finish(str(world.job(asleep, deferral=ALL).record.run_id))
    orphan = world.job(given_up)
    ready, done = threading.Barrier(2), []

    def a_pass() -> None:
        with get_client(sync_client=True) as prefect, Planasonix(CANARY_KEY, base_url=world.sandbox.url) as client:
            ready.wait(60)
            done.append(run_pass(client, prefect, PrefectSource(prefect), dry_run=False, grace_seconds=0.0))

    # Which Prefect server is meant is a matter of context.
    context = [copy_context() for _ in range(2)]
    threads = [threading.Thread(target=each.run, args=(a_pass,)) for each in context]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(done) == 2
    assert [one.error for each in done for one in each.resumed] == [None] * sum(len(each.resumed) for each in done)
    assert [run.state.name for run in [world.prefect.read_flow_run(UUID(asleep))]] == ["Resuming"]
    states = [state.name for state in world.prefect.read_flow_run_states(UUID(asleep))]
    assert states.count("Resuming") == 1
    with Planasonix(CANARY_KEY, base_url=world.sandbox.url) as client:
        assert client.jobs.get(str(orphan.record.run_id)).phase in ("cancelling", "cancelled")
