"""Windows for `expand_kwargs`: a task instance of its own for each stage of a backfill."""

from __future__ import annotations

from datetime import datetime, timedelta

from planasonix.runs.staged.windows import plan_stages


def stage_windows(
    start_at: datetime | str, end_at: datetime | str, stage: str | timedelta, *, timezone: str = "UTC"
) -> list[dict[str, str]]:
    """The stages of [`start_at`, `end_at`) as keyword arguments of `PlanasonixBackfillOperator`.

    Each mapped instance is an intent of its own: cleared, retried and marked by itself. `max_active_tis_per_dagrun`
    bounds how many run at a time, deferred ones included. Works in a DAG file and in a `@task`. The parameters are
    those of `planasonix.runs.plan_stages`; raises its `ConfigurationError`.

    >>> stage_windows("2026-01-01T00:00Z", "2026-02-15T00:00Z", "1mo")[1]
    {'start_at': '2026-02-01T00:00:00+00:00', 'end_at': '2026-02-15T00:00:00+00:00'}
    """
    stages = plan_stages(start_at, end_at, stage, timezone=timezone)
    return [{"start_at": each.start_at.isoformat(), "end_at": each.end_at.isoformat()} for each in stages]
