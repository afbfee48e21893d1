"""Handing a wait over to the triggerer: what all attempts of a task have in common there."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from planasonix.runs import busy_pause_seconds

if TYPE_CHECKING:
    from airflow_provider_planasonix.ledger import TaskStateLedger
    from airflow_provider_planasonix.operators.run import PlanasonixRunOperator
    from planasonix.watch import Kind

FRAMEWORK_SLACK = timedelta(minutes=10)
"""How much later than ours Airflow's own deadline of a deferral is: ours can cancel and tell why."""


def framework_timeout(until: float, now: float) -> timedelta:
    """Airflow's deadline of a deferral that ours ends at `until`; both are seconds since the epoch."""
    return timedelta(seconds=max(0.0, until - now)) + FRAMEWORK_SLACK


def time_limit(operator: PlanasonixRunOperator, ledger: TaskStateLedger) -> float | None:
    """When this try's `execution_timeout` is over, its waits included; seconds since the epoch.

    None without one, and where the task waits on a worker: Airflow ends it there itself, and never a deferred one.
    """
    limit = operator.execution_timeout
    return None if limit is None or not operator.deferrable else ledger.began_at + limit.total_seconds()


def defer_while_busy(
    operator: PlanasonixRunOperator,
    ledger: TaskStateLedger,
    busy_kind: Kind,
    busy_run_id: str | None,
    *,
    since: float,
    until: float,
) -> None:
    """Leave the worker until what keeps the target busy has ended, or for a while; then `execute_again` starts anew.

    `since` is when it was first found busy, `until` how long that may last; both are seconds since the epoch.
    """
    from airflow_provider_planasonix.triggers.busy import PlanasonixBusyTrigger

    limit = time_limit(operator, ledger)
    until = until if limit is None else min(until, limit)
    now = time.time()
    operator.defer(
        trigger=PlanasonixBusyTrigger(
            busy_kind,
            busy_run_id,
            until,
            operator.planasonix_conn_id,
            operator.poll_interval_seconds,
            busy_pause_seconds(now - since),
            now,
        ),
        method_name="execute_again",
        timeout=framework_timeout(until, now),
    )
