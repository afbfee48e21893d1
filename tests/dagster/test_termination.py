"""A signal at each moment of a step: cancelled where a user gave the run up, left running elsewhere."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix import attempt
from dagster_planasonix._compat import dies_with_process
from dagster_planasonix.clients import close_clients
from dagster_planasonix.ledger import LEDGER_KEY, started_runs
from dagster_planasonix.termination import Interrupts, refuse_to_start, verdict_on
from planasonix.sandbox import RunningSandbox, Sandbox
from tests.dagster.engine_parts import CONNECTION, KEY, job_of, run_of, workspace_of

WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def served_here() -> Iterator[RunningSandbox]:
    with Sandbox(api_keys=(KEY,), speed=60).serve() as running:
        yield running
    close_clients()


@pytest.fixture
def served(served_here: RunningSandbox) -> RunningSandbox:
    served_here.reset()
    served_here.script(CONNECTION, "stuck")
    return served_here


@pytest.fixture(scope="module")
def instance_here() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def instance(instance_here: dg.DagsterInstance) -> dg.DagsterInstance:
    instance_here.wipe_assets([LEDGER_KEY])
    return instance_here


def until(condition: Callable[[], Any]) -> None:
    give_up = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.01)


def interrupted(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    when: Callable[[], Any],
    *,
    status: str = "CANCELING",
    signals: tuple[int, ...] = (signal.SIGINT,),
    gap_seconds: float = 0.3,
) -> dg.DagsterRun:
    """Run the job, give it the signals once `when` holds, as Dagster would in that status; return the run."""
    made = instance.create_run_for_job(job)
    failures: list[BaseException] = []

    def interrupt() -> None:
        try:
            until(when)
            if status == "CANCELING":
                instance.report_run_canceling(made)
            for number in signals:
                os.kill(os.getpid(), number)
                time.sleep(gap_seconds)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        run_of(job, made, instance)
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
        pass
    finally:
        thread.join()
    assert not failures, failures
    ended = instance.get_run_by_id(made.run_id)
    assert ended is not None
    return ended


def has_begun(served: RunningSandbox, operation: str = "jobs.get") -> Callable[[], bool]:
    return lambda: served.calls(operation) > 0


def settles(served: RunningSandbox) -> list[str]:
    until(lambda: all(job["status"] != "cancelling" for job in served.jobs()))
    return [job["status"] for job in served.jobs()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_terminate_during_the_wait_cancels(served: RunningSandbox, instance: dg.DagsterInstance, number: int) -> None:
    ended = interrupted(job_of(workspace_of(served)), instance, has_begun(served), signals=(number,))
    assert ended.status is dg.DagsterRunStatus.CANCELED
    assert served.cancels() == 1
    assert settles(served) == ["cancelled"]


def test_terminate_with_a_retry_policy_starts_nothing_more(
    served: RunningSandbox, instance: dg.DagsterInstance
) -> None:
    ended = interrupted(job_of(workspace_of(served), retries=3), instance, has_begun(served))
    assert ended.status is dg.DagsterRunStatus.CANCELED
    assert (served.jobs_started(), served.cancels()) == (1, 1)


def test_an_eviction_leaves_it_running(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    job = job_of(workspace_of(served))
    first = interrupted(job, instance, has_begun(served), status="STARTED")
    assert served.cancels() == 0
    assert served.jobs()[0]["status"] == "running"
    served.finish(served.jobs()[0]["id"])
    again = instance.create_run_for_job(job, parent_run_id=first.run_id, root_run_id=first.run_id)
    assert run_of(job, again, instance).success
    assert served.jobs_started() == 1


def test_switched_off(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    workspace = workspace_of(served, cancel_on_termination=False)
    interrupted(job_of(workspace), instance, has_begun(served))
    assert (served.jobs_started(), served.cancels()) == (1, 0)
    (entry,) = started_runs(instance).values()
    assert entry.record is not None
    assert entry.record.leave_running


@pytest.mark.parametrize(("status", "cancels"), [("CANCELING", 1), ("STARTED", 0)])
def test_a_start_request_under_way_is_awaited(
    served: RunningSandbox, instance: dg.DagsterInstance, status: str, cancels: int
) -> None:
    late = served.fault("connections.sync", "latency", seconds=1.5)
    began = time.monotonic()
    interrupted(job_of(workspace_of(served)), instance, lambda: late.struck, status=status)
    assert time.monotonic() - began > 1.0
    assert (served.jobs_started(), served.cancels()) == (1, cancels)
    # What was started is in the ledger: whoever comes next finds it.
    assert started_runs(instance).keys() == {served.jobs()[0]["id"]}


def test_a_start_whose_answer_is_lost_is_found_and_cancelled(
    served: RunningSandbox, instance: dg.DagsterInstance
) -> None:
    served.switch(echo_metadata=True)
    served.fault("connections.sync", "drop", times=1)
    interrupted(job_of(workspace_of(served)), instance, lambda: served.jobs_started() == 1)
    assert (served.jobs_started(), served.cancels()) == (1, 1)


def test_a_second_signal_breaks_off(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    late = served.fault("connections.sync", "latency", seconds=30.0)
    job = job_of(workspace_of(served, request_timeout_seconds=60.0))
    twice = (signal.SIGINT, signal.SIGINT)
    began = time.monotonic()
    interrupted(job, instance, lambda: late.struck, status="STARTED", signals=twice, gap_seconds=2.2)
    assert time.monotonic() - began < 25.0


def test_one_ctrl_c_that_comes_twice_breaks_nothing_off(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    late = served.fault("connections.sync", "latency", seconds=1.5)
    twice = (signal.SIGINT, signal.SIGINT)
    interrupted(job_of(workspace_of(served)), instance, lambda: late.struck, signals=twice)
    assert (served.jobs_started(), served.cancels()) == (1, 1)


@pytest.mark.parametrize("status", ["CANCELING", "STARTED"])
def test_a_busy_connection_is_nobody_s_to_cancel(
    served: RunningSandbox, instance: dg.DagsterInstance, status: str
) -> None:
    workspace = workspace_of(served)
    workspace.get_client().connections.sync(CONNECTION)
    interrupted(job_of(workspace), instance, lambda: served.calls("connections.sync") == 2, status=status)
    assert (served.jobs_started(), served.cancels()) == (1, 0)


def test_a_job_that_has_ended_is_not_cancelled(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.script(CONNECTION, "succeeded")
    late = served.fault("jobs.results", "latency", seconds=2.0)
    ended = interrupted(job_of(workspace_of(served)), instance, lambda: late.struck)
    assert ended.status is dg.DagsterRunStatus.CANCELED
    assert served.calls("jobs.cancel") == 0


def test_a_cancel_that_fails_does_not_hide_the_interrupt(served: RunningSandbox, instance: dg.DagsterInstance) -> None:
    served.fault("jobs.cancel", "error", status=403, times=None)
    ended = interrupted(job_of(workspace_of(served)), instance, has_begun(served))
    assert ended.status is dg.DagsterRunStatus.CANCELED
    logs = [str(entry.user_message) for entry in instance.all_logs(ended.run_id)]
    assert any("could not be cancelled" in text for text in logs)


def test_in_memory_nobody_could_find_it_again(served: RunningSandbox) -> None:
    with dg.DagsterInstance.ephemeral() as memory:
        interrupted(job_of(workspace_of(served)), memory, has_begun(served), status="STARTED")
    assert served.cancels() == 1


def test_without_dagster_home_nobody_could_find_it_again(served: RunningSandbox, tmp_path: Path) -> None:
    home = tmp_path / ".tmp_dagster_home_x1"
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home)) as fleeting:
        interrupted(job_of(workspace_of(served)), fleeting, has_begun(served), status="STARTED")
    assert served.cancels() == 1


def test_in_an_instance_that_ends_with_the_process_a_step_may_start() -> None:
    context = _Context(_Instance(dg.DagsterRunStatus.STARTED))
    context.instance.is_ephemeral = True
    refuse_to_start(context)
    assert verdict_on(context)[0] == "given up"
    terminated = _Context(_Instance(dg.DagsterRunStatus.CANCELING))
    terminated.instance.is_ephemeral = True
    with pytest.raises(dg.Failure):
        refuse_to_start(terminated)


@pytest.mark.parametrize(
    ("home", "dies"),
    [
        (".tmp_dagster_home_x1", True),
        ("dagster_home", False),
    ],
)
def test_which_instance_ends_with_the_process(tmp_path: Path, home: str, dies: bool) -> None:
    (tmp_path / home).mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / home)) as made:
        assert dies_with_process(made) is dies


def test_events_that_are_kept_elsewhere_last(tmp_path: Path) -> None:
    home = tmp_path / ".tmp_dagster_home_x1"
    home.mkdir()
    kept = {"sqlite": {"base_dir": str(tmp_path / "kept")}}
    with dg.instance_for_test(temp_dir=str(home), overrides={"storage": kept}) as made:
        assert not dies_with_process(made)


@pytest.mark.parametrize(("how", "cancels"), [("CANCELED", 1), ("FAILURE", 0)])
def test_an_end_of_the_run_of_which_no_signal_tells(
    served: RunningSandbox,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    cancels: int,
) -> None:
    monkeypatch.setattr(attempt, "ASK_SECONDS", 0.1)
    job = job_of(workspace_of(served))
    made = instance.create_run_for_job(job)

    def end() -> None:
        until(has_begun(served))
        if how == "CANCELED":
            instance.report_run_canceling(made)
            instance.report_run_canceled(made)
        else:
            instance.report_run_failed(made)

    thread = threading.Thread(target=end)
    thread.start()
    assert not run_of(job, made, instance).success
    thread.join()
    assert (served.jobs_started(), served.cancels()) == (1, cancels)
    assert settles(served) == ["cancelled" if cancels else "running"]


# --- the parts -------------------------------------------------------------------------------------------------------


class _Run:
    run_id = "run_1"


class _Instance:
    is_ephemeral = False
    event_log_storage = None

    def __init__(self, status: dg.DagsterRunStatus | None, asked_to_end: bool = False) -> None:
        self._status = status
        self._asked_to_end = asked_to_end

    def get_run_by_id(self, run_id: str) -> Any:
        if self._status is None:
            raise OSError("the database is away")
        return dg.DagsterRun("nightly", run_id=run_id, status=self._status)

    def get_records_for_run(self, run_id: str, **_: Any) -> Any:
        class Connection:
            records: tuple[object, ...] = (object(),) if self._asked_to_end else ()

        return Connection()


class _Context:
    run = _Run()

    def __init__(self, instance: _Instance) -> None:
        self.instance = instance


Status = dg.DagsterRunStatus


@pytest.mark.parametrize(
    ("status", "asked_to_end", "verdict"),
    [
        (Status.STARTED, False, "going"),
        (Status.STARTING, False, "going"),
        (Status.CANCELING, True, "given up"),
        (Status.CANCELED, True, "given up"),
        (Status.FAILURE, True, "given up"),
        (Status.FAILURE, False, "ended"),
        (Status.SUCCESS, False, "ended"),
        (None, False, "going"),
    ],
)
def test_the_verdict(status: Any, asked_to_end: bool, verdict: str) -> None:
    context = _Context(_Instance(status, asked_to_end))
    assert verdict_on(context)[0] == verdict
    if verdict == "going":
        refuse_to_start(context)
    else:
        with pytest.raises(dg.Failure) as refused:
            refuse_to_start(context)
        assert not refused.value.allow_retries


def test_in_another_thread_nothing_is_installed() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def body() -> None:
        with Interrupts().settling(lambda: None, lambda level, text: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


def test_the_handlers_are_put_back() -> None:
    def wait() -> None:
        with Interrupts().settling(lambda: None, lambda level, text: None):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        wait()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_that_comes_after_the_status_was_read_breaks_nothing_off() -> None:
    settled: list[str] = []

    def settle() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        settled.append("to its end")

    def wait() -> None:
        with Interrupts().settling(settle, lambda level, text: None):
            raise dg.DagsterExecutionInterruptedError

    with pytest.raises(dg.DagsterExecutionInterruptedError):
        wait()
    assert settled == ["to its end"]
