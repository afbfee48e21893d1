"""The trigger that waits until a connection may be free again. It never starts anything: the POST is a worker's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_planasonix.triggers.deferral import hold_off
from airflow_provider_planasonix.triggers.lines import LogLines
from airflow_provider_planasonix.triggers.patience import client_with_patience
from planasonix.runs.story import REMIND_SECONDS, Story
from planasonix.runs.target import target_word
from planasonix.watch import Interval

if TYPE_CHECKING:
    from planasonix.watch import Kind


class PlanasonixBusyTrigger(BaseTrigger):
    """Fires when the job that keeps the connection busy has ended, after a pause when it is not known, or at `until`.

    No on_kill here, because the job belongs to somebody else.

    :param kind: `job`, `backfill` or `run`.
    :param run_id: the run that keeps the connection busy, or None.
    :param until: seconds since the epoch, UTC: when waiting ends in any case.
    :param planasonix_conn_id: the Airflow connection.
    :param poll_interval_seconds: as in `PlanasonixRunTrigger`.
    :param pause_seconds: how long to wait where the run is not known or cannot be read.
    :param deferred_at: when the task deferred, seconds since the epoch; see `hold_off`.
    :param version: of these arguments, so that an upgrade finds triggers of the version before it readable.
    """

    def __init__(
        self,
        kind: Kind,
        run_id: str | None,
        until: float,
        planasonix_conn_id: str,
        poll_interval_seconds: float | None = None,
        pause_seconds: float = 30.0,
        deferred_at: float = 0.0,
        version: int = 1,
    ) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.run_id = run_id
        self.until = until
        self.planasonix_conn_id = planasonix_conn_id
        self.poll_interval_seconds = poll_interval_seconds
        self.pause_seconds = pause_seconds
        self.deferred_at = deferred_at
        self.version = version

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "airflow_provider_planasonix.triggers.busy.PlanasonixBusyTrigger",
            {
                "kind": self.kind,
                "run_id": self.run_id,
                "until": self.until,
                "planasonix_conn_id": self.planasonix_conn_id,
                "poll_interval_seconds": self.poll_interval_seconds,
                "pause_seconds": self.pause_seconds,
                "deferred_at": self.deferred_at,
                "version": self.version,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        seconds = max(0.0, self.until - time.time())
        story, lines = Story(), LogLines(self.log)
        if self.run_id is None or not await self._other_has_ended(self.run_id, seconds, story, lines):
            story.add(f"waiting {self.pause_seconds:.0f} s for the {target_word(self.kind)} to be free")
            await asyncio.sleep(min(max(0.0, self.until - time.time()), self.pause_seconds))
        await hold_off(self.deferred_at)
        await lines.written()
        yield TriggerEvent({"version": 1, "story": story.lines()})

    async def _other_has_ended(self, run_id: str, seconds: float, story: Story, lines: LogLines) -> bool:
        """Wait for the run; False where nothing was learned. Whatever the reason, the worker's POST asks the API."""
        try:
            client = await client_with_patience(self.planasonix_conn_id, lines)
            # Loaded by now, in a thread: airflow imports this module on the event loop.
            from planasonix.watch import watch_shared

            async with client:
                await watch_shared(
                    client,
                    self.kind,
                    run_id,
                    timeout_seconds=seconds,
                    interval=Interval(fixed_seconds=self.poll_interval_seconds),
                    on_change=story.listener(self.kind, lines.info, prefix=f"the {target_word(self.kind)} is busy: "),
                    remind_seconds=REMIND_SECONDS,
                )
        except Exception as error:
            lines.info(story.add(f"stopped waiting for {run_id}: {error}"))
            return False
        return True
