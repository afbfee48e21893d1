"""Partitions as windows: which half-open window of UTC each partition key of a run stands for.

Time windows are Dagster's own, and so DST safe: the day on which the clocks of Berlin go forward is one of 23 hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal, get_args

import dagster as dg

from planasonix.errors import ConfigurationError

PartitionMode = Literal["each", "window"]


@dataclass(frozen=True)
class PartitionWindow:
    """The window of one partition, both ends aware and in UTC; the end is not part of it."""

    key: str
    start_at: datetime
    end_at: datetime


def check_mode(mode: object) -> None:
    """Raises `ConfigurationError` for what is no `partition_mode`."""
    if mode not in get_args(PartitionMode):
        words = ", ".join(get_args(PartitionMode))
        raise ConfigurationError(f"partition_mode must be one of {words}, got {mode!r}.", field="partition_mode")


def check_counts(*, max_active_partitions: object = 1, stop_after_failures: object = None) -> None:
    """Raises `ConfigurationError` for numbers below 1, or what is none; `stop_after_failures` may be None."""
    counts = {"max_active_partitions": max_active_partitions}
    if stop_after_failures is not None:
        counts["stop_after_failures"] = stop_after_failures
    for field, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigurationError(f"{field} must be a whole number of at least 1, got {value!r}.", field=field)


def partition_windows(context: Any, selected: Sequence[dg.AssetKey]) -> list[PartitionWindow] | None:
    """The windows of the partitions that a step is to load, in the order of the keys; None without partitions.

    The keys of `TimeWindowPartitionsDefinition` and its kin are its windows. Keys of any other definition must say
    of which period they are, as `2026-01-05`, `2026-W02` or `2026-01` do, in UTC: see `planasonix.runs.window_of_key`.
    Raises `ConfigurationError` for keys that do not, for partitions of several dimensions, and where only some of the
    assets have partitions.
    """
    partitions_def = _partitions_def(context, selected)
    if partitions_def is None:
        return None
    if isinstance(partitions_def, dg.MultiPartitionsDefinition):
        raise ConfigurationError(
            "Partitions of several dimensions are not supported: a backfill of Planasonix loads a window of time, and "
            "no part of one.",
            field="partitions_def",
            hint="Give the assets partitions of time alone.",
        )
    keys = context.partition_keys
    if isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
        return [_of_time(partitions_def, key) for key in keys]
    return [_of_key(key) for key in keys]


def whole_window(windows: Sequence[PartitionWindow]) -> tuple[datetime, datetime]:
    """One window over all of them. Raises `ConfigurationError` where there is time between two, which nobody asked
    for.
    """
    in_time = sorted(windows, key=lambda window: window.start_at)
    for one, other in pairwise(in_time):
        if one.end_at != other.start_at:
            raise ConfigurationError(
                f"The partitions {one.key} and {other.key} do not follow upon one another.",
                field="partition_mode",
                hint='Load them with partition_mode="each".',
            )
    return in_time[0].start_at, in_time[-1].end_at


def _partitions_def(context: Any, selected: Sequence[dg.AssetKey]) -> dg.PartitionsDefinition | None:
    defs = {spec.key: spec.partitions_def for spec in context.assets_def.specs if spec.key in selected}
    kinds = [each for number, each in enumerate(defs.values()) if each not in list(defs.values())[:number]]
    if len(kinds) > 1:
        names = ", ".join(key.to_user_string() for key in list(defs)[:3])
        raise ConfigurationError(
            f"The selected assets of one step have different partitions ({names}, …).",
            field="partitions_def",
            hint="Load them in runs of their own, or give them the same partitions.",
        )
    return kinds[0]


def _of_time(partitions_def: dg.TimeWindowPartitionsDefinition, key: str) -> PartitionWindow:
    from planasonix.runs.staged.windows import window_of

    window = partitions_def.time_window_for_partition_key(key)
    return PartitionWindow(key, *window_of(_plain(window.start), _plain(window.end)))


def _of_key(key: str) -> PartitionWindow:
    from planasonix.runs import window_of_key

    try:
        return PartitionWindow(key, *window_of_key(str(key)))
    except ConfigurationError as error:
        # The core's hint is to give both ends of the window, which nobody can do for a partition.
        raise ConfigurationError(
            f"The partition key {str(key)!r} names no period of time.",
            field="partition_key",
            hint="Use time windows, or keys such as 2026-01-05, 2026-W02 or 2026-01.",
        ) from error


def _plain(moment: datetime) -> datetime:
    """Dagster's times are of its own kind of datetime; the instant is what counts."""
    return datetime.fromtimestamp(moment.timestamp(), UTC)


def partitions_of(context: Any) -> tuple[str | None, str | None]:
    """The first and last partition key of the step, None without partitions."""
    if context.has_partition_key:
        return str(context.partition_key), str(context.partition_key)
    if context.has_partition_key_range:
        return str(context.partition_key_range.start), str(context.partition_key_range.end)
    return None, None
