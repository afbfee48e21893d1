"""The trigger that waits for one run, through the watcher that all triggers of a credential share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_planasonix.events import WaitEnd
from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.task_state import TaskKey, current_state, is_given_up
from airflow_provider_planasonix.triggers.patience import client_with_patience
from planasonix.errors import PlanasonixError, WaitTimeoutError
from planasonix.runs import RunHandle, acancel_run, await_run
from planasonix.watch import Interval

ON_KILL_SECONDS = 28.0
"""Airflow gives `on_kill` thirty seconds. The first question of a triggerer process alone takes it some five."""

DEFERRAL_SECONDS = 8.0
"""No event is fired earlier than this after a deferral (apache/airflow 71580, 72716)."""


class PlanasonixRunTrigger(BaseTrigger):
    """Fires once: when the run has ended, its deadline has passed, or it cannot be read any more.

    :param handle: `RunHandle.to_dict()` of the run; holds no secret.
    :param task: `TaskKey.to_dict()` of the task instance that waits.
    :param planasonix_conn_id: the Airflow connection; the key itself never enters the trigger.
    :param poll_interval_seconds: a fixed pause between looks, or None for one that follows the run's age.
    :param cancel_on_kill: cancel the run when the user gives the task up.
    :param deferred_at: when the task deferred, seconds since the epoch.
    :param version: of these arguments, so that an upgrade finds triggers of the version before it readable.
    """

    def __init__(
        self,
        handle: dict[str, Any],
        task: dict[str, Any],
        planasonix_conn_id: str,
        poll_interval_seconds: float | None = None,
        cancel_on_kill: bool = True,
        deferred_at: float = 0.0,
        version: int = 1,
    ) -> None:
        super().__init__()
        self.handle = handle
        # `task` is a property of BaseTrigger.
        self.task_key = task
        self.planasonix_conn_id = planasonix_conn_id
        self.poll_interval_seconds = poll_interval_seconds
        self.cancel_on_kill = cancel_on_kill
        self.deferred_at = deferred_at
        self.version = version

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "airflow_provider_planasonix.triggers.run.PlanasonixRunTrigger",
            {
                "handle": self.handle,
                "task": self.task_key,
                "planasonix_conn_id": self.planasonix_conn_id,
                "poll_interval_seconds": self.poll_interval_seconds,
                "cancel_on_kill": self.cancel_on_kill,
                "deferred_at": self.deferred_at,
                "version": self.version,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        handle = RunHandle.from_dict(self.handle)
        end = await self._wait(handle)
        # Airflow may fail a task that is resumed before its executor has seen the deferral through.
        await asyncio.sleep(min(DEFERRAL_SECONDS, max(0.0, self.deferred_at + DEFERRAL_SECONDS - time.time())))
        yield TriggerEvent(end.to_payload())

    async def _wait(self, handle: RunHandle) -> WaitEnd:
        try:
            client = await client_with_patience(self.planasonix_conn_id, self.log)
        except Exception as error:
            return WaitEnd.gave_up(handle.to_dict(), error)
        async with client:
            try:
                run = await await_run(
                    client,
                    handle,
                    interval=Interval(fixed_seconds=self.poll_interval_seconds),
                    on_change=lambda run: self.log.info("%s %s is %s", handle.kind, run.id, run.status),
                )
            except WaitTimeoutError as error:
                return WaitEnd("deadline", handle.to_dict(), error=str(error))
            except PlanasonixError as error:
                return WaitEnd.gave_up(handle.to_dict(), error)
            return WaitEnd("ended", handle.to_dict(), status=str(run.status))

    async def on_kill(self) -> None:
        """Cancel the run if the user gave the task up; leave it where that is not certain.

        Airflow calls this for a trigger whose row is gone, and in 3.3 also for one that was given to another
        triggerer. So the task is asked first: while it is alive, somebody else is waiting on. A new attempt after a
        fast Clear is alive too; it cancels the job of the older intent itself, before it starts its own.
        """
        handle = RunHandle.from_dict(self.handle)
        if not self.cancel_on_kill or not handle.owned:
            return
        # The triggerer repeats its cancel every second until the trigger has ended: the work goes on in a task of
        # its own, bounded in time, and those cancels are not its business.
        work = asyncio.create_task(asyncio.wait_for(self._cancel_if_given_up(handle), ON_KILL_SECONDS))
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                if work.cancelled():
                    break
            except Exception as error:
                self.log.warning("%s %s may go on, cancel it by hand: %r", handle.kind, handle.id, error)

    async def _cancel_if_given_up(self, handle: RunHandle) -> None:
        try:
            from asgiref.sync import sync_to_async

            state = await sync_to_async(current_state)(TaskKey(**self.task_key))
        except Exception as error:
            self.log.warning("%s %s is left running: the task's state is not known (%s)", handle.kind, handle.id, error)
            return
        if not is_given_up(state):
            self.log.info("%s %s is left to the task's next try: the task is %s", handle.kind, handle.id, state)
            return
        try:
            # The client of `run` is closed by now: cancelling has its own.
            async with await PlanasonixHook(self.planasonix_conn_id).get_async_client() as client:
                status = await acancel_run(client, handle, patience_seconds=20.0)
        except PlanasonixError as error:
            self.log.warning("%s %s could not be cancelled: %s", handle.kind, handle.id, error)
        else:
            self.log.info("the task is %s: cancelled %s %s (%s)", state or "cleared", handle.kind, handle.id, status)

    # No cleanup() that cancels: it runs at every restart of the triggerer.
