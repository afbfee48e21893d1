"""The trigger that waits for one run, through the watcher that all triggers of a credential share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_planasonix.events import WaitEnd
from airflow_provider_planasonix.interrupt import cancel_on_ctrl_c
from airflow_provider_planasonix.triggers.asking import prepare_for_a_kill
from airflow_provider_planasonix.triggers.deferral import hold_off
from airflow_provider_planasonix.triggers.killing import Kill
from airflow_provider_planasonix.triggers.lines import LogLines
from airflow_provider_planasonix.triggers.patience import client_with_patience
from planasonix.errors import PlanasonixError, WaitTimeoutError
from planasonix.runs.handle import RunHandle
from planasonix.runs.story import REMIND_SECONDS, Story
from planasonix.watch import Interval


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
        prepare_for_a_kill(self.task_key)
        handle = RunHandle.from_dict(self.handle)
        lines = LogLines(self.log)
        try:
            end = await self._wait(handle, lines)
            await hold_off(self.deferred_at)
            await lines.written()
        except asyncio.CancelledError as cancel:
            self._kill.begin_if_by_a_user(cancel)
            if self.cancel_on_kill:
                await cancel_on_ctrl_c([handle], self.planasonix_conn_id, lines)
            raise
        yield TriggerEvent(end.to_payload())

    async def _wait(self, handle: RunHandle, lines: LogLines) -> WaitEnd:
        story = Story()
        try:
            client = await client_with_patience(self.planasonix_conn_id, lines)
        except Exception as error:
            return WaitEnd.gave_up(handle.to_dict(), error)
        # Loaded by now, in a thread: airflow imports this module on the event loop.
        from planasonix.runs import await_run

        async with client:
            link = handle.link(client.config.job_url_template)
            try:
                run = await await_run(
                    client,
                    handle,
                    interval=Interval(fixed_seconds=self.poll_interval_seconds),
                    on_change=story.listener(handle.kind, lines.info, link=link),
                    remind_seconds=REMIND_SECONDS,
                )
            except WaitTimeoutError as error:
                return WaitEnd("deadline", handle.to_dict(), error=str(error), story=story.lines())
            except PlanasonixError as error:
                return WaitEnd.gave_up(handle.to_dict(), error, story.lines())
            return WaitEnd("ended", handle.to_dict(), status=str(run.status), story=story.lines())

    @cached_property
    def _kill(self) -> Kill:
        handles = [RunHandle.from_dict(self.handle)]
        return Kill(handles, self.task_key, self.planasonix_conn_id, self.log, wanted=self.cancel_on_kill)

    async def on_kill(self) -> None:
        """Cancel the run if the user gave the task up; see `killing`."""
        self._kill.begin()
        await self._kill.ended()

    async def cleanup(self) -> None:
        """Wait for the end of a kill, so that its last line finds the log open.

        Cancels nothing by itself: Airflow calls this at every restart of the triggerer.
        """
        await self._kill.ended()
