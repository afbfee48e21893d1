"""What a trigger does when Airflow tells it that a user ended it: cancel, if the task was given up (G2, G3)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.task_state import TaskKey, current_state, is_given_up
from planasonix.errors import PlanasonixError

if TYPE_CHECKING:
    from planasonix.runs import RunHandle

ON_KILL_SECONDS = 28.0
"""Airflow gives `on_kill` thirty seconds. The first question of a triggerer process alone takes it some five."""

_PATIENCE_SECONDS = 20.0

_first_question: asyncio.Task[None] | None = None


def prepare_for_a_kill(task_key: dict[str, Any]) -> None:
    """Ask for the task's state once in this process, in the background, whatever the answer.

    The triggerer builds its way to Airflow's API at the first question. That takes seconds, half a minute on a busy
    machine, and `on_kill` has no more: the job of a task that was given up would go on. No question comes earlier
    where the connection stands in an environment variable.
    """
    global _first_question
    if _first_question is None:
        _first_question = asyncio.create_task(_ask(task_key))


async def _ask(task_key: dict[str, Any]) -> None:
    from asgiref.sync import sync_to_async

    with contextlib.suppress(Exception):
        await sync_to_async(current_state)(TaskKey(**task_key))


async def cancel_if_given_up(
    handles: Sequence[RunHandle], task_key: dict[str, Any], planasonix_conn_id: str, log: Any
) -> None:
    """Cancel the runs that are owned if the user gave the task up; leave them where that is not certain.

    Airflow calls a trigger's `on_kill` when its row is gone, and in 3.3 also when it was given to another triggerer. So
    the task is asked first: while it is alive, somebody else is waiting on. A new attempt after a fast Clear is alive
    too; it cancels the runs of the older intent itself, before it starts its own.
    """
    owned = [handle for handle in handles if handle.owned]
    if not owned:
        return
    # The triggerer repeats its cancel every second until the trigger has ended: the work goes on in a task of its own,
    # bounded in time, and those cancels are not its business.
    work = asyncio.create_task(
        asyncio.wait_for(_ask_and_cancel(owned, task_key, planasonix_conn_id, log), ON_KILL_SECONDS)
    )
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.cancelled():
                break
        except Exception as error:
            log.warning("%s may go on, cancel by hand: %r", _names(owned), error)


async def _ask_and_cancel(
    handles: Sequence[RunHandle], task_key: dict[str, Any], planasonix_conn_id: str, log: Any
) -> None:
    try:
        from asgiref.sync import sync_to_async

        state = await sync_to_async(current_state)(TaskKey(**task_key))
    except Exception as error:
        log.warning("%s is left running: the task's state is not known (%s)", _names(handles), error)
        return
    if not is_given_up(state):
        log.info("%s is left to the task's next try: the task is %s", _names(handles), state)
        return
    await cancel_each(handles, planasonix_conn_id, log, state or "cleared")


async def cancel_each(handles: Sequence[RunHandle], planasonix_conn_id: str, log: Any, state: str) -> None:
    """Cancel the runs, and log what came of it; `state` is what the task is, for the log."""
    from planasonix.runs import acancel_run

    # The client of `run` is closed by now: cancelling has its own.
    async with await PlanasonixHook(planasonix_conn_id).get_async_client() as client:

        async def cancel(handle: RunHandle) -> None:
            try:
                status = await acancel_run(client, handle, patience_seconds=_PATIENCE_SECONDS)
            except PlanasonixError as error:
                log.warning("%s %s could not be cancelled: %s", handle.kind, handle.id, error)
            else:
                log.info("the task is %s: cancelled %s %s (%s)", state, handle.kind, handle.id, status)

        await asyncio.gather(*(cancel(handle) for handle in handles))


def _names(handles: Sequence[RunHandle]) -> str:
    return ", ".join(f"{handle.kind} {handle.id}" for handle in handles)
