"""One step against a sandbox over HTTP: which job it starts, waits for, takes over, and what it leaves written."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix import attempt as attempt_module
from dagster_planasonix.attempt import Attempt
from dagster_planasonix.clients import close_clients
from dagster_planasonix.ledger import LEDGER_KEY, LedgerEntry, all_entries, started_runs
from planasonix.errors import PermissionDeniedError, WaitTimeoutError
from planasonix.runs import BackfillRequest, Outcome, RunHandle
from planasonix.sandbox import RunningSandbox, Sandbox
from tests.dagster.engine_parts import CONNECTION, KEY, SYNC, job_of, run, workspace_of


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


def entries_of(instance: dg.DagsterInstance) -> list[LedgerEntry]:
    return [entry for entry in all_entries(instance) if isinstance(entry, LedgerEntry)]


def test_an_asset_step_starts_one_job_and_returns_its_outcome(
    served: RunningSandbox, instance: dg.DagsterInstance
) -> None:
    workspace = workspace_of(served, webserver_url="https://dagster.example/")
    seen: list[Outcome | None] = []

    @dg.asset
    def orders(context: dg.AssetExecutionContext) -> None:
        attempt = Attempt(context, workspace, asset_keys=[context.asset_key], connection_name="shop")
        seen.append(attempt.run(SYNC))

    result = dg.materialize([orders], instance=instance)
    assert result.success
    (outcome,) = seen
    assert outcome is not None
    assert outcome.succeeded
    assert served.jobs_started() == 1
    metadata = served.job(outcome.id)["metadata"]
    run_id = result.run_id
    assert {name: metadata[name] for name in ("orchestrator", "step_key", "run_id", "root_run_id", "asset_keys")} == {
        "orchestrator": "dagster",
        "step_key": "orders",
        "run_id": run_id,
        "root_run_id": run_id,
        "asset_keys": "orders",
    }
    assert metadata["link"] == f"https://dagster.example/runs/{run_id}"
    assert started_runs(instance, [dg.AssetKey("orders")]).keys() == {outcome.id}
    assert started_runs(instance, [dg.AssetKey("other")]) == {}


def test_what_the_events_show_to_people(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    assert run(job_of(workspace_of(served)), instance).success
    events = instance.fetch_observations(LEDGER_KEY, limit=10).records
    (job,) = served.jobs()
    shown = [
        {name: value.value for name, value in event.asset_observation.metadata.items() if name != "planasonix/ledger"}
        for event in events
        if event.asset_observation is not None
    ]
    named = {
        "planasonix/connection_id": CONNECTION,
        "planasonix/connection_name": "shop",
        "planasonix/job_id": job["id"],
        "planasonix/job_url": f"{served.url}/#/jobs/{job['id']}",
    }
    assert shown == [
        {"planasonix/state": "succeeded"} | named,
        {"planasonix/state": "started"} | named,
        {
            "planasonix/state": "asked for",
            "planasonix/connection_id": CONNECTION,
            "planasonix/connection_name": "shop",
        },
    ]
    assert events[0].asset_observation is not None
    assert job["id"] in (events[0].asset_observation.description or "")


def test_the_key_is_in_no_event(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    result = run(job_of(workspace_of(served)), instance)
    assert KEY not in "".join(str(entry) for entry in instance.all_logs(result.run_id))


def test_a_retry_of_the_step_after_a_failed_job_starts_the_next_one(
    served: RunningSandbox, instance: dg.DagsterInstance
) -> None:
    served.script(CONNECTION, sequence=[{"outcome": "failed"}, {"outcome": "succeeded"}])
    assert run(job_of(workspace_of(served), retries=2), instance).success
    assert served.jobs_started() == 2
    keys = {entry.idempotency_key for entry in served.journal if entry.operation == "connections.sync"}
    assert len(keys) == 2
    assert len(started_runs(instance)) == 2


def test_a_retry_after_a_good_job_uses_its_result(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    ids: list[str] = []

    def fail_once(context: Any, outcome: Outcome | None) -> None:
        assert outcome is not None
        ids.append(outcome.id)
        if len(ids) == 1:
            raise RuntimeError("what comes after the load")

    assert run(job_of(workspace_of(served), retries=2, after=fail_once), instance).success
    assert served.jobs_started() == 1
    assert len(set(ids)) == 1


def test_a_re_execution_of_a_bad_run_keeps_the_wish(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.script(CONNECTION, sequence=[{"outcome": "failed"}, {"outcome": "succeeded"}])
    job = job_of(workspace_of(served))
    first = run(job, instance)
    assert not first.success
    assert run(job, instance, parent=first.run_id).success
    newest = entries_of(instance)[0]
    assert newest.record is not None
    assert newest.record.generation == 1
    assert served.jobs_started() == 2


def test_a_re_execution_takes_over_a_job_that_ended_well_meanwhile(
    served: RunningSandbox, instance: dg.DagsterInstance
) -> None:
    def fail_once(context: Any, outcome: Outcome | None) -> None:
        if context.run.parent_run_id is None:
            raise RuntimeError("the step was lost")

    job = job_of(workspace_of(served), after=fail_once)
    first = run(job, instance)
    assert run(job, instance, parent=first.run_id).success
    assert served.jobs_started() == 1


def test_re_executing_all_of_a_good_run_is_a_new_wish(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    job = job_of(workspace_of(served))
    first = run(job, instance)
    again = run(job, instance, parent=first.run_id)
    sister = run(job, instance, parent=first.run_id)
    assert first.success
    assert again.success
    assert sister.success
    assert served.jobs_started() == 3
    assert served.cancels() == 0


def test_a_run_that_is_being_terminated_starts_nothing(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    tries: list[int] = []

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=3))
    def load(context: dg.OpExecutionContext) -> None:
        tries.append(context.retry_number)
        if not context.retry_number:
            instance.report_run_canceling(context.run)
            raise RuntimeError("as an interrupt that the RetryPolicy turned into a retry")
        Attempt(context, workspace_of(served)).run(SYNC)

    @dg.job(executor_def=dg.in_process_executor)
    def nightly() -> None:
        load()

    result = nightly.execute_in_process(instance=instance, raise_on_error=False)
    ended = instance.get_run_by_id(result.run_id)
    assert tries == [0, 1]
    assert served.calls() == 0
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.CANCELED


def test_skip_when_busy(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.script(CONNECTION, "stuck")
    workspace = workspace_of(served, if_running="skip")
    workspace.get_client().connections.sync(CONNECTION)
    seen: list[Outcome | None] = []
    assert run(job_of(workspace, after=lambda context, outcome: seen.append(outcome)), instance).success
    assert seen == [None]
    assert served.jobs_started() == 1
    assert started_runs(instance) == {}


def test_a_busy_connection_is_waited_for(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.script(CONNECTION, sequence=[{"duration_seconds": 60.0}, {}])
    workspace = workspace_of(served)
    workspace.get_client().connections.sync(CONNECTION)
    assert run(job_of(workspace), instance).success
    assert served.jobs_started() == 2


@pytest.mark.parametrize("cancels", [True, False])
def test_a_job_past_its_deadline(served: RunningSandbox, instance: dg.DagsterInstance, cancels: bool) -> None:
    served.script(CONNECTION, "stuck")
    workspace = workspace_of(served, timeout_seconds=1.0, cancel_on_termination=cancels)
    with pytest.raises(WaitTimeoutError, match="deadline"):
        job_of(workspace).execute_in_process(instance=instance)
    assert served.cancels() == int(cancels)


def test_a_job_that_somebody_cancelled_is_an_outcome(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.script(CONNECTION, "cancelled")
    seen: list[Outcome | None] = []
    run(job_of(workspace_of(served), after=lambda context, outcome: seen.append(outcome)), instance)
    assert [outcome.status for outcome in seen if outcome] == ["cancelled"]


@pytest.mark.parametrize("idempotency", ["honoured", "ignored"])
def test_a_lost_answer_to_the_start(served: RunningSandbox, instance: dg.DagsterInstance, idempotency: Any) -> None:
    served.switch(idempotency=idempotency)
    served.fault("connections.sync", "drop", times=1)
    assert run(job_of(workspace_of(served, idempotency=idempotency)), instance).success
    assert served.jobs_started() == 1


def test_submitting_waits_for_nothing(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.script(CONNECTION, "stuck")
    handles: list[RunHandle | None] = []

    @dg.op
    def load(context: dg.OpExecutionContext) -> None:
        handles.append(Attempt(context, workspace_of(served)).start(SYNC))

    @dg.job
    def nightly() -> None:
        load()

    assert nightly.execute_in_process(instance=instance).success
    (entry,) = started_runs(instance).values()
    assert entry.handle is not None
    assert handles[0] is not None
    assert entry.handle.id == handles[0].id
    assert not entry.owner.waits
    assert entry.record is not None
    assert not entry.record.leave_running, "nobody said that it may go on past its deadline"


def test_two_requests_of_one_step_are_two_wishes(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    @dg.op
    def load(context: dg.OpExecutionContext) -> None:
        attempt = Attempt(context, workspace_of(served))
        assert attempt.run(SYNC, part="one") is not None
        assert attempt.run(SYNC, part="two") is not None

    @dg.job
    def nightly() -> None:
        load()

    assert nightly.execute_in_process(instance=instance).success
    assert served.jobs_started() == 2


def test_requests_of_one_step_one_after_the_other_get_a_job_each(
    served: RunningSandbox, instance: dg.DagsterInstance
) -> None:
    told: list[list[str]] = []
    asked = [
        BackfillRequest(CONNECTION, datetime(2026, 1, day, tzinfo=UTC), datetime(2026, 1, day + 1, tzinfo=UTC))
        for day in (1, 5)
    ]

    @dg.op(name="load", retry_policy=dg.RetryPolicy(max_retries=1))
    def load(context: dg.OpExecutionContext) -> None:
        attempt = Attempt(context, workspace_of(served))
        outcomes = [attempt.run(request) for request in (*asked, SYNC, SYNC)]
        told.append([outcome.id for outcome in outcomes if outcome is not None])
        if context.retry_number == 0:
            raise RuntimeError("after they ended well")

    @dg.job(executor_def=dg.in_process_executor)
    def nightly() -> None:
        load()

    assert run(nightly, instance).success
    assert (served.backfills_started(), served.jobs_started()) == (2, 2)
    assert len(set(told[0])) == 4
    # The retry finds each one's own job.
    assert told[1] == told[0]


def test_a_request_after_an_error_goes_on_with_its_job(
    served: RunningSandbox, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = attempt_module.outcome_of
    errors = [PermissionDeniedError("no right to read", status_code=403)]

    def outcome_of(*args: Any, **options: Any) -> Outcome:
        if errors:
            raise errors.pop()
        return read(*args, **options)

    monkeypatch.setattr(attempt_module, "outcome_of", outcome_of)

    @dg.op(name="load")
    def load(context: dg.OpExecutionContext) -> None:
        attempt = Attempt(context, workspace_of(served))
        with pytest.raises(PermissionDeniedError):
            attempt.run(SYNC)
        assert attempt.run(SYNC) is not None

    @dg.job(executor_def=dg.in_process_executor)
    def nightly() -> None:
        load()

    assert run(nightly, instance).success
    assert served.jobs_started() == 1


def test_mapped_steps_are_wishes_of_their_own(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.switch(busy="parallel")
    workspace = workspace_of(served)

    @dg.op(out=dg.DynamicOut())
    def each():
        yield dg.DynamicOutput(1, mapping_key="one")
        yield dg.DynamicOutput(2, mapping_key="two")

    @dg.op
    def load(context: dg.OpExecutionContext, number: int) -> None:
        assert Attempt(context, workspace).run(SYNC) is not None

    @dg.job
    def nightly() -> None:
        each().map(load)

    assert nightly.execute_in_process(instance=instance).success
    assert served.jobs_started() == 2
    assert {entry.owner.step_key for entry in entries_of(instance)} == {"load[one]", "load[two]"}


def test_the_partitions_are_told(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    days = dg.DailyPartitionsDefinition("2026-01-01")
    workspace = workspace_of(served)

    @dg.asset(partitions_def=days)
    def orders(context: dg.AssetExecutionContext) -> None:
        Attempt(context, workspace, asset_keys=[context.asset_key]).run(SYNC)

    tags = {"dagster/asset_partition_range_start": "2026-01-02", "dagster/asset_partition_range_end": "2026-01-04"}
    assert dg.materialize([orders], instance=instance, tags=tags).success
    (job,) = served.jobs()
    assert job["metadata"]["partition"] == "2026-01-02...2026-01-04"
    owner = entries_of(instance)[0].owner
    assert (owner.partition_start, owner.partition_end) == ("2026-01-02", "2026-01-04")


def test_the_partition_of_a_job_of_ops_is_told(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    workspace = workspace_of(served)

    @dg.op
    def load(context: dg.OpExecutionContext) -> None:
        Attempt(context, workspace).run(SYNC)

    @dg.job(partitions_def=dg.StaticPartitionsDefinition(["eu", "us"]))
    def nightly() -> None:
        load()

    assert nightly.execute_in_process(instance=instance, partition_key="eu").success
    assert served.jobs()[0]["metadata"]["partition"] == "eu"


def test_a_function_that_is_called_directly(served: RunningSandbox) -> None:
    workspace = workspace_of(served)

    @dg.op
    def load(context: dg.OpExecutionContext) -> str:
        outcome = Attempt(context, workspace).run(SYNC)
        assert outcome is not None
        return outcome.status

    @dg.asset
    def orders(context: dg.AssetExecutionContext) -> str:
        outcome = Attempt(context, workspace, asset_keys=[context.asset_key]).run(SYNC)
        assert outcome is not None
        return outcome.status

    assert load(dg.build_op_context()) == "succeeded"
    assert orders(dg.build_asset_context()) == "succeeded"
    assert served.jobs_started() == 2
