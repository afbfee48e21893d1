"""The trigger that waits for the first run of a connection since some moment, whoever starts it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_planasonix.events import WaitEnd
from airflow_provider_planasonix.triggers.deferral import hold_off
from airflow_provider_planasonix.triggers.lines import LogLines
from airflow_provider_planasonix.triggers.patience import client_with_patience
from planasonix.errors import PlanasonixError, WaitTimeoutError
from planasonix.runs.handle import RunHandle
from planasonix.runs.story import Story
from planasonix.watch import Interval, Kind

if TYPE_CHECKING:
    from planasonix.runs import WantedStatus


class PlanasonixSinceTrigger(BaseTrigger):
    """Fires once: when such a run has ended, none did in time, or the API cannot be read any more.

    All triggers of one credential in a triggerer share their list pages. No `on_kill`: the run is somebody else's.

    :param kind: `job` or `backfill`.
    :param connection_id: whose runs count.
    :param since: ISO 8601 text with an offset: runs created then or later count.
    :param job_type: of the jobs that count, None for any.
    :param wanted_status: `succeeded` or `ended`.
    :param fail_on_failure: also fire when all have ended badly.
    :param planasonix_conn_id: the Airflow connection; the key itself never enters the trigger.
    :param poll_interval_seconds: a fixed pause between looks, or None for one that grows.
    :param deadline_at: seconds since the epoch; None leaves it to Airflow's own timeout.
    :param deferred_at: when the task deferred, seconds since the epoch.
    :param version: of these arguments, so that an upgrade finds triggers of the version before it readable.
    """

    def __init__(
        self,
        kind: Kind,
        connection_id: str,
        since: str,
        job_type: str | None = None,
        wanted_status: WantedStatus = "succeeded",
        fail_on_failure: bool = True,
        planasonix_conn_id: str = "planasonix_default",
        poll_interval_seconds: float | None = None,
        deadline_at: float | None = None,
        deferred_at: float = 0.0,
        version: int = 1,
    ) -> None:
        super().__init__()
        self.kind: Kind = kind
        # These bear the names of the sensor's fields: one that starts from its trigger has them rendered here.
        self.connection_id = connection_id
        self.since = since
        self.job_type = job_type
        self.planasonix_conn_id = planasonix_conn_id
        self.wanted_status: WantedStatus = wanted_status
        self.fail_on_failure = fail_on_failure
        self.poll_interval_seconds = poll_interval_seconds
        self.deadline_at = deadline_at
        self.deferred_at = deferred_at
        self.version = version

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "airflow_provider_planasonix.triggers.since.PlanasonixSinceTrigger",
            {
                "kind": self.kind,
                "connection_id": self.connection_id,
                "since": self.since,
                "job_type": self.job_type,
                "wanted_status": self.wanted_status,
                "fail_on_failure": self.fail_on_failure,
                "planasonix_conn_id": self.planasonix_conn_id,
                "poll_interval_seconds": self.poll_interval_seconds,
                "deadline_at": self.deadline_at,
                "deferred_at": self.deferred_at,
                "version": self.version,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        lines = LogLines(self.log)
        end = await self._wait(lines)
        await hold_off(self.deferred_at)
        await lines.written()
        yield TriggerEvent(end.to_payload())

    async def _wait(self, lines: LogLines) -> WaitEnd:
        what: dict[str, Any] = {"kind": self.kind, "id": f"of {self.connection_id} since {self.since}"}
        story = Story()
        try:
            client = await client_with_patience(self.planasonix_conn_id, lines)
        except Exception as error:
            return WaitEnd.gave_up(what, error)
        # Loaded by now, in a thread: airflow imports this module on the event loop.
        from planasonix.runs import RunSince, await_run_since

        seconds = None if self.deadline_at is None else max(0.0, self.deadline_at - time.time())
        fixed = self.poll_interval_seconds
        async with client:
            try:
                wish = RunSince(
                    self.kind,
                    self.connection_id,
                    self.since,  # type: ignore[arg-type]  # text is read as a moment
                    self.job_type,
                    self.wanted_status,
                    self.fail_on_failure,
                )
                sighting = await await_run_since(
                    client,
                    wish,
                    timeout_seconds=seconds,
                    interval=None if fixed is None else Interval(fixed_seconds=fixed),
                    on_change=story.listener(self.kind, lines.info),
                )
            except WaitTimeoutError as error:
                return WaitEnd("deadline", what, error=str(error), story=story.lines())
            except PlanasonixError as error:
                return WaitEnd.gave_up(what, error, story.lines())
        run = sighting.run
        if run is None:
            raise RuntimeError("a wait ended with nothing to show for it")
        created_at = time.time() if run.created_at is None else run.created_at.timestamp()
        handle = RunHandle(
            self.kind, run.id, wish.target_id, owned=False, created_at=created_at, deadline_at=created_at, intent=""
        )
        return WaitEnd("ended", handle.to_dict(), status=str(run.status), story=story.lines())

    # No on_kill, and no cleanup() that cancels: the run belongs to whoever started it.
