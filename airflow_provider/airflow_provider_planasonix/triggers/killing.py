"""What a trigger does when Airflow tells it that a user ended it: cancel, if the task was given up (G2, G3)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix.task_state import TaskKey, is_given_up
from airflow_provider_planasonix.triggers.asking import state_asked_now
from airflow_provider_planasonix.triggers.kill_client import lent_client
from airflow_provider_planasonix.triggers.lines import LogLines
from planasonix.errors import PlanasonixError

if TYPE_CHECKING:
    from planasonix.runs import RunHandle

ASK_SECONDS = 300.0
"""How long a kill waits for its answer: a hundred runs that are ended together have a question each."""

CANCEL_SECONDS = 300.0
"""How long the cancel may take once it has its turn: two hundred of them together stay within the API's rate."""

_PATIENCE_SECONDS = 20.0

_LOG_SECONDS = 30.0
"""How long a kill waits for its lines: a thousand have one log, and nobody waits for a kill."""

_BY_A_USER = "__airflow_user_action__"
"""What the triggerer says with the cancel of a trigger whose row is gone; a restart says nothing."""


class Kill:
    """The end of one trigger by a user, in a task of its own that is begun once and outlives what Airflow grants it.

    Airflow gives `on_kill` thirty seconds, and repeats its cancel every second until the trigger has ended. On Python
    3.11 the third one ends `on_kill`; and where Airflow's own line before it takes a second, `on_kill` is not called
    at all. So `run` begins the work, and `cleanup` waits for its end: with that Airflow closes the trigger's log.

    :param handles: the runs that the trigger waits for.
    :param task_key: `TaskKey.to_dict()` of the task instance that waits.
    :param log: the trigger's own.
    :param wanted: whether a kill cancels anything, the operator's `cancel_on_kill`.
    """

    def __init__(
        self,
        handles: Sequence[RunHandle],
        task_key: dict[str, Any],
        planasonix_conn_id: str,
        log: Any,
        *,
        wanted: bool,
    ) -> None:
        self._handles = [handle for handle in handles if handle.owned] if wanted else []
        self._task_key = task_key
        self._planasonix_conn_id = planasonix_conn_id
        self._log = log
        self._work: asyncio.Task[None] | None = None

    def begin_if_by_a_user(self, cancel: asyncio.CancelledError) -> None:
        """`run` was cancelled: begin if that is a user's doing. A restart's cancel begins nothing (G3)."""
        if cancel.args[:1] == (_BY_A_USER,):
            self.begin()

    def begin(self) -> None:
        """Ask for the task, and cancel the runs if it was given up; nothing the second time."""
        if self._handles and self._work is None:
            self._work = asyncio.create_task(
                cancel_if_given_up(self._handles, self._task_key, self._planasonix_conn_id, self._log)
            )

    async def ended(self) -> None:
        """Wait until what was begun has ended, whatever cancels come meanwhile; begins nothing."""
        work = self._work
        while work is not None and not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                if work.cancelled():
                    break


async def cancel_if_given_up(
    handles: Sequence[RunHandle], task_key: dict[str, Any], planasonix_conn_id: str, log: Any
) -> None:
    """Cancel the runs if the user gave the task up; leave them where that is not certain. Says what came of it.

    Airflow kills a trigger when its row is gone, and in 3.3 also when it was given to another triggerer. So the task
    is asked first: while it is alive, somebody else is waiting on. A new attempt after a fast Clear is alive too; it
    cancels the runs of the older intent itself, before it starts its own.
    """
    lines = LogLines(log)
    try:
        await _cancel_if_given_up(handles, task_key, planasonix_conn_id, lines)
    finally:
        await lines.written(_LOG_SECONDS)


async def _cancel_if_given_up(
    handles: Sequence[RunHandle], task_key: dict[str, Any], planasonix_conn_id: str, lines: LogLines
) -> None:
    try:
        state = await asyncio.wait_for(state_asked_now(TaskKey(**task_key)), ASK_SECONDS)
    except Exception as error:
        why = f"no answer in {ASK_SECONDS:g} s" if isinstance(error, TimeoutError) else repr(error)
        lines.warning(f"{_names(handles)} is left alone: what became of the task is not known ({why})")
        return
    if not is_given_up(state):
        lines.info(f"{_names(handles)} is left to the task's next try: the task is {state}")
        return
    try:
        await cancel_each(handles, planasonix_conn_id, lines, state or "cleared")
    except Exception as error:
        lines.warning(f"{_names(handles)} may go on, cancel by hand: {error!r}")


async def cancel_each(handles: Sequence[RunHandle], planasonix_conn_id: str, lines: LogLines, state: str) -> None:
    """Cancel the runs, and log what came of it; `state` is what the task is, for the log."""
    # The client of `run` is closed by now.
    async with lent_client(planasonix_conn_id, lines) as client:
        # Loaded by now, in a thread: airflow imports this module on the event loop.
        from planasonix.runs import acancel_run
        from planasonix.runs.cancel import cancelled_words

        async def cancel(handle: RunHandle) -> None:
            name = f"{handle.kind} {handle.id}"
            try:
                async with asyncio.timeout(CANCEL_SECONDS):
                    status = await acancel_run(client, handle, patience_seconds=_PATIENCE_SECONDS)
            except PlanasonixError as error:
                lines.warning(f"{name} could not be cancelled, cancel it by hand: {error}")
            except TimeoutError:
                lines.warning(f"{name} may go on, cancel it by hand: no answer in {CANCEL_SECONDS:g} s")
            except Exception as error:
                # A defect here must not leave the others' cancels without their client.
                lines.warning(f"{name} may go on, cancel it by hand: {error!r}")
            else:
                came_of_it = "is another run by now" if status is None else cancelled_words(handle.kind, status)
                lines.info(f"the task is {state}: {name} {came_of_it}")

        await asyncio.gather(*(cancel(handle) for handle in handles))


def _names(handles: Sequence[RunHandle]) -> str:
    return ", ".join(f"{handle.kind} {handle.id}" for handle in handles)
