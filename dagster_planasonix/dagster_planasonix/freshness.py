"""A freshness policy from a connection's own schedule."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise

import dagster as dg

from dagster_planasonix.state import ConnectionState

logger = logging.getLogger(__name__)

_FORMAT = "%Y-%m-%dT%H:%M:%S"
# From a Monday on, beyond the next one, so that a week is whole; longer where the schedule is rarer than that.
_BEGIN = datetime(2024, 1, 1)  # noqa: DTZ001 on the clocks of the schedule
_HORIZONS = (timedelta(days=10), timedelta(days=100), timedelta(days=1500))


def with_freshness(specs: Sequence[dg.AssetSpec], connection: ConnectionState) -> list[dg.AssetSpec]:
    """The specs with a policy where they have none; unchanged where the API tells no schedule.

    Partitioned assets are left alone: Dagster's policy looks at the asset as a whole, and loading an old partition
    would make it fresh.
    """
    policy = policy_of(connection)
    if policy is None:
        return list(specs)
    return [
        spec if spec.freshness_policy or spec.partitions_def else spec.replace_attributes(freshness_policy=policy)
        for spec in specs
    ]


def policy_of(connection: ConnectionState) -> dg.FreshnessPolicy | None:
    """Stale when two syncs in a row are missing, a warning when one is half a turn late.

    Measured by the longest pause of the schedule: from Friday to Monday for one of workdays. None for a paused
    connection, for one without a schedule, and, with a line in the log, for a schedule that is no cron.
    """
    if not connection.schedule or connection.paused:
        return None
    try:
        pause = _longest_pause(connection.schedule, connection.schedule_timezone or "UTC")
    except Exception:
        logger.warning("The schedule %r of %s is no cron: no freshness.", connection.schedule, connection.label)
        return None
    return dg.FreshnessPolicy.time_window(fail_window=2 * pause, warn_window=1.5 * pause)


@lru_cache(maxsize=1024)
def _longest_pause(cron: str, timezone: str) -> timedelta:
    for horizon in _HORIZONS:
        ticks = dg.TimeWindowPartitionsDefinition(
            start=_BEGIN, end=_BEGIN + horizon, fmt=_FORMAT, cron_schedule=cron, timezone=timezone
        ).get_partition_keys()
        moments = [datetime.strptime(tick, _FORMAT) for tick in ticks]  # noqa: DTZ007 the clocks of one zone
        if len(moments) > 2:
            return max(later - earlier for earlier, later in pairwise(moments))
    raise ValueError("it runs too rarely")
