"""Suspending the flow run that a call is made in, so that nothing of it runs until it is resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress as quietly
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from prefect_planasonix.owner import RunOwner

if TYPE_CHECKING:
    from planasonix.runs import RunHandle

KEY_PREFIX = "planasonix-"
"""What the pause keys of our suspensions begin with: a run that somebody else has suspended is not ours to resume."""

OVERTIME_SECONDS = 1800.0
"""How long after its jobs' deadlines a run stays suspended: the reconciler has that long to wake it, so that the flow
itself puts an end to its jobs. After that Prefect fails it."""


def why_not(owner: RunOwner) -> str | None:
    """Why the call cannot suspend its flow run, in words; None where it can."""
    if owner.flow_run_id is None:
        return "there is no flow run"
    if owner.task_run_id is not None:
        return "it is called in a task, and Prefect suspends whole flow runs only"
    if owner.parent_task_run_id is not None:
        return "this is a subflow, and Prefect suspends top-level flow runs only"
    if owner.deployment_id is None:
        return "this flow run has no deployment that could go on with it"
    return None


def seconds_for(handles: Sequence[RunHandle]) -> int:
    """How long a run that waits for these may stay suspended."""
    left = max(handle.deadline_at for handle in handles) - time.time()
    return int(max(0.0, left) + OVERTIME_SECONDS)


def suspend(handles: Sequence[RunHandle], *, still_wanted: Callable[[], bool]) -> None:
    """Suspend the flow run of the caller, a sync flow. Never returns: raises Prefect's `Pause`, which ends the process.

    `still_wanted` is asked once the run is suspended. An event that came before that resumed nothing, so that the run
    is resumed here where the answer is no. Raises `RuntimeError` where Prefect refuses, or its API fails; the run then
    goes on.
    """
    from prefect import suspend_flow_run
    from prefect.exceptions import Pause

    try:
        suspend_flow_run(timeout=seconds_for(handles), key=_new_key())
    except Pause as pause:
        # The run is suspended by now: an error here must not end it as failed.
        with quietly(Exception):
            if not still_wanted():
                resume(pause)
        raise
    except Exception as error:
        raise _refused(error) from error
    raise RuntimeError("Prefect did not suspend the flow run")


async def asuspend(handles: Sequence[RunHandle], *, still_wanted: Callable[[], Any]) -> None:
    """As `suspend`, for an async flow; `still_wanted` is awaited."""
    import asyncio

    from prefect import asuspend_flow_run
    from prefect.exceptions import Pause

    try:
        await asuspend_flow_run(timeout=seconds_for(handles), key=_new_key())
    except Pause as pause:
        with quietly(Exception):
            if not await still_wanted():
                await asyncio.to_thread(resume, pause)
        raise
    except Exception as error:
        raise _refused(error) from error
    raise RuntimeError("Prefect did not suspend the flow run")


def resume(pause: BaseException) -> None:
    """Resume the run that was just suspended. Raises nothing: the reconciler resumes it where this fails."""
    from prefect_planasonix.attempt import run_logger
    from prefect_planasonix.clients import prefect_client

    flow_run_id = getattr(getattr(getattr(pause, "state", None), "state_details", None), "flow_run_id", None)
    try:
        if flow_run_id is not None:
            prefect_client().resume_flow_run(flow_run_id)
    except Exception as error:
        run_logger().warning("the run could not be resumed, reconcile will do so: %r", error)


def _refused(error: Exception) -> RuntimeError:
    """A flow that failed here would leave jobs behind that run: it waits for them instead."""
    if isinstance(error, RuntimeError):
        return error
    # In a word: Prefect's text may quote what was sent.
    return RuntimeError(f"Prefect's API did not suspend the flow run ({type(error).__name__})")


def _new_key() -> str:
    # A new one each time: whether there is a reason to wait is read from the job, never from Prefect's memory.
    return f"{KEY_PREFIX}{uuid4().hex}"
