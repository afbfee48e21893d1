"""Rate budget, priorities and pauses."""

from __future__ import annotations

import gc
import os
import signal
import threading
from email.utils import formatdate

import pytest

from planasonix.engine import Pacer, Reply, RetryBudget, budget_for, pacer_for

WALL = 1_700_000_000.0


def limits(limit=None, remaining=None, reset=None, **more):
    headers = {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset, **more}
    return {name: str(value) for name, value in headers.items() if value is not None}


def learned(headers, *, now=0.0):
    """A pacer that has seen one answer."""
    pacer = Pacer()
    assert pacer.admit("other", now) is None
    pacer.settle(headers, now=now, wall=WALL + now)
    return pacer


def admitted(pacer, priority, now, at_most=1000):
    count = 0
    while count < at_most and pacer.admit(priority, now) is None:
        count += 1
    return count


def settle(pacer, count, now):
    """The answers to so many calls come, without rate headers."""
    for _ in range(count):
        pacer.settle({}, now=now, wall=WALL + now)


def test_without_headers_nobody_waits():
    assert admitted(learned({}), "poll", 0.0) == 1000


def test_the_budget_ends_where_the_server_says():
    pacer = learned(limits(100, 40, int(WALL) + 30))
    assert admitted(pacer, "start", 0.0) == 40
    delay = pacer.admit("start", 0.0)
    assert delay is not None
    assert delay.reason == "rate_limit"
    assert delay.seconds == pytest.approx(30.0)
    settle(pacer, 40, 29.0)
    assert admitted(pacer, "start", 30.0) == 100


def test_polls_leave_a_reserve_for_cancels_and_those_for_starts():
    pacer = learned(limits(100, 20, int(WALL) + 60))
    assert admitted(pacer, "poll", 0.0) == 0
    assert admitted(pacer, "other", 0.0) == 10
    assert admitted(pacer, "cancel", 0.0) == 8
    assert admitted(pacer, "start", 0.0) == 2


def test_a_limit_of_one_still_moves():
    pacer = learned(limits(1, 1, int(WALL) + 10))
    assert admitted(pacer, "poll", 0.0) == 1
    settle(pacer, 1, 1.0)
    assert admitted(pacer, "poll", 5.0) == 0
    assert admitted(pacer, "poll", 10.0) == 1


def test_polls_are_spread_when_the_budget_gets_short():
    pacer = learned(limits(100, 40, int(WALL) + 60))
    assert admitted(pacer, "poll", 0.0) == 1
    delay = pacer.admit("poll", 0.0)
    assert delay is not None
    assert delay.seconds == pytest.approx(60 / 20)
    assert admitted(pacer, "poll", 3.1) == 1


def test_a_reset_that_counts_down():
    delays = learned(limits(10, 0, 12)).admit("start", 0.0)
    assert delays is not None
    assert delays.seconds == pytest.approx(12.0)


def test_a_reset_is_measured_against_the_servers_clock():
    headers = limits(10, 0, 2_000_000_030, date="Wed, 18 May 2033 03:33:20 GMT")  # the server's now is 2_000_000_000
    delay = learned(headers).admit("start", 0.0)
    assert delay is not None
    assert delay.seconds == pytest.approx(30.0)


def test_an_unknown_window_slows_down_only_when_nothing_remains():
    pacer = learned(limits(100, 60))
    assert admitted(pacer, "start", 0.0) == 60
    delay = pacer.admit("start", 0.0)
    assert delay is not None
    assert 0 < delay.seconds <= 1.0
    assert pacer.admit("start", delay.seconds) is None


@pytest.mark.parametrize("remaining", ["-1", "many", "", "1e3", "9" * 40])
def test_unreadable_headers_are_ignored(remaining):
    assert admitted(learned({"x-ratelimit-remaining": remaining}), "poll", 0.0) == 1000


def test_calls_on_their_way_are_counted():
    pacer = Pacer()
    assert admitted(pacer, "start", 0.0, at_most=5) == 5
    pacer.settle(limits(100, 10, int(WALL) + 60), now=0.0, wall=WALL)
    assert admitted(pacer, "start", 0.0) == 6


