"""Partition keys as windows, without a run: zones, clock changes, and keys that are none of time."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix.partitions import check_counts, check_mode, partition_windows, whole_window
from planasonix.errors import ConfigurationError

KEY = dg.AssetKey("orders")


def context(partitions_def: dg.PartitionsDefinition | None, *keys: str, other: Any = "the same") -> Any:
    """What `partition_windows` asks of a step's context."""
    specs = [dg.AssetSpec(KEY, partitions_def=partitions_def)]
    if other != "the same":
        specs.append(dg.AssetSpec("items", partitions_def=other))
    return SimpleNamespace(assets_def=SimpleNamespace(specs=specs), partition_keys=list(keys))


def windows(partitions_def: dg.PartitionsDefinition | None, *keys: str) -> list[tuple[str, str]]:
    found = partition_windows(context(partitions_def, *keys), [KEY]) or []
    return [(each.start_at.isoformat(), each.end_at.isoformat()) for each in found]


BERLIN = dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("key", "start", "end", "hours"),
    [
        ("2026-03-28", "2026-03-27T23:00:00+00:00", "2026-03-28T23:00:00+00:00", 24),
        ("2026-03-29", "2026-03-28T23:00:00+00:00", "2026-03-29T22:00:00+00:00", 23),
        ("2026-10-25", "2026-10-24T22:00:00+00:00", "2026-10-25T23:00:00+00:00", 25),
    ],
)
def test_a_day_is_as_long_as_its_clocks_make_it(key: str, start: str, end: str, hours: int) -> None:
    assert windows(BERLIN, key) == [(start, end)]
    (window,) = partition_windows(context(BERLIN, key), [KEY]) or []
    assert (window.end_at - window.start_at).total_seconds() == hours * 3600


def test_the_hour_that_comes_twice_is_two_windows() -> None:
    hourly = dg.HourlyPartitionsDefinition("2026-10-25-00:00", timezone="Europe/Berlin")
    keys = hourly.get_partition_keys()[:6]
    found = windows(hourly, *keys)
    assert len(set(found)) == 6
    assert all(one[1] == other[0] for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("partitions_def", "key", "window"),
    [
        (
            dg.WeeklyPartitionsDefinition("2026-01-04"),
            "2026-01-04",
            ("2026-01-04T00:00:00+00:00", "2026-01-11T00:00:00+00:00"),
        ),
        (
            dg.MonthlyPartitionsDefinition("2026-01-01"),
            "2026-02-01",
            ("2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"),
        ),
        (
            dg.DailyPartitionsDefinition("2026-01-01", hour_offset=6),
            "2026-01-02",
            ("2026-01-02T06:00:00+00:00", "2026-01-03T06:00:00+00:00"),
        ),
        (
            dg.TimeWindowPartitionsDefinition(start="2026-01-01", fmt="%Y-%m-%d", cron_schedule="0 0 1 */3 *"),
            "2026-04-01",
            ("2026-04-01T00:00:00+00:00", "2026-07-01T00:00:00+00:00"),
        ),
        (
            dg.StaticPartitionsDefinition(["2026-01", "2026-02"]),
            "2026-02",
            ("2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"),
        ),
        (
            dg.DynamicPartitionsDefinition(name="d"),
            "2026-W02",
            ("2026-01-05T00:00:00+00:00", "2026-01-12T00:00:00+00:00"),
        ),
    ],
)
def test_the_windows_of_other_definitions(
    partitions_def: dg.PartitionsDefinition, key: str, window: tuple[str, str]
) -> None:
    assert windows(partitions_def, key) == [window]


@pytest.mark.parametrize("key", ["eu", "eu|2026-01-01", "2026-01-05T00:00:00"])
def test_a_key_that_is_no_period_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        windows(dg.StaticPartitionsDefinition([key]), key)
    assert caught.value.field == "partition_key"
    assert repr(key) in str(caught.value)
    assert "start_at" not in str(caught.value)


def test_partitions_of_two_dimensions_are_refused_by_that_name() -> None:
    regions = dg.StaticPartitionsDefinition(["eu", "us"])
    key = dg.MultiPartitionKey({"day": "2026-01-02", "region": "eu"})
    with pytest.raises(ConfigurationError, match="several dimensions are not supported") as caught:
        windows(dg.MultiPartitionsDefinition({"day": BERLIN, "region": regions}), key)
    assert caught.value.field == "partitions_def"


def test_without_partitions_there_are_no_windows() -> None:
    assert partition_windows(context(None), [KEY]) is None


def test_assets_of_one_step_have_the_same_partitions() -> None:
    mixed = context(BERLIN, "2026-01-01", other=None)
    with pytest.raises(ConfigurationError) as caught:
        partition_windows(mixed, [KEY, dg.AssetKey("items")])
    assert caught.value.field == "partitions_def"
    # What is not selected does not matter.
    assert len(partition_windows(mixed, [KEY]) or []) == 1
    again = context(BERLIN, "2026-01-01", other=dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin"))
    assert len(partition_windows(again, [KEY, dg.AssetKey("items")]) or []) == 1


def test_one_window_over_all_is_without_gaps() -> None:
    found = partition_windows(context(BERLIN, "2026-03-28", "2026-03-29", "2026-03-30"), [KEY]) or []
    start, end = whole_window(found)
    assert (start.isoformat(), end.isoformat()) == ("2026-03-27T23:00:00+00:00", "2026-03-30T22:00:00+00:00")
    with pytest.raises(ConfigurationError, match="do not follow"):
        whole_window([found[0], found[2]])


def test_a_mode_that_does_not_exist() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_mode("all")
    assert caught.value.field == "partition_mode"


@pytest.mark.parametrize("value", [0, -1, True, "2", 1.5])
@pytest.mark.parametrize("field", ["max_active_partitions", "stop_after_failures"])
def test_a_number_of_partitions_that_is_none(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_counts(**{field: value})
    assert caught.value.field == field
