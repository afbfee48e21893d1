"""A hundred deferred tasks of one DAG in one real triggerer. The thousand of `make bench` is the same run, longer."""

import pytest

from benchmarks.deferred import EVERY_WHICH_FAILS, INTERVAL_SECONDS, STEADY_SECONDS, Measured, measure

pytestmark = [pytest.mark.live, pytest.mark.scenario, pytest.mark.timeout(1800)]
TASKS = 100


@pytest.fixture(scope="module")
def measured() -> Measured:
    # A port, a home and a database of its own: the triggerer's metrics are to be of these tasks alone.
    return measure(TASKS, timeout_seconds=700)


def test_each_task_starts_one_job_and_ends_as_it_did(measured: Measured) -> None:
    failed = -(-TASKS // EVERY_WHICH_FAILS)
    assert measured.wrong == []
    assert measured.jobs == TASKS
    assert measured.states == {"success": TASKS - failed, "failed": failed}


def test_all_of_them_share_one_watcher(measured: Measured) -> None:
    """One list a tick for all of them, and no job read by itself; without sharing it would be a hundred a tick."""
    ticks = STEADY_SECONDS / INTERVAL_SECONDS
    # A pause is shortened by a tenth of jitter at most, and a tick more may have begun.
    assert 1 <= measured.steady_lists <= ticks / 0.9 + 1
    assert measured.steady_reads <= ticks


def test_a_finished_wait_costs_few_status_calls(measured: Measured) -> None:
    assert measured.calls_per_wait <= 2.5


def test_the_event_loop_is_not_blocked(measured: Measured) -> None:
    """Airflow's own word for it; true of a machine that has a core for the triggerer when it wants one."""
    assert measured.metrics > 0
    assert (measured.blocked, measured.blocked_lines) == (0, [])
