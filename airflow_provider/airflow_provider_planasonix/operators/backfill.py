"""Load a past window of a connection again and wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow_provider_planasonix.operators.run import PlanasonixRunOperator
from planasonix.errors import ConfigurationError
from planasonix.runs.requests import BackfillRequest


class PlanasonixBackfillOperator(PlanasonixRunOperator):
    """Starts one backfill of the half-open window [`start_at`, `end_at`) and waits for it (facts §1.1).

    Without `start_at` and `end_at` the window is the DAG run's data interval, so that Airflow's own backfill of a DAG
    loads each of its intervals once. Retries, clears and the other parameters behave as in `PlanasonixSyncOperator`.

    :param connection_id: the Planasonix connection. Templated.
    :param start_at: start of the window, inclusive: an aware datetime, or ISO 8601 text with an offset. Templated.
    :param end_at: end of the window, exclusive; as `start_at`. Templated.
    :param tables: only these tables, schema-qualified; all when left out. Templated.

    Returns the outcome as `PlanasonixSyncOperator` does, with `window_start` and `window_end`.
    """

    template_fields = (*PlanasonixRunOperator.template_fields, "start_at", "end_at", "tables")

    def __init__(
        self,
        *,
        connection_id: str,
        start_at: datetime | str | None = None,
        end_at: datetime | str | None = None,
        tables: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(connection_id=connection_id, **kwargs)
        self.start_at = start_at
        self.end_at = end_at
        self.tables = tables

    def run_request(self, context: Any) -> BackfillRequest:
        start_at, end_at = self._window(context)
        return BackfillRequest(self.connection_id, start_at, end_at, tables=self.tables, priority=self.priority)  # type: ignore[arg-type]  # a list is taken as a tuple

    def _window(self, context: Any) -> tuple[Any, Any]:
        if (self.start_at is None) != (self.end_at is None):
            missing = "end_at" if self.end_at is None else "start_at"
            raise ConfigurationError(f"{missing} is missing: give both start_at and end_at, or neither.", field=missing)
        if self.start_at is not None and self.end_at is not None:
            return self.start_at, self.end_at
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        if start is None or end is None or start == end:
            raise ConfigurationError(
                "This DAG run has no data interval to take the window from.",
                field="start_at",
                hint="Give start_at and end_at, or a schedule with data intervals, for example "
                'CronDataIntervalTimetable("@daily", timezone="UTC"): a plain cron text has had none since Airflow 3.',
            )
        return start, end
