"""Cancelling on the way out (G2), and not cancelling where nobody gave up (G3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix.task_state import TaskKey, is_given_up, state_within
from planasonix.runs import RunHandle, give_up

if TYPE_CHECKING:
    from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook

ASK_SECONDS = 1.0
CANCEL_SECONDS = 2.0
"""Together three seconds: Airflow kills the process five seconds after its signal."""

STAY_SECONDS = 15.0
"""Longer than Airflow lets the process live."""


def given_up_on_signal(task: TaskKey, log: Any, what: str) -> bool:
    """SIGTERM in the task's process: whether a user ended the task.

    An eviction, a redeploy, or no answer within a second all mean no: the retry finds the run again. After a fast
    Clear the state may already be the new attempt's: no, too; the new attempt's intent is another, and it cancels the
    run before it starts its own.
    """
    asked, state = state_within(task, ASK_SECONDS)
    if asked and is_given_up(state):
        _say(log.info, "the task was ended by a user (%s)", state or "cleared")
        return True
    _say(log.warning, "the worker was told to stop and the task is %s: left running: %s", state or "unknown", what)
    return False


def is_given_up_now(task: TaskKey) -> bool:
    """Whether a user has ended the task; False where Airflow does not say so within a second."""
    asked, state = state_within(task, ASK_SECONDS)
    return asked and is_given_up(state)


def _say(write: Callable[..., None], *words: str) -> None:
    """Log from a thread, and wait for nothing.

    The signal may have come while this very thread was writing its log, and holds the lock of that: to log here would
    wait for it for ever, with the task alive and nobody waiting for its job.
    """
    threading.Thread(target=write, args=words, name="planasonix-log", daemon=True).start()


def cancel_on_signal(hook: PlanasonixHook, handles: Sequence[RunHandle], log: Any, *, stay: bool = True) -> None:
    """Cancel the runs of a task that a user ended, then let Airflow end the process.

    The calls run in threads, because the signal may have come while this one held a lock that a call needs. Once they
    are done nothing more may happen here: returning would let `execute` go on and report an ending of its own, which
    calls the failure callbacks of a task that was marked success. With `stay=False` this returns at once: the answer
    to a start is under way, and only whoever waits for it can put an end to what it started.
    """
    left = list(handles)
    done = threading.Event()

    def cancel(handle: RunHandle) -> None:
        try:
            with hook.get_client(deadline_seconds=CANCEL_SECONDS, timeout_seconds=CANCEL_SECONDS) as client:
                # One round: a backfill's end is not awaited here, because the process will not live to see it.
                log.warning(give_up(client, handle, patience_seconds=0.0))
        finally:
            left.remove(handle)
            if not left:
                done.set()

    for handle in handles:
        threading.Thread(target=cancel, args=(handle,), name="planasonix-cancel", daemon=True).start()
    if stay and done.wait(CANCEL_SECONDS + 0.5):
        time.sleep(STAY_SECONDS)
