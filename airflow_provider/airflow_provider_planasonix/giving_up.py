"""Cancelling on the way out (G2), and not cancelling where nobody gave up (G3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix.task_state import ALIVE, TaskKey, state_within
from planasonix.errors import PlanasonixError
from planasonix.runs import RunHandle, cancel_run

if TYPE_CHECKING:
    from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
    from planasonix import Planasonix

ASK_SECONDS = 1.0
CANCEL_SECONDS = 2.0
"""Together three seconds: Airflow kills the process five seconds after its signal."""


def cancel_quietly(client: Planasonix, handle: RunHandle, log: Any, *, wanted: bool = True) -> None:
    """Cancel a run that this task gives up; never raise, because the reason for giving up is what the user must see."""
    if not wanted or not handle.owned:
        log.warning("Planasonix %s %s is left running", handle.kind, handle.id)
        return
    try:
        status = cancel_run(client, handle)
    except PlanasonixError as error:
        log.warning("Planasonix %s %s could not be cancelled, cancel it by hand: %s", handle.kind, handle.id, error)
    else:
        log.info("cancelled Planasonix %s %s (%s)", handle.kind, handle.id, status)


def on_signal(hook: PlanasonixHook, handle: RunHandle, task: TaskKey, log: Any) -> bool:
    """SIGTERM in the task's process: cancel the run if the task was given up, within three seconds.

    Returns whether it was given up. After a fast Clear the state may already be the new attempt's: the run is left
    then, and the new attempt, whose intent is another, cancels it before it starts its own.
    """
    link = handle.link(hook.job_url_template) or f"{handle.kind} {handle.id}"
    asked, state = state_within(task, ASK_SECONDS)
    if not asked or state in ALIVE:
        # An eviction, a redeploy, or no answer: the retry finds the run again.
        log.warning("the worker was told to stop and the task is %s: left running: %s", state or "unknown", link)
        return False
    try:
        with hook.get_client(deadline_seconds=CANCEL_SECONDS, timeout_seconds=CANCEL_SECONDS) as client:
            status = cancel_run(client, handle, patience_seconds=0.0)
    except PlanasonixError as error:
        log.warning("could not cancel, do it by hand: %s (%s)", link, error)
        return True
    log.info("the task is %s: cancelled %s %s (%s)", state or "cleared", handle.kind, handle.id, status)
    return True
