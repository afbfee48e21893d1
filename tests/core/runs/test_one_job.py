"""One job per intent over real HTTP: lost answers, cut bodies, killed processes (G1, G4)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.engine import SystemClock
from planasonix.errors import ConflictError, OutcomeUnknownError, PlanasonixError, RunFailedError
from planasonix.runs import (
    BackfillRequest,
    MemoryLedger,
    PipelineRunRequest,
    Policy,
    Provenance,
    SqliteLedger,
    SyncRequest,
    new_intent,
    run_to_end,
    start_run,
)
from planasonix.runs.drivers import perform
from planasonix.runs.start import Start
from planasonix.watch import Interval

CONNECTION = "conn_shop_orders"
SYNC = SyncRequest(CONNECTION)
BACKFILL = BackfillRequest(CONNECTION, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
RUN = PipelineRunRequest("pl_daily_revenue", variables={"day": "2026-01-05"})
FAST = Interval(fixed_seconds=0.1)

profiles = pytest.mark.parametrize(
    "profile",
    [
        pytest.param(name, marks=pytest.mark.planasonix_sandbox(profile=name, speed=20), id=name)
        for name in ("strict", "rich")
    ],
)
requests = pytest.mark.parametrize("request_", [SYNC, BACKFILL, RUN], ids=["sync", "backfill", "run"])


def run(client: Planasonix, request: Any, ledger: Any, **options: Any) -> Any:
    policy = Policy(idempotency=client.config.idempotency_of(request.operation), settle_seconds=0.1)
    return run_to_end(client, request, ledger=ledger, policy=policy, **options)


def connect(sandbox: Any, **options: Any) -> Planasonix:
    return Planasonix(sandbox.api_key, sandbox.url, timeout_seconds=5, **options)


def started(sandbox: Any, request: Any) -> int:
    if request.kind == "run":
        return sandbox.runs_started(request.pipeline_id)
    return sandbox.backfills_started() if request.kind == "backfill" else sandbox.jobs_started(CONNECTION)


@profiles
@requests
@pytest.mark.parametrize("told", ["honoured", "unproven"])
@pytest.mark.parametrize("fault", ["drop", "cut", "reset", "error"])
def test_one_lost_answer(
    planasonix_sandbox: Any, tmp_path: Path, profile: str, request_: Any, fault: str, told: Any
) -> None:
    planasonix_sandbox.fault(request_.operation, fault, times=1)
    with connect(planasonix_sandbox, idempotency=told) as client:
        outcome = run(client, request_, SqliteLedger(tmp_path / "ledger.db", "slot"), interval=FAST)
    assert outcome is not None
    assert outcome.succeeded
    assert started(planasonix_sandbox, request_) == 1


@profiles
@requests
def test_an_answer_lost_for_good_and_the_same_intent_again(
    planasonix_sandbox: Any, tmp_path: Path, profile: str, request_: Any
) -> None:
    """The first try ends without knowing; the next one, with the same ledger, finds the job."""
    ledger, intent = SqliteLedger(tmp_path / "ledger.db", "slot"), new_intent()
    # A tenant that knows the keys of runs as well, and a client that is told so.
    planasonix_sandbox.switch(run_idempotency="honoured")
    planasonix_sandbox.fault(request_.operation, "drop", times=None)
    with connect(planasonix_sandbox, max_tries=2, idempotency="honoured", run_idempotency="honoured") as client:
        with pytest.raises(PlanasonixError) as caught:
            run_to_end(client, request_, ledger=ledger, intent=intent)
        assert caught.value.outcome == "unknown"
        planasonix_sandbox.clear_faults()
        outcome = run(client, request_, ledger, intent=intent, interval=FAST)
    assert outcome is not None
    assert outcome.reattached
    assert started(planasonix_sandbox, request_) == 1


@profiles
@requests
@pytest.mark.parametrize("told", ["ignored", "unproven"])
def test_keys_ignored(planasonix_sandbox: Any, tmp_path: Path, profile: str, request_: Any, told: Any) -> None:
    """Even where nobody told the client that the API ignores its keys, no second job starts unannounced."""
    planasonix_sandbox.switch(idempotency="ignored", run_idempotency="ignored")
    planasonix_sandbox.fault(request_.operation, "drop", times=1)
    ledger, intent = SqliteLedger(tmp_path / "ledger.db", "slot"), new_intent()
    with connect(planasonix_sandbox, idempotency=told) as client:
        try:
            outcome = run(client, request_, ledger, intent=intent, interval=FAST)
        except OutcomeUnknownError:
            outcome = None
    assert started(planasonix_sandbox, request_) == 1
    assert outcome is None or outcome.succeeded


def test_keys_ignored_and_another_job_beside_ours_is_announced(planasonix_sandbox: Any, tmp_path: Path) -> None:
    planasonix_sandbox.switch(idempotency="ignored", busy="parallel")
    planasonix_sandbox.fault("connections.sync", "drop", times=1)
    with connect(planasonix_sandbox, idempotency="ignored") as client, connect(planasonix_sandbox) as somebody:
        somebody.connections.sync(CONNECTION)
        planasonix_sandbox.fault("connections.sync", "drop", times=1)
        with pytest.raises(OutcomeUnknownError, match="cancel what is not wanted"):
            run(client, SYNC, SqliteLedger(tmp_path / "ledger.db", "slot"))
    assert planasonix_sandbox.jobs_started(CONNECTION) <= 3


CHILD = """
import sys
from datetime import UTC, datetime
from planasonix import Planasonix
from planasonix.runs import BackfillRequest, PipelineRunRequest, SqliteLedger, SyncRequest, run_to_end
url, key, path, kind = sys.argv[1:]
request = {
    "job": SyncRequest("conn_shop_orders"),
    "backfill": BackfillRequest(
        "conn_shop_orders", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
    "run": PipelineRunRequest("pl_daily_revenue", variables={"day": "2026-01-05"}),
}[kind]
client = Planasonix(key, url, timeout_seconds=60)
run_to_end(client, request, ledger=SqliteLedger(path, "slot"), intent="an-intent")
"""


def kill_when(sandbox: Any, path: Path, request: Any, condition: Any) -> None:
    """Run the request in a process of its own and kill it with -9 once the condition holds."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, sandbox.url, sandbox.api_key, str(path), request.kind])
    try:
        deadline = time.monotonic() + 30
        while not condition():
            assert child.poll() is None, "the process ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


@profiles
@requests
def test_killed_between_post_and_answer(planasonix_sandbox: Any, tmp_path: Path, profile: str, request_: Any) -> None:
    path = tmp_path / "ledger.db"
    planasonix_sandbox.fault(request_.operation, "timeout", where="after", seconds=60, times=1)
    kill_when(planasonix_sandbox, path, request_, lambda: started(planasonix_sandbox, request_) == 1)
    record = SqliteLedger(path, "slot").read()
    assert record is not None
    assert (record.sent_at is not None, record.run_id) == (True, None)
    with connect(planasonix_sandbox) as client:
        outcome = run_to_end(client, request_, ledger=SqliteLedger(path, "slot"), intent="an-intent", interval=FAST)
    assert outcome is not None
    assert outcome.succeeded
    assert started(planasonix_sandbox, request_) == 1


@pytest.mark.planasonix_sandbox(speed=1)
def test_killed_while_waiting(planasonix_sandbox: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    planasonix_sandbox.script(CONNECTION, duration_seconds=600)
    kill_when(planasonix_sandbox, path, SYNC, lambda: planasonix_sandbox.calls("jobs.get") >= 1)
    planasonix_sandbox.advance(700)
    with connect(planasonix_sandbox) as client:
        outcome = run_to_end(client, SYNC, ledger=SqliteLedger(path, "slot"), intent="an-intent")
    assert outcome is not None
    assert outcome.reattached
    assert planasonix_sandbox.jobs_started(CONNECTION) == 1


@profiles
def test_a_retry_after_a_failed_job_starts_a_new_one_and_a_new_intent_does_too(
    planasonix_sandbox: Any, tmp_path: Path, profile: str
) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", "slot")
    planasonix_sandbox.script(CONNECTION, sequence=[{"outcome": "failed"}, {"outcome": "succeeded"}])
    with connect(planasonix_sandbox) as client:
        with pytest.raises(RunFailedError):
            run_to_end(client, SYNC, ledger=ledger, intent="one", interval=FAST)
        retried = run_to_end(client, SYNC, ledger=ledger, intent="one", interval=FAST)
        again = run_to_end(client, SYNC, ledger=ledger, intent="one", interval=FAST)
        assert retried is not None
        assert again is not None
        assert (retried.generation, again.id) == (1, retried.id)
        assert planasonix_sandbox.jobs_started(CONNECTION) == 2
        run_to_end(client, SYNC, ledger=ledger, intent="two", interval=FAST)
    assert planasonix_sandbox.jobs_started(CONNECTION) == 3


@pytest.mark.planasonix_sandbox(speed=20)
def test_a_busy_connection_is_waited_for(planasonix_sandbox: Any) -> None:
    with connect(planasonix_sandbox) as client:
        other = client.connections.sync(CONNECTION)
        outcome = run_to_end(client, SYNC, interval=FAST)
    assert outcome is not None
    assert outcome.id != other.id
    assert planasonix_sandbox.jobs_started(CONNECTION) == 2


@pytest.mark.planasonix_sandbox(speed=20)
def test_skip_and_attach(planasonix_sandbox: Any) -> None:
    with connect(planasonix_sandbox) as client:
        other = client.connections.sync(CONNECTION)
        assert run_to_end(client, SYNC, policy=Policy(if_running="skip")) is None
        attached = run_to_end(client, SYNC, policy=Policy(if_running="attach"), interval=FAST)
    assert attached is not None
    assert (attached.id, attached.owned) == (other.id, False)
    assert planasonix_sandbox.jobs_started(CONNECTION) == 1


@pytest.mark.planasonix_sandbox(speed=1)
def test_past_the_deadline_the_job_is_cancelled(planasonix_sandbox: Any) -> None:
    planasonix_sandbox.script(CONNECTION, outcome="stuck")
    with connect(planasonix_sandbox) as client, pytest.raises(PlanasonixError, match="had not ended"):
        run_to_end(client, SYNC, policy=Policy(timeout_seconds=2), interval=FAST)
    assert planasonix_sandbox.cancels() == 1


def test_the_job_carries_who_started_it(planasonix_sandbox: Any) -> None:
    planasonix_sandbox.set_speed(100)
    provenance = Provenance("airflow", "airflow_dag_nightly", {"dag_run_id": "manual__1", "map_index": 3})
    with connect(planasonix_sandbox) as client:
        outcome = run_to_end(client, SYNC, provenance=provenance, metadata={"team": "sales"}, interval=FAST)
    assert outcome is not None
    metadata = planasonix_sandbox.job(outcome.id)["metadata"]
    assert metadata["triggered_by"] == "airflow_dag_nightly"
    assert metadata["dag_run_id"] == "manual__1"
    assert (metadata["map_index"], metadata["team"], metadata["planasonix_generation"]) == (3, "sales", 0)


class ThreeHoursAhead(SystemClock):
    def time(self) -> float:
        return super().time() + 3 * 3600


@pytest.mark.planasonix_sandbox(speed=1)
def test_a_clock_hours_off_neither_hides_a_job_nor_ends_its_wait(planasonix_sandbox: Any, tmp_path: Path) -> None:
    """Ours is three hours ahead of the API's: its stamps lie before our POST, and the deadline is one hour."""
    clock = ThreeHoursAhead()
    planasonix_sandbox.fault("connections.sync", "drop", times=1)
    ledger = SqliteLedger(tmp_path / "ledger.db", "slot")
    policy = Policy(settle_seconds=0.1, timeout_seconds=3600)
    start = Start(SYNC, new_intent(), Provenance("test", "a test"), policy, clock.time)
    with connect(planasonix_sandbox, clock=clock) as client:
        started = perform(client, start.steps(ledger.read()), ledger=ledger)
    assert started.how == "adopted"
    assert started.handle is not None
    assert started.handle.deadline_at - clock.time() > 3500
    assert planasonix_sandbox.jobs_started(CONNECTION) == 1


@pytest.mark.planasonix_sandbox(speed=1)
def test_a_script_that_is_interrupted_leaves_no_job_that_nobody_can_find(planasonix_sandbox: Any) -> None:
    planasonix_sandbox.script(CONNECTION, outcome="stuck")

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    with connect(planasonix_sandbox) as client, pytest.raises(KeyboardInterrupt):
        run_to_end(client, SYNC, interval=FAST, on_change=interrupt)
    assert planasonix_sandbox.cancels() == 1


@pytest.mark.planasonix_sandbox(speed=1)
def test_an_interrupted_script_with_a_ledger_leaves_its_job_to_the_next_call(
    planasonix_sandbox: Any, tmp_path: Path
) -> None:
    planasonix_sandbox.script(CONNECTION, outcome="stuck")

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    with connect(planasonix_sandbox) as client, pytest.raises(KeyboardInterrupt):
        run_to_end(
            client, SYNC, intent="one", ledger=SqliteLedger(tmp_path / "l.db", "s"), interval=FAST, on_change=interrupt
        )
    assert planasonix_sandbox.cancels() == 0


@pytest.mark.planasonix_sandbox(speed=1)
def test_a_hanging_api_holds_a_wait_little_beyond_its_timeout(planasonix_sandbox: Any) -> None:
    planasonix_sandbox.script(CONNECTION, outcome="stuck")
    with connect(planasonix_sandbox) as client:
        job = client.connections.sync(CONNECTION)
        planasonix_sandbox.fault("jobs.get", "timeout", times=None, seconds=60)
        began = time.monotonic()
        with pytest.raises(PlanasonixError, match="had not ended"):
            client.jobs.wait(job.id, timeout=2)
    assert time.monotonic() - began < 15


@pytest.mark.planasonix_sandbox(speed=1)
def test_attach_takes_no_backfill_of_another_window_or_other_tables(planasonix_sandbox: Any) -> None:
    """The start state machine may hold the same rule: a list shows a backfill's window, only a GET its tables."""
    planasonix_sandbox.script(CONNECTION, outcome="stuck")
    policy = Policy(if_running="attach")
    others_window = BackfillRequest(CONNECTION, datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    tables = ["public.orders"]
    for theirs, ours in ((others_window, BACKFILL), (BACKFILL, replace(BACKFILL, tables=tuple(tables)))):
        with connect(planasonix_sandbox) as client:
            other = client.connections.backfill(CONNECTION, start_at=theirs.start_at, end_at=theirs.end_at)
            with pytest.raises(ConflictError, match="of the same request to attach to"):
                run_to_end(client, ours, policy=policy)
            attached = start_run(
                client, theirs, intent="x", ledger=MemoryLedger(), provenance=Provenance("t", "t"), policy=policy
            )
            client.backfills.cancel(other.id)
            planasonix_sandbox.advance(60)
        assert attached.handle is not None
        assert (attached.handle.id, attached.handle.owned) == (other.id, False)


@profiles
def test_a_pipeline_run_tells_rows_and_nodes_and_takes_the_clients_environment(
    planasonix_sandbox: Any, profile: str
) -> None:
    with connect(planasonix_sandbox, environment="env_prod") as client:
        outcome = run_to_end(client, RUN, interval=FAST)
    assert outcome is not None
    [run] = planasonix_sandbox.runs(RUN.pipeline_id)
    assert (run["environment_id"], run["variables"]) == ("env_prod", {"day": "2026-01-05"})
    rows = run["metrics"]["rowsWritten"]
    assert rows > 0
    assert (outcome.pipeline_id, outcome.rows_read, outcome.rows_loaded) == (RUN.pipeline_id, rows, rows)
    assert [node.status for node in outcome.nodes] == ["succeeded"] * 3


@pytest.mark.planasonix_sandbox(speed=20)
def test_a_pipeline_run_carries_who_started_it_where_that_is_asked_for(planasonix_sandbox: Any) -> None:
    provenance = Provenance("airflow", "airflow_dag_nightly", {"dag_id": "nightly", "task_id": "load"})
    request = replace(RUN, forward_context=True)
    with connect(planasonix_sandbox) as client:
        run_to_end(client, request, provenance=provenance, interval=FAST)
    [run] = planasonix_sandbox.runs(RUN.pipeline_id)
    assert {"dag_id": "nightly", "task_id": "load", "day": "2026-01-05"}.items() <= run["variables"].items()


@pytest.mark.planasonix_sandbox(speed=20)
def test_a_pipeline_run_that_nobody_waits_for_any_more_is_cancelled(planasonix_sandbox: Any) -> None:
    planasonix_sandbox.script(RUN.pipeline_id, outcome="stuck")
    with connect(planasonix_sandbox) as client, pytest.raises(PlanasonixError, match="had not ended"):
        run_to_end(client, RUN, policy=Policy(timeout_seconds=1), interval=FAST)
    assert planasonix_sandbox.run_cancels() == 1


@pytest.mark.planasonix_sandbox(speed=20)
def test_a_busy_pipeline_is_waited_for(planasonix_sandbox: Any) -> None:
    planasonix_sandbox.switch(run_busy="409")
    with connect(planasonix_sandbox) as client:
        other = client.pipelines.run(RUN.pipeline_id)
        outcome = run_to_end(client, RUN, interval=FAST)
    assert outcome is not None
    assert outcome.id != other.id
    assert planasonix_sandbox.runs_started() == 2
