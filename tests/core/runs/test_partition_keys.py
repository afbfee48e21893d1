"""A partition key is one half-open window, or an error: never a guess."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import given

import planasonix.runs.partition_keys as module
from planasonix.errors import ConfigurationError
from planasonix.runs import plan_stages, window_of_key

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "Asia/Kathmandu", "Pacific/Apia")


def hours(key: str, **options: object) -> float:
    start, end = window_of_key(key, **options)  # type: ignore[arg-type]
    return (end - start) / timedelta(hours=1)


@pytest.mark.parametrize(
    ("key", "start", "end"),
    [
        ("2026-03-13T14", "2026-03-13T14:00Z", "2026-03-13T15:00Z"),
        ("2026-03-13 14", "2026-03-13T14:00Z", "2026-03-13T15:00Z"),
        ("2026-03-13", "2026-03-13T00:00Z", "2026-03-14T00:00Z"),
        ("2026-W11", "2026-03-09T00:00Z", "2026-03-16T00:00Z"),
        ("2026-03-09 (W11)", "2026-03-09T00:00Z", "2026-03-16T00:00Z"),
        ("2026-12", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("2026-Q4", "2026-10-01T00:00Z", "2027-01-01T00:00Z"),
        ("2026", "2026-01-01T00:00Z", "2027-01-01T00:00Z"),
    ],
)
def test_a_key_that_names_a_period_is_that_period(key: str, start: str, end: str) -> None:
    assert window_of_key(key) == (datetime.fromisoformat(start), datetime.fromisoformat(end))


@pytest.mark.parametrize(
    ("key", "window", "end"),
    [
        ("2026-03-13T02:00:00", "1d", "2026-03-14T02:00Z"),
        ("2026-03-13T02:00", timedelta(hours=6), "2026-03-13T08:00Z"),
        ("2026-03-13T02:00:00Z", "1w", "2026-03-20T02:00Z"),
        ("2026-03-13T04:00:00+02:00", "1mo", "2026-04-13T02:00Z"),
        ("2026-03-13T02:00:00+0000", "1h", "2026-03-13T03:00Z"),
    ],
)
def test_a_moment_is_as_long_as_it_is_said_to_be(key: str, window: str, end: str) -> None:
    start = datetime(2026, 3, 13, 2, tzinfo=UTC)
    assert window_of_key(key, partition_window=window) == (start, datetime.fromisoformat(end))


def test_a_said_length_overrules_the_period_that_a_key_names() -> None:
    assert hours("2026-03-09", partition_window="1w") == 168


@pytest.mark.parametrize(
    ("key", "length"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-03-23 (W13)", 167), ("2026-10", 745)]
)
def test_days_are_those_of_the_zone(key: str, length: int) -> None:
    assert hours(key, partition_timezone="Europe/Berlin") == length


@pytest.mark.parametrize(
    ("key", "options", "field"),
    [
        ("2026-03-13T00:00:00", {}, "partition_key"),
        ("us|2026-03-13", {}, "partition_key"),
        ("us|2026-03-13", {"partition_window": "1d"}, "partition_key"),
        ("20260313", {}, "partition_key"),
        ("2026-13-01", {}, "partition_key"),
        ("2026-02-30", {}, "partition_key"),
        ("2026-W54", {}, "partition_key"),
        ("2026-03-13T25", {}, "partition_key"),
        ("2026-03-13\n", {}, "partition_key"),
        ("", {}, "partition_key"),
        ("2026-01-31T00:00:00", {"partition_window": "1mo"}, "partition_key"),
        # The clocks go back: 02:00 comes twice; and forward: 02:00 does not come at all.
        ("2026-10-25T02", {"partition_timezone": "Europe/Berlin"}, "partition_key"),
        ("2026-03-29T02", {"partition_timezone": "Europe/Berlin"}, "partition_key"),
        # So do midnights, and the first hour of a day is an hour as any other.
        ("2026-03-08T00", {"partition_timezone": "America/Havana"}, "partition_key"),
        ("2026-11-01T00", {"partition_timezone": "America/Havana"}, "partition_key"),
        ("2026-11-01T00:00", {"partition_timezone": "America/Havana", "partition_window": "6h"}, "partition_key"),
        # A day that this zone left out.
        ("2011-12-30", {"partition_timezone": "Pacific/Apia"}, "partition_key"),
        # The Monday of another week.
        ("2026-01-05 (W99)", {}, "partition_key"),
        ("2026-01-05 (W03)", {}, "partition_key"),
        (5, {}, "partition_key"),
        (None, {"partition_window": "1d", "partition_date": "2026-01-01T00:00:00Z"}, "partition_key"),
        ("9999-12", {}, "start_at"),
        ("0001", {"partition_timezone": "Europe/Berlin"}, "start_at"),
        ("2026", {"partition_window": "999999mo"}, "partition_window"),
        ("2026-01-05", {"partition_window": "999999w"}, "partition_window"),
        ("2026-03-13", {"partition_timezone": "Mars/Olympus"}, "partition_timezone"),
        ("2026-03-13", {"partition_window": "one day"}, "partition_window"),
        ("2026-03-13", {"partition_window": "0d"}, "partition_window"),
        # Midnight in Berlin, and not in UTC.
        ("2026-03-13", {"partition_date": "2026-03-12T23:00:00+00:00"}, "partition_key"),
        ("2026-03-13", {"partition_date": "2026-03-12"}, "partition_date"),
        ("0001", {}, "start_at"),
    ],
)
def test_nothing_is_guessed(key: str | None, options: dict[str, str], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        window_of_key(key, **options)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_the_day_of_a_midnight_that_comes_twice_or_not_at_all_is_whole() -> None:
    havana = {"partition_timezone": "America/Havana"}
    assert (hours("2026-03-08", **havana), hours("2026-11-01", **havana)) == (23, 25)
    assert hours("2026-03-08T00:00:00", partition_window="1d", **havana) == 23
    assert window_of_key("2026-03-08T01", **havana)[0] == datetime(2026, 3, 8, 5, tzinfo=UTC)


def test_the_date_that_the_orchestrator_knows_settles_what_the_key_leaves_open() -> None:
    twice = {"partition_timezone": "Europe/Berlin", "partition_date": datetime(2026, 10, 25, 1, tzinfo=UTC)}
    assert window_of_key("2026-10-25T02", **twice)[0] == datetime(2026, 10, 25, 1, tzinfo=UTC)  # type: ignore[arg-type]
    start = datetime(2026, 3, 12, 23, tzinfo=UTC)
    window = window_of_key(
        "us|20260313", partition_window="1d", partition_timezone="Europe/Berlin", partition_date=start
    )
    assert window == (start, start + timedelta(days=1))


@given(st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)), st.sampled_from(ZONES))  # noqa: DTZ001 - local
def test_the_windows_of_consecutive_days_meet(moment: datetime, zone: str) -> None:
    today, tomorrow = (f"{moment + timedelta(days=days):%Y-%m-%d}" for days in (0, 1))
    if "2011-12-30" in (today, tomorrow) and zone == "Pacific/Apia":
        return  # a day that this zone left out
    assert window_of_key(today, partition_timezone=zone)[1] == window_of_key(tomorrow, partition_timezone=zone)[0]


@given(st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)), st.sampled_from(ZONES))  # noqa: DTZ001 - local
def test_a_month_is_one_stage_of_a_staged_backfill(moment: datetime, zone: str) -> None:
    start, end = window_of_key(f"{moment:%Y-%m}", partition_timezone=zone)
    [stage] = plan_stages(start, end, "1mo", timezone=zone)
    assert (stage.start_at, stage.end_at) == (start, end)
    assert start.astimezone(ZoneInfo(zone)).day == 1


def test_the_example() -> None:
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0
