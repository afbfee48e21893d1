"""The trigger that waits until one of a backfill's active stages has ended. Starting the next is a worker's work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_planasonix.events import WaitEnd
from airflow_provider_planasonix.interrupt import cancel_on_ctrl_c
from airflow_provider_planasonix.triggers.asking import prepare_for_a_kill
from airflow_provider_planasonix.triggers.deferral import hold_off
from airflow_provider_planasonix.triggers.killing import Kill
from airflow_provider_planasonix.triggers.lines import LogLines
from airflow_provider_planasonix.triggers.patience import client_with_patience
from planasonix.errors import AuthenticationError, ConfigurationError, PermissionDeniedError, PlanasonixError
from planasonix.runs.handle import RunHandle
from planasonix.runs.story import REMIND_SECONDS, Story
from planasonix.watch import Interval

if TYPE_CHECKING:
    from planasonix import AsyncPlanasonix
    from planasonix.watch import WatchedRun


class PlanasonixStagesTrigger(BaseTrigger):
    """Fires once: when one of the runs has ended, its deadline has passed, or it cannot be read any more.

    :param handles: `RunHandle.to_dict()` of each run; holds no secret.
    :param task: `TaskKey.to_dict()` of the task instance that waits.
    :param planasonix_conn_id: the Airflow connection; the key itself never enters the trigger.
    :param poll_interval_seconds: a fixed pause between looks, or None for one that follows the runs' ages.
    :param cancel_on_kill: cancel the runs when the user gives the task up.
    :param deferred_at: when the task deferred, seconds since the epoch.
    :param version: of these arguments, so that an upgrade finds triggers of the version before it readable.
    """

    def __init__(
        self,
        handles: list[dict[str, Any]],
        task: dict[str, Any],
        planasonix_conn_id: str,
        poll_interval_seconds: float | None = None,
        cancel_on_kill: bool = True,
        deferred_at: float = 0.0,
        version: int = 1,
    ) -> None:
        super().__init__()
        self.handles = handles
        # `task` is a property of BaseTrigger.
        self.task_key = task
        self.planasonix_conn_id = planasonix_conn_id
        self.poll_interval_seconds = poll_interval_seconds
        self.cancel_on_kill = cancel_on_kill
        self.deferred_at = deferred_at
        self.version = version

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "airflow_provider_planasonix.triggers.stages.PlanasonixStagesTrigger",
            {
                "handles": self.handles,
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
        handles = [RunHandle.from_dict(handle) for handle in self.handles]
        lines = LogLines(self.log)
        try:
            end = await self._wait(handles, lines)
            await hold_off(self.deferred_at)
            await lines.written()
        except asyncio.CancelledError as cancel:
            self._kill.begin_if_by_a_user(cancel)
            if self.cancel_on_kill:
                await cancel_on_ctrl_c(handles, self.planasonix_conn_id, lines)
            raise
        yield TriggerEvent(end.to_payload())

    async def _wait(self, handles: list[RunHandle], lines: LogLines) -> WaitEnd:
        first = handles[0].to_dict()
        try:
            client = await client_with_patience(self.planasonix_conn_id, lines)
        except Exception as error:
            return WaitEnd.gave_up(first, error)
        async with client:
            story = Story()
            waits = {asyncio.ensure_future(self._wait_for(client, each, story, lines)): each for each in handles}
            try:
                done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
            wait = next(iter(done))
            handle, error = waits[wait], wait.exception()
            if isinstance(error, AuthenticationError | PermissionDeniedError | ConfigurationError):
                return WaitEnd.gave_up(handle.to_dict(), error, story.lines())
            if isinstance(error, PlanasonixError):
                # Its deadline, or it is gone: the worker's next round says which, and goes on with the others.
                return WaitEnd("deadline", handle.to_dict(), error=str(error), story=story.lines())
            if error is not None:
                raise error
            return WaitEnd("ended", handle.to_dict(), status=str(wait.result().status), story=story.lines())

    async def _wait_for(self, client: AsyncPlanasonix, handle: RunHandle, story: Story, lines: LogLines) -> WatchedRun:
        # Loaded by now, in a thread: airflow imports this module on the event loop.
        from planasonix.runs import await_run

        return await await_run(
            client,
            handle,
            interval=Interval(fixed_seconds=self.poll_interval_seconds),
            on_change=story.listener(handle.kind, lines.info, link=handle.link(client.config.job_url_template)),
            remind_seconds=REMIND_SECONDS,
        )

    @cached_property
    def _kill(self) -> Kill:
        handles = [RunHandle.from_dict(handle) for handle in self.handles]
        return Kill(handles, self.task_key, self.planasonix_conn_id, self.log, wanted=self.cancel_on_kill)

    async def on_kill(self) -> None:
        """Cancel the runs if the user gave the task up; see `killing`."""
        self._kill.begin()
        await self._kill.ended()

    async def cleanup(self) -> None:
        """Wait for the end of a kill, so that its last line finds the log open.

        Cancels nothing by itself: Airflow calls this at every restart of the triggerer.
        """
        await self._kill.ended()
