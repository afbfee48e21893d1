"""The trigger that waits until a connection may be free again. It never starts anything: the POST is a worker's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from planasonix.errors import PlanasonixError
from planasonix.runs.blocking import BUSY_PAUSE_SECONDS
from planasonix.watch import Interval, watch_shared


class PlanasonixBusyTrigger(BaseTrigger):
    """Fires when the job that keeps the connection busy has ended, after a pause when it is not known, or at `until`.

    No on_kill here, because the job belongs to somebody else.

    :param kind: `job` or `backfill`.
    :param run_id: the run that keeps the connection busy, or None.
    :param until: seconds since the epoch, UTC: when waiting ends in any case.
    :param planasonix_conn_id: the Airflow connection.
    :param poll_interval_seconds: as in `PlanasonixRunTrigger`.
    """

    def __init__(
        self,
        kind: str,
        run_id: str | None,
        until: float,
        planasonix_conn_id: str,
        poll_interval_seconds: float | None = None,
        version: int = 1,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.run_id = run_id
        self.until = until
        self.planasonix_conn_id = planasonix_conn_id
        self.poll_interval_seconds = poll_interval_seconds
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
                "version": self.version,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        seconds = max(0.0, self.until - time.time())
        if self.run_id is None:
            await asyncio.sleep(min(seconds, BUSY_PAUSE_SECONDS))
        else:
            async with await PlanasonixHook(self.planasonix_conn_id).get_async_client() as client:
                try:
                    await watch_shared(
                        client,
                        "backfill" if self.kind == "backfill" else "job",
                        self.run_id,
                        timeout_seconds=seconds,
                        interval=Interval(fixed_seconds=self.poll_interval_seconds),
                    )
                except PlanasonixError as error:
                    # Whatever the reason, the worker's next POST asks the API itself.
                    self.log.info("stopped waiting for %s: %s", self.run_id, error)
        yield TriggerEvent({"version": 1})
