"""Which partitions a window covers, of definitions that begin, end, and grow."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from dagster_planasonix.sensors.watched import covered_partitions

DAY = timedelta(days=1)
DAILY = dg.DailyPartitionsDefinition("2026-01-01")
EXTRA = dg.DailyPartitionsDefinition("2026-01-01", end_offset=1)
ENDS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-05")
BERLIN = dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("partitions_def", "start", "end", "keys"),
    [
        (DAILY, "2026-01-05T12", "2026-01-08T12", ["2026-01-06", "2026-01-07"]),
        (DAILY, "2025-12-25T00", "2026-01-03T00", ["2026-01-01", "2026-01-02"]),
        (DAILY, "2025-12-25T00", "2026-01-01T00", []),
        (ENDS, "2026-01-03T00", "2026-01-09T00", ["2026-01-03", "2026-01-04"]),
        (ENDS, "2026-01-05T00", "2026-01-09T00", []),
        (BERLIN, "2026-03-28T00", "2026-03-31T00", ["2026-03-29", "2026-03-30"]),
        (dg.MonthlyPartitionsDefinition("2026-01-01"), "2026-01-15T00", "2026-04-01T00", ["2026-02-01", "2026-03-01"]),
        (dg.StaticPartitionsDefinition(["2026-01-05", "eu"]), "2026-01-01T00", "2026-02-01T00", ["2026-01-05"]),
        (dg.DailyPartitionsDefinition("9000-01-01"), "2026-01-01T00", "2026-02-01T00", []),
    ],
)
def test_only_partitions_of_the_definition_are_covered(
    partitions_def: dg.PartitionsDefinition, start: str, end: str, keys: list[str]
) -> None:
    window = (datetime.fromisoformat(f"{each}:00:00+00:00") for each in (start, end))
    assert list(covered_partitions(partitions_def, *window) or ()) == keys


def test_what_is_not_over_is_no_partition_yet() -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    window = today - 2 * DAY, today + 20 * DAY
    days = [f"{today + number * DAY:%Y-%m-%d}" for number in (-2, -1, 0)]
    assert list(covered_partitions(DAILY, *window) or ()) == days[:2]
    assert list(covered_partitions(EXTRA, *window) or ()) == days


def test_dynamic_partitions_are_those_that_the_instance_has() -> None:
    window = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    dynamic = dg.DynamicPartitionsDefinition(name="days")
    with dg.DagsterInstance.ephemeral() as instance:
        assert covered_partitions(dynamic, *window, instance) == {}
        instance.add_dynamic_partitions("days", ["2026-01-06", "2026-01-05", "2026-02-01", "eu"])
        assert list(covered_partitions(dynamic, *window, instance) or ()) == ["2026-01-05", "2026-01-06"]


@pytest.mark.parametrize(
    "partitions_def",
    [
        dg.DynamicPartitionsDefinition(name="days"),
        dg.MultiPartitionsDefinition({"day": DAILY, "shop": dg.StaticPartitionsDefinition(["eu"])}),
    ],
)
def test_a_definition_that_tells_no_partitions_of_time_is_not_one_without_any(
    partitions_def: dg.PartitionsDefinition,
) -> None:
    window = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    assert covered_partitions(partitions_def, *window) is None


def test_a_window_of_many_years_costs_what_is_there() -> None:
    hourly = dg.HourlyPartitionsDefinition("2026-01-01-00:00", end_date="2026-01-02-00:00")
    began = time.process_time()
    covered = covered_partitions(hourly, datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
    assert covered is not None
    assert len(covered) == 24
    assert time.process_time() - began < 1.0