def test_an_overtaken_answer_does_not_enlarge_the_budget():
    pacer = Pacer()
    assert admitted(pacer, "start", 0.0, at_most=2) == 2
    pacer.settle(limits(100, 3, int(WALL) + 60), now=0.0, wall=WALL)
    pacer.settle(limits(100, 50, int(WALL) + 60), now=0.0, wall=WALL)
    assert admitted(pacer, "start", 0.0) == 2


def test_calls_that_are_on_their_way_when_the_budget_is_renewed_may_be_counted_in_the_new_window():
    pacer = learned(limits(20, 20, int(WALL) + 60))
    assert admitted(pacer, "start", 59.0, at_most=5) == 5
    assert admitted(pacer, "start", 60.0) == 15


def test_a_late_answer_of_the_window_before_does_not_end_the_new_one():
    pacer = learned(limits(20, 20, int(WALL) + 60))
    assert admitted(pacer, "start", 59.0, at_most=1) == 1
    assert admitted(pacer, "start", 60.0) == 19
    # Its Date says that it was written in the old window, of which a moment was left.
    late = limits(20, 19, int(WALL) + 60, date=formatdate(WALL + 59, usegmt=True))
    pacer.settle(late, now=60.5, wall=WALL + 60.5, admitted_at=59.0)
    assert admitted(pacer, "start", 62.0) == 0


def test_a_longer_pause_stays():
    pacer = Pacer()
    pacer.pause(10.0, 0.0)
    pacer.pause(1.0, 0.0)
    delay = pacer.admit("start", 5.0)
    assert delay is not None
    assert (delay.reason, delay.seconds) == ("retry_after", 5.0)
    assert pacer.admit("start", 10.0) is None


def test_never_more_than_the_limit_in_a_window(simulation):
    """A server with a fixed window of 20 calls a minute never has to refuse one."""
    window: dict[int, int] = {}

    def serve(request):
        minute = int(simulation.clock.now // 60)
        window[minute] = window.get(minute, 0) + 1
        reset = int(WALL) + (minute + 1) * 60
        if window[minute] > 20:
            return Reply(429, limits(20, 0, reset))
        return Reply(200, limits(20, 20 - window[minute], reset), b"{}")

    for number in range(200):
        priority = "start" if number % 5 == 0 else "poll"
        outcome = simulation.call(serve, priority=priority, deadline_seconds=None)
        assert outcome.answer is not None
        assert outcome.answer.attempts == 1
    assert max(window.values()) <= 20


def test_one_pacer_for_a_credential_while_somebody_holds_it():
    first = pacer_for("credential")
    assert pacer_for("credential") is first
    first.pause(1000.0, 0.0)
    del first
    gc.collect()
    assert pacer_for("credential").admit("poll", 0.0) is None


def test_threads_share_the_budget():
    pacer = learned(limits(1000, 300, int(WALL) + 60))
    counts = []

    def take():
        counts.append(admitted(pacer, "start", 0.0))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 300


def test_one_retry_budget_for_a_credential_while_somebody_holds_it():
    first = budget_for("credential")
    assert budget_for("credential") is first
    while first.withdraw():
        pass
    del first
    gc.collect()
    assert budget_for("credential").withdraw()


@pytest.mark.timeout(10)
def test_a_signal_handler_may_call_while_the_thread_that_it_interrupts_is_inside():
    """Who stops a task by a signal has the handler cancel the job, with the credential of the interrupted call."""
    pacer, budget, answers = pacer_for("signals"), RetryBudget(), []

    def handler(number, frame):
        answers.append(pacer_for("signals").admit("cancel", 0.0))
        pacer.settle({}, now=0.0, wall=WALL)
        answers.append(budget.withdraw())

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pacer._lock, budget._lock:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == [None, True]


def test_a_forked_child_gets_a_free_lock():
    """The locks are held by another thread at the moment of the fork, which the child does not have."""
    pacer, budget = pacer_for("fork"), budget_for("fork")
    held, done = threading.Event(), threading.Event()

    def hold():
        with pacer._lock, budget._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        usable = pacer.admit("start", 0.0) is None and budget.withdraw() and pacer_for("fork") is pacer
        os._exit(0 if usable else 1)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
