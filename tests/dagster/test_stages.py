"""A window in stages by one step: what is loaded stays loaded over retries, re-executions and interrupts."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix import staged_attempt
from dagster_planasonix.attempt import Attempt
from dagster_planasonix.clients import close_clients
from dagster_planasonix.ledger import LEDGER_KEY, started_runs
from dagster_planasonix.staged_attempt import StagedExecution, StagedRun
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix.runs import BackfillRequest, StagedBackfill, plan_stages, raise_for_stages
from planasonix.sandbox import RunningSandbox, Sandbox
from tests.dagster.engine_parts import CONNECTION, KEY, run, run_of, workspace_of

STAGES = plan_stages("2026-01-01T00:00Z", "2026-01-04T00:00Z", "1d")
ASKED = StagedBackfill(
    BackfillRequest(CONNECTION, STAGES[0].start_at, STAGES[-1].end_at, tables=("public.orders",)),
    STAGES,
    stop_after_failures=None,
)


@pytest.fixture(scope="module")
def served_here() -> Iterator[RunningSandbox]:
    with Sandbox(api_keys=(KEY,), speed=60).serve() as running:
        yield running
    close_clients()


@pytest.fixture
def served(served_here: RunningSandbox) -> RunningSandbox:
    served_here.reset()
    return served_here


@pytest.fixture(scope="module")
def instance_here() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def instance(instance_here: dg.DagsterInstance) -> dg.DagsterInstance:
    instance_here.wipe_assets([LEDGER_KEY])
    return instance_here


def job_in_stages(
    workspace: PlanasonixWorkspace, seen: list[StagedRun], *, asked: StagedBackfill = ASKED, retries: int = 0
) -> dg.JobDefinition:
    @dg.op(name="load", retry_policy=dg.RetryPolicy(max_retries=retries) if retries else None)
    def load(context: dg.OpExecutionContext) -> None:
        ran = Attempt(context, workspace, connection_name="shop").run_stages(asked)
        seen.append(ran)
        raise_for_stages(ran.outcome)

    @dg.job(name="history", executor_def=dg.in_process_executor)
    def history() -> None:
        load()

    return history


def states(seen: StagedRun) -> list[str]:
    return [stage.state for stage in seen.outcome.stages]


def test_each_stage_is_a_backfill_of_its_own(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    seen: list[StagedRun] = []
    assert run(job_in_stages(workspace_of(served), seen), instance).success
    assert states(seen[0]) == ["done"] * 3
    assert served.backfills_started() == 3
    assert len(started_runs(instance)) == 3
    shown = [
        event.asset_observation.metadata["planasonix/window"].value
        for event in instance.fetch_observations(LEDGER_KEY, limit=100, ascending=True).records
        if event.asset_observation is not None and "planasonix/window" in event.asset_observation.metadata
    ]
    assert shown[0] == "[2026-01-01T00:00:00Z, 2026-01-02T00:00:00Z)"


@pytest.mark.parametrize("again", ["retry", "re-execution"])
def test_only_what_failed_is_loaded_again(served: RunningSandbox, instance: dg.DagsterInstance, again: str) -> None:
    served.script(CONNECTION, sequence=[{}, {"outcome": "failed"}, {}])
    seen: list[StagedRun] = []
    job = job_in_stages(workspace_of(served), seen, retries=1 if again == "retry" else 0)
    first = run(job, instance)
    if again == "re-execution":
        assert not first.success
        assert run(job, instance, parent=first.run_id).success
    assert [states(each) for each in seen] == [["done", "failed", "done"], ["done"] * 3]
    assert served.backfills_started() == 4


def test_re_executing_all_loads_all_again(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    job = job_in_stages(workspace_of(served), [])
    first = run(job, instance)
    assert run(job, instance, parent=first.run_id).success
    assert served.backfills_started() == 6


@pytest.mark.parametrize(("status", "cancels"), [("CANCELING", 2), ("STARTED", 0)])
def test_an_interrupt_while_two_stages_run(
    served: RunningSandbox, instance: dg.DagsterInstance, status: str, cancels: int
) -> None:
    served.switch(busy="parallel")
    served.script(CONNECTION, "stuck")
    asked = StagedBackfill(ASKED.request, ASKED.stages, max_active_stages=2)
    made = _interrupted(
        job_in_stages(workspace_of(served), [], asked=asked),
        instance,
        lambda: served.backfills_started() == 2 and served.calls("backfills.get") > 1,
        status,
    )
    assert (served.backfills_started(), served.cancels()) == (2, cancels)
    if status == "STARTED":
        for each in served.jobs():
            served.finish(each["id"])
        served.script(CONNECTION, "succeeded")
        seen: list[StagedRun] = []
        job = job_in_stages(workspace_of(served), seen, asked=asked)
        again = instance.create_run_for_job(job, parent_run_id=made.run_id, root_run_id=made.run_id)
        assert run_of(job, again, instance).success
        assert states(seen[0]) == ["done"] * 3
        assert served.backfills_started() == 3


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize(("how", "cancels"), [("CANCELED", True), ("FAILURE", False)])
def test_an_end_of_the_run_of_which_no_signal_tells(
    served: RunningSandbox,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    cancels: bool,
    at_once: int,
) -> None:
    monkeypatch.setattr(staged_attempt, "ASK_SECONDS", 0.1)
    served.switch(busy="parallel")
    served.script(CONNECTION, "stuck")
    asked = StagedBackfill(ASKED.request, ASKED.stages, max_active_stages=at_once)
    job = job_in_stages(workspace_of(served), [], asked=asked)
    made = instance.create_run_for_job(job)
    _while_running(
        job,
        instance,
        made,
        lambda: served.backfills_started() == at_once and served.calls("backfills.get") > 1,
        lambda: _end(instance, made, how),
    )
    assert (served.backfills_started(), served.cancels()) == (at_once, at_once if cancels else 0)


def test_a_run_given_up_before_the_next_start_takes_the_others_with_it(
    served: RunningSandbox, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.switch(busy="parallel")
    served.script(CONNECTION, "stuck")
    job = job_in_stages(
        workspace_of(served), [], asked=StagedBackfill(ASKED.request, ASKED.stages, max_active_stages=2)
    )
    made = instance.create_run_for_job(job)
    began = StagedExecution._before_start

    def before_start(self: StagedExecution) -> None:
        if served.backfills_started() == 1:
            _end(instance, made, "CANCELED")
        began(self)

    monkeypatch.setattr(StagedExecution, "_before_start", before_start)
    _while_running(job, instance, made, lambda: True, lambda: None)
    assert (served.backfills_started(), served.cancels()) == (1, 1)


def test_a_start_under_way_is_awaited(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.script(CONNECTION, "stuck")
    late = served.fault("connections.backfill", "latency", seconds=1.0)
    _interrupted(job_in_stages(workspace_of(served), []), instance, lambda: late.struck, "CANCELING")
    assert (served.backfills_started(), served.cancels()) == (1, 1)
    assert len(started_runs(instance)) == 1


def test_skip_when_busy(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.script(CONNECTION, "stuck")
    workspace = workspace_of(served, if_running="skip")
    first, last = STAGES[0].start_at, STAGES[-1].end_at
    workspace.get_client().connections.backfill(CONNECTION, start_at=first, end_at=last)
    seen: list[StagedRun] = []
    run(job_in_stages(workspace, seen), instance)
    assert seen[0].skipped
    assert served.backfills_started() == 1


def _end(instance: dg.DagsterInstance, made: dg.DagsterRun, how: str) -> None:
    if how == "FAILURE":
        instance.report_run_failed(made)
    else:
        instance.report_run_canceling(made)
        instance.report_run_canceled(made)


def _while_running(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    made: dg.DagsterRun,
    when: Callable[[], Any],
    act: Callable[[], None],
) -> None:
    def later() -> None:
        give_up = time.monotonic() + 60.0
        while not when() and time.monotonic() < give_up:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=later)
    thread.start()
    try:
        run_of(job, made, instance)
    except dg.DagsterExecutionInterruptedError:
        pass
    finally:
        thread.join()


def _interrupted(job: dg.JobDefinition, instance: dg.DagsterInstance, when: Callable[[], Any], status: str) -> Any:
    made = instance.create_run_for_job(job)

    def interrupt() -> None:
        if status == "CANCELING":
            instance.report_run_canceling(made)
        os.kill(os.getpid(), signal.SIGINT)

    _while_running(job, instance, made, when, interrupt)
    return made
