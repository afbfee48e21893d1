"""Load a past window of a connection again and wait for it, at once or in stages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import AssetAlias
from airflow_provider_planasonix.literals import check_tables, check_window
from airflow_provider_planasonix.operators.run import PlanasonixConnectionOperator
from airflow_provider_planasonix.rendered import is_known
from planasonix.errors import ConfigurationError
from planasonix.runs.requests import BackfillRequest

# Imported on use: only a DAG file with stages pays for them.
if TYPE_CHECKING:
    from planasonix.runs.staged.partitions import Overlap
    from planasonix.runs.staged.windows import Stage
    from planasonix.runs.staged.wish import OnClear, StagedBackfill

_ANY_DAY = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
_ANY_TWO = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 2, 2, 2, 2, 2, tzinfo=UTC))
"""Moments that differ in whatever a key may be made of."""

_DEFAULTS = ("refuse", "UTC", 1, 3, None)
"""A DAG file without stages does not pay for looking at their parameters."""


class PlanasonixBackfillOperator(PlanasonixConnectionOperator):
    """Loads the half-open window [`start_at`, `end_at`) again and waits for it (facts §1.1).

    Without `start_at` and `end_at` the window is the DAG run's partition key or, if it has none, its data interval, so
    that Airflow's own backfill of a DAG loads each of its partitions or intervals once. Retries, clears and the other
    parameters behave as in `PlanasonixSyncOperator`.

    With `stage` or `partitions` the window is loaded in stages, each a Planasonix backfill of its own. A retry starts
    only the stages that are not loaded; so does a clear, unless all were loaded (`on_clear`). `timeout_seconds` is then
    the deadline of each stage's backfill, and `execution_timeout` bounds the whole try, its waits included.

    :param connection_id: the Planasonix connection. Templated.
    :param start_at: start of the window, inclusive: an aware datetime, or ISO 8601 text with an offset. Templated. In
        stages, the window is the one with which a try began, though a deferred task renders it anew.
    :param end_at: end of the window, exclusive; as `start_at`. Templated.
    :param tables: only these tables, schema-qualified; all when left out. Templated.
    :param stage: the length of a stage: `"6h"`, `"1d"`, `"1w"`, `"3mo"`, or a timedelta of whole hours or days; cut at
        the calendar's own boundaries. Templated.
    :param partitions: the stages themselves, as (start, end) pairs, in the place of window and `stage`. Templated.
    :param overlap: where two of `partitions` overlap: `refuse` (the default), `skip` what an earlier one covers,
        `merge` them, or `overwrite`: load it twice.
    :param stage_timezone: the time zone whose days, weeks and months are meant, for example `Europe/Berlin`.
    :param max_active_stages: how many stages run at a time. Many tenants run one backfill of a connection at a
        time. Templated.
    :param stop_after_failures: after so many failed stages in a row no other starts; None tries them all. Templated.
    :param on_clear: what clearing the task means: `resume` loads what is missing, `restart` everything; left out:
        resume, unless all stages had been loaded. Templated.
    :param partition_window: how long a partition is (`"1h"`, `"1d"`, `"1w"`, `"1mo"`), where the run's partition key is
        a moment such as `2026-01-05T00:00:00`, the default of Airflow's `CronPartitionTimetable`. Keys that name an
        hour, day, week, month, quarter or year say it themselves; see `planasonix.runs.window_of_key`.
    :param partition_timezone: the time zone of partition keys, for example `Europe/Berlin`.
    :param partition_key_format: give the events of the `outlets` a partition key for each window that was loaded, stage
        by stage: its begin in this `strftime` format, as `%Y-%m-%d`. Airflow then starts only those consumers whose
        schedule is partitioned. The events of a run that has a partition key carry that one without this.

    Returns the outcome as `PlanasonixSyncOperator` does, with `window_start` and `window_end`. In stages:
    `connection_id`, `status`, `window_start`, `window_end`, `rows_loaded`, `tables` (each `name`, `state`,
    `rows_loaded`) and `stages`, each with `name`, `start_at`, `end_at`, `state`, `id`, `rows_loaded`,
    `finished_at`, `duration_seconds`, `error_code`, `error_message`, `warnings`, `link`.

    Raises `planasonix.errors.ConfigurationError`, which names the parameter, before anything is sent.
    """

    template_fields = (
        *PlanasonixConnectionOperator.template_fields,
        *("start_at", "end_at", "tables", "stage", "partitions"),
        *("max_active_stages", "stop_after_failures", "on_clear"),
    )

    def __init__(
        self,
        *,
        connection_id: str,
        start_at: datetime | str | None = None,
        end_at: datetime | str | None = None,
        tables: Sequence[str] | None = None,
        stage: str | timedelta | None = None,
        partitions: Sequence[Sequence[datetime | str]] | None = None,
        overlap: Overlap = "refuse",
        stage_timezone: str = "UTC",
        max_active_stages: int = 1,
        stop_after_failures: int | None = 3,
        on_clear: OnClear | None = None,
        partition_window: str | timedelta | None = None,
        partition_timezone: str = "UTC",
        partition_key_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(connection_id=connection_id, **kwargs)
        self.start_at = start_at
        self.end_at = end_at
        self.tables = tables
        check_window(start_at, end_at)
        if tables is not None:
            check_tables("tables", tables, may_be_empty=False)
            self._check_outlets()
        self.stage = stage
        self.partitions = partitions
        self.overlap: Overlap = overlap
        self.stage_timezone = stage_timezone
        self.max_active_stages = max_active_stages
        self.stop_after_failures = stop_after_failures
        self.on_clear: OnClear | None = on_clear
        self.partition_window = partition_window
        self.partition_timezone = partition_timezone
        self.partition_key_format = partition_key_format
        if (partition_window, partition_timezone, partition_key_format) != (None, "UTC", None):
            self._check_partition_keys()
        if (overlap, stage_timezone, max_active_stages, stop_after_failures, on_clear) != _DEFAULTS or self._in_stages:
            self._check()

    def run_request(self, context: Any) -> BackfillRequest | StagedBackfill:
        if self._in_stages:
            self._check()
        stages = self._stages(context)
        start_at, end_at = (stages[0].start_at, stages[0].end_at) if stages else self._window(context)
        request = BackfillRequest(self.connection_id, start_at, end_at, tables=self.tables, priority=self.priority)  # type: ignore[arg-type]  # a list is taken as a tuple
        return self._staged(request, stages) if stages else request

    def new_attempt(self, context: Any) -> Any:
        if not self._in_stages:
            return super().new_attempt(context)
        from airflow_provider_planasonix.staged_attempt import StagedAttempt

        return StagedAttempt(self, context)

    # --- what is to be loaded -------------------------------------------------------------------------------------

    @property
    def _in_stages(self) -> bool:
        return self.stage is not None or self.partitions is not None

    def _stages(self, context: Any) -> tuple[Stage, ...]:
        from planasonix.runs import plan_partitions, plan_stages

        if self.partitions is not None:
            return plan_partitions(self.partitions, overlap=self.overlap)
        if self.stage is not None:
            return plan_stages(*self._window(context), self.stage, timezone=self.stage_timezone)
        return ()

    def _staged(self, request: BackfillRequest, stages: tuple[Stage, ...]) -> StagedBackfill:
        from planasonix.runs import StagedBackfill

        return StagedBackfill(request, stages, self.max_active_stages, self.stop_after_failures, self.on_clear)

    def _window(self, context: Any) -> tuple[Any, Any]:
        if (self.start_at is None) != (self.end_at is None):
            missing = "end_at" if self.end_at is None else "start_at"
            raise ConfigurationError(f"{missing} is missing: give both start_at and end_at, or neither.", field=missing)
        if self.start_at is not None and self.end_at is not None:
            return self.start_at, self.end_at
        if (key := context.get("partition_key")) is not None:
            from planasonix.runs import window_of_key

            return window_of_key(
                key,
                partition_window=self.partition_window,
                partition_timezone=self.partition_timezone,
                partition_date=context.get("partition_date"),
            )
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        if start is None or end is None or start == end:
            raise ConfigurationError(
                "This DAG run has neither a partition key nor a data interval to take the window from.",
                field="start_at",
                hint="Give start_at and end_at, or a schedule with data intervals, for example "
                'CronDataIntervalTimetable("@daily", timezone="UTC"): a plain cron text has had none since Airflow 3.',
            )
        return start, end

    def _check(self) -> None:
        """A wrong word or number is an error of the DAG file, not of tonight's run; templates are not known yet."""
        from planasonix.runs import StagedBackfill, plan_partitions, plan_stages
        from planasonix.runs.staged.windows import zone_of

        zone_of(self.stage_timezone, "stage_timezone")
        if self._in_stages and not self.wait_for_completion:
            raise ConfigurationError(
                "wait_for_completion must be True for a backfill in stages: the next stage starts when one has ended.",
                field="wait_for_completion",
                hint="Leave it out, or load the window at once.",
            )
        if self.partitions is not None and (self.stage, self.start_at, self.end_at) != (None, None, None):
            raise ConfigurationError(
                "partitions say what is loaded: leave out stage, start_at and end_at.", field="partitions"
            )
        if self.overlap != "refuse" and self.partitions is None:
            raise ConfigurationError("overlap speaks of partitions, and there are none.", field="overlap")
        stage = self.stage if self.stage is not None and is_known(self.stage) else "1d"
        some = plan_stages(*_ANY_DAY, stage, timezone=self.stage_timezone)
        names = ("max_active_stages", "stop_after_failures", "on_clear")
        known = {name: getattr(self, name) for name in names if is_known(getattr(self, name))}
        StagedBackfill(BackfillRequest("any", *_ANY_DAY), some, **known)
        if self.partitions is not None:
            plan_partitions(self.partitions if is_known(self.partitions) else [_ANY_DAY], overlap=self.overlap)

    def _check_partition_keys(self) -> None:
        from planasonix.runs.staged.windows import length_of, zone_of

        zone_of(self.partition_timezone, "partition_timezone")
        if self.partition_window is not None:
            length_of(self.partition_window, "partition_window")
        if self.partition_key_format is None:
            return
        one, other = (moment.strftime(self.partition_key_format) for moment in _ANY_TWO)
        if one == other or len(one) > 250:
            raise ConfigurationError(
                f"partition_key_format must make a short key of a moment, got {self.partition_key_format!r}.",
                field="partition_key_format",
                hint="As in %Y-%m-%d.",
            )
        if all(isinstance(outlet, AssetAlias) for outlet in self.outlets):
            raise ConfigurationError(
                "partition_key_format is for the events of assets, and there are none among the outlets.",
                field="partition_key_format",
                hint="Name the tables: outlets=[planasonix_table(...)]. Airflow gives the events of an AssetAlias the "
                "run's own partition key.",
            )
