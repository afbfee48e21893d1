"""What becomes of a job at each exit: the table of `termination.verdict_on`, row by row."""

import asyncio
import signal

import pytest
from prefect.exceptions import Pause, TerminationSignal

from prefect_planasonix.loop import Interruption
from prefect_planasonix.options import RunOptions
from prefect_planasonix.termination import SeenState, is_given_up, verdict_on

TERM = TerminationSignal(signal.SIGTERM)
CANCELLED = asyncio.CancelledError()
RUNNING = SeenState("RUNNING", "Running")
SHUTDOWN = SeenState("CANCELLED", "Cancelled", "Runner is shutting down.")


@pytest.mark.parametrize(
    ("cause", "timed_out", "state", "by_default", "if_leave"),
    [
        (TERM, False, SeenState("CANCELLING"), "cancel", "cancel"),
        (CANCELLED, False, SeenState("CANCELLING"), "cancel", "cancel"),
        (None, False, SeenState("CANCELLED", message="by a user"), "cancel", "cancel"),
        (TERM, False, SHUTDOWN, "cancel", "leave"),
        (TERM, False, RUNNING, "cancel", "leave"),
        (CANCELLED, False, RUNNING, "cancel", "leave"),
        (CANCELLED, True, RUNNING, "cancel", "cancel"),
        (TimeoutError(), False, RUNNING, "cancel", "cancel"),
        (None, False, SeenState("FAILED"), "cancel", "cancel"),
        (None, False, SeenState("COMPLETED"), "cancel", "cancel"),
        (KeyboardInterrupt(), False, None, "cancel", "cancel"),
        (Pause(), False, RUNNING, "leave", "leave"),
        (TERM, False, SeenState("PAUSED", "Suspended"), "leave", "leave"),
        (TERM, False, SeenState("SCHEDULED", "AwaitingRetry"), "leave", "leave"),
        (TERM, False, SeenState("CRASHED"), "leave", "leave"),
        (TERM, False, None, "leave", "leave"),
        (CANCELLED, False, None, "leave", "leave"),
        (CANCELLED, True, None, "cancel", "cancel"),
        (GeneratorExit(), False, RUNNING, "leave", "leave"),
    ],
)
def test_the_table(
    cause: BaseException | None, timed_out: bool, state: SeenState | None, by_default: str, if_leave: str
) -> None:
    why = Interruption(cause, timed_out)
    assert verdict_on(why, state, RunOptions()).act == by_default
    assert verdict_on(why, state, RunOptions(on_shutdown="leave")).act == if_leave
    assert verdict_on(why, state, RunOptions(cancel_on_cancellation=False)).act == "leave"


@pytest.mark.parametrize(("cause", "timed_out"), [(TERM, False), (CANCELLED, False), (CANCELLED, True)])
def test_a_process_that_was_taken_for_dead_leaves_the_job_to_the_later_try(
    cause: BaseException, timed_out: bool
) -> None:
    why, second = Interruption(cause, timed_out), SeenState("RUNNING", "Running", run_count=2)
    assert verdict_on(why, second, RunOptions(), flow_try=1).act == "leave"
    assert verdict_on(why, second, RunOptions(), flow_try=2).act == "cancel"
    assert verdict_on(why, SeenState("CANCELLING", run_count=2), RunOptions(), flow_try=1).act == "cancel"


def test_outside_any_run_nothing_could_find_the_job_again() -> None:
    assert verdict_on(Interruption(CANCELLED), None, RunOptions(), in_run=False).act == "cancel"


@pytest.mark.parametrize("behavior", ["reschedule", "relinquish"])
def test_where_another_process_goes_on_the_job_is_left(behavior: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", behavior)
    assert verdict_on(Interruption(TERM), RUNNING, RunOptions()).act == "leave"
    assert verdict_on(Interruption(TERM), SeenState("CANCELLING"), RunOptions()).act == "cancel"


@pytest.mark.parametrize(
    ("type_", "given_up"),
    [
        ("CANCELLING", True),
        ("CANCELLED", True),
        ("FAILED", True),
        ("COMPLETED", True),
        ("RUNNING", False),
        ("PENDING", False),
        ("PAUSED", False),
        ("SCHEDULED", False),
        ("CRASHED", False),
    ],
)
def test_which_states_end_a_wait(type_: str, given_up: bool) -> None:
    assert is_given_up(SeenState(type_)) is given_up
