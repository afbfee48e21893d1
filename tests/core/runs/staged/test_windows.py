"""Stages tile their window exactly, in every time zone, and a longer window keeps the stages inside."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from planasonix.errors import ConfigurationError
from planasonix.runs import plan_partitions, plan_stages

ODD_ZONES = (
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Sao_Paulo",  # changed at midnight: days without one, until 2018
    "Asia/Beirut",  # changes at midnight, both ways
    "Africa/Cairo",
    "America/Havana",  # midnight comes twice
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # left a day out, 2011-12-30
    "Asia/Kathmandu",
    "Africa/Casablanca",
)
zones = st.sampled_from(ODD_ZONES) | st.sampled_from(sorted(available_timezones() - {"localtime"}))
moments = st.datetimes(datetime(1950, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made UTC
units = st.sampled_from(["1h", "2h", "5h", "6h", "12h", "24h", "36h", "1d", "2d", "1w", "3w", "1mo", "3mo", "12mo"])
COUNTED = ("5h", "24h", "36h", "2d", "3w")
"""What no calendar knows: counted from the window's start."""
SIZES = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(days=7), "mo": timedelta(days=31)}


def longest(unit: str) -> timedelta:
    """How long a stage can be: a local day has at most 25 hours or, where a zone moved over the date line, 48."""
    number = "".join(letter for letter in unit if letter.isdigit())
    return int(number) * SIZES[unit[len(number) :]] + (timedelta(0) if unit.endswith("h") else timedelta(hours=25))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def cuts(stages: Any) -> set[datetime]:
    return {stage.start_at for stage in stages}


@settings(max_examples=300, deadline=None)
@given(moments, st.integers(1, 60), st.integers(0, 999_999), units, zones)
@example(at("2018-11-03T12:00-03:00"), 3, 0, "1d", "America/Sao_Paulo")
@example(at("2011-12-29T00:00-10:00"), 4, 0, "6h", "Pacific/Apia")
@example(at("2026-10-24T00:00+02:00"), 3, 1, "1d", "Europe/Paris")
def test_stages_tile_their_window(start: datetime, size: int, micros: int, unit: str, zone: str) -> None:
    end = start + size * longest(unit) / 7 + timedelta(microseconds=micros, seconds=1)
    stages = plan_stages(start, end, unit, timezone=zone)
    assert (stages[0].start_at, stages[-1].end_at) == (start, end)
    assert all(one.end_at == other.start_at for one, other in pairwise(stages))
    assert all(timedelta(0) < stage.end_at - stage.start_at <= longest(unit) for stage in stages)
    assert len({stage.name for stage in stages}) == len(stages)
    if unit.endswith(("d", "w", "mo")):
        for stage in stages[1:]:
            day = stage.start_at.astimezone(ZoneInfo(zone)).date()
            just_before = (stage.start_at - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date()
            assert just_before != day, "every cut is the first instant of a local day"


@settings(max_examples=200, deadline=None)
@given(moments, st.integers(1, 20), st.integers(0, 300), st.integers(0, 300), units, zones)
def test_a_longer_window_keeps_the_stages_inside(
    start: datetime, size: int, hours_before: int, hours_after: int, unit: str, zone: str
) -> None:
    end = start + size * longest(unit) / 5
    stages = plan_stages(start, end, unit, timezone=zone)
    if unit in COUNTED:
        hours_before = 0
    longer = plan_stages(start - timedelta(hours=hours_before), end + timedelta(hours=hours_after), unit, timezone=zone)
    assert cuts(stages) - {start} == {cut for cut in cuts(longer) if start < cut < end}
    assert set(stages[1:-1]) <= set(longer)


@pytest.mark.parametrize(
    ("start", "end", "unit", "zone", "starts"),
    [
        ("2026-01-01T10:30Z", "2026-01-01T20:00Z", "6h", "UTC", ["01T1030", "01T1200", "01T1800"]),
        ("2026-01-30T00:00Z", "2026-03-02T00:00Z", "1mo", "UTC", ["30T0000", "01T0000", "01T0000"]),
        ("2026-01-01T00:00Z", "2026-01-20T00:00Z", "1w", "UTC", ["01T0000", "05T0000", "12T0000", "19T0000"]),
        # 23 and 25 hours.
        ("2026-03-28T23:00Z", "2026-03-30T22:00Z", "1d", "Europe/Paris", ["28T2300", "29T2200"]),
        ("2026-10-24T22:00Z", "2026-10-26T23:00Z", "1d", "Europe/Paris", ["24T2200", "25T2300"]),
        # Hours are counted from each local midnight: the day of 25 hours has one more stage.
        ("2026-10-24T22:00Z", "2026-10-26T05:00Z", "12h", "Europe/Paris", ["24T2200", "25T1000", "25T2200", "25T2300"]),
        # 2018-11-04 began at 01:00 in São Paulo.
        ("2018-11-03T03:00Z", "2018-11-05T02:00Z", "1d", "America/Sao_Paulo", ["03T0300", "04T0300"]),
        # There was no 2011-12-30 in Samoa.
        ("2011-12-29T10:00Z", "2011-12-31T10:00Z", "1d", "Pacific/Apia", ["29T1000", "30T1000"]),
        # 2025-11-02 began twice in Havana, the second time an hour later.
        ("2025-11-01T04:00Z", "2025-11-03T05:00Z", "1d", "America/Havana", ["01T0400", "02T0400"]),
    ],
)
def test_where_the_cuts_lie(start: str, end: str, unit: str, zone: str, starts: list[str]) -> None:
    stages = plan_stages(start, end, unit, timezone=zone)
    assert [stage.start_at.strftime("%dT%H%M") for stage in stages] == starts


def test_a_timedelta_of_whole_days_is_calendar_days() -> None:
    window = ("2026-03-28T23:00Z", "2026-03-31T22:00Z")
    by_days = plan_stages(*window, timedelta(days=1), timezone="Europe/Paris")
    assert by_days == plan_stages(*window, "1d", timezone="Europe/Paris")
    assert by_days != plan_stages(*window, "24h", timezone="Europe/Paris")
    assert plan_stages(*window, timedelta(hours=6)) == plan_stages(*window, "6h")


def test_what_no_calendar_knows_is_counted_from_the_start() -> None:
    for unit, count in (("4d", 4), ("8d", 2), ("96h", 4), ("5h", 77)):
        assert len(plan_stages("2026-01-01T00:00Z", "2026-01-17T00:00Z", unit)) == count
    stages = plan_stages("2026-02-10T00:00Z", "2026-12-01T00:00Z", "5mo")
    assert [stage.start_at.month for stage in stages] == [2, 7]


def test_quarters_are_those_of_the_year() -> None:
    stages = plan_stages("2026-02-10T00:00Z", "2027-01-01T00:00Z", "3mo")
    assert [stage.start_at.date() for stage in stages[1:]] == [date(2026, 4, 1), date(2026, 7, 1), date(2026, 10, 1)]


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"start_at": "2026-01-01T00:00"}, "start_at"),
        ({"end_at": "yesterday"}, "end_at"),
        ({"end_at": "2025-12-31T00:00Z"}, "end_at"),
        ({"end_at": "2026-01-01T00:00Z"}, "end_at"),
        ({"start_at": "0001-01-01T00:00Z"}, "start_at"),
        ({"end_at": 5}, "end_at"),
        ({"stage": "0d"}, "stage"),
        ({"stage": "1y"}, "stage"),
        ({"stage": "1 d"}, "stage"),
        ({"stage": None}, "stage"),
        ({"stage": timedelta(minutes=90)}, "stage"),
        ({"stage": timedelta(days=-1)}, "stage"),
        ({"stage": "1h", "end_at": "2027-01-01T00:00Z"}, "stage"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
    ],
)
def test_bad_input_names_the_field(given_: dict[str, Any], field: str) -> None:
    asked: dict[str, Any] = {"start_at": "2026-01-01T00:00Z", "end_at": "2026-02-01T00:00Z", "stage": "1d"} | given_
    with pytest.raises(ConfigurationError) as caught:
        plan_stages(**asked)
    assert caught.value.field == field


def test_the_bound_on_stages_holds_to_the_stage() -> None:
    def plan(days: int) -> int:
        end = at("2026-01-01T00:00Z") + timedelta(days=days)
        return len(plan_stages("2026-01-01T00:00Z", end, "1d", stages_at_most=10))

    assert plan(10) == 10
    with pytest.raises(ConfigurationError, match="more than 10 stages"):
        plan(11)


# --- partitions -------------------------------------------------------------------------------------------------------


def day(number: float) -> datetime:
    return at("2026-01-01T00:00Z") + timedelta(days=number)


partitions = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 6)).map(lambda pair: (day(pair[0]), day(pair[0] + pair[1]))),
    min_size=1,
    max_size=8,
)


def days_of(windows: Any) -> list[datetime]:
    """Every day of every window: the windows' ends are whole days."""
    return [start + timedelta(days=n) for start, end in windows for n in range((end - start).days)]


def windows_of(stages: Any) -> list[tuple[datetime, datetime]]:
    return [(stage.start_at, stage.end_at) for stage in stages]


@given(partitions)
def test_skip_and_merge_cover_the_same_once(asked: list[tuple[datetime, datetime]]) -> None:
    for overlap in ("skip", "merge"):
        stages = plan_partitions(asked, overlap=overlap)  # type: ignore[arg-type]
        days = days_of(windows_of(stages))
        assert len(days) == len(set(days))
        assert set(days) == set(days_of(asked))
        assert len({stage.name for stage in stages}) == len(stages)


@given(partitions)
def test_refuse_takes_only_what_does_not_overlap(asked: list[tuple[datetime, datetime]]) -> None:
    days = days_of(asked)
    if len(days) == len(set(days)):
        assert windows_of(plan_partitions(asked)) == asked
    else:
        with pytest.raises(ConfigurationError, match=r"overlap|twice"):
            plan_partitions(asked)


def test_overwrite_takes_them_as_given() -> None:
    asked = [(day(0), day(3)), (day(0), day(2)), (day(1), day(2))]
    stages = plan_partitions(asked, overlap="overwrite")
    assert windows_of(stages) == asked
    assert len({stage.name for stage in stages}) == 3


def test_skip_leaves_pieces_in_order() -> None:
    stages = plan_partitions([(day(2), day(3)), (day(0), day(5)), (day(1), day(4))], overlap="skip")
    assert windows_of(stages) == [(day(2), day(3)), (day(0), day(2)), (day(3), day(5))]


def test_partitions_that_touch_do_not_overlap() -> None:
    asked = [(day(0), day(1)), (day(1), day(2))]
    assert windows_of(plan_partitions(asked)) == asked
    assert windows_of(plan_partitions(asked, overlap="merge")) == asked


@pytest.mark.parametrize(
    ("asked", "overlap", "match"),
    [
        ([], "refuse", "at least one"),
        ([(day(0), day(1))], "replace", "overlap must be one of refuse, skip"),
        ([(day(0), day(1)), (day(3), day(2))], "refuse", "partition 2: end_at"),
        ([(day(0),)], "refuse", "partition 1 must be a pair"),
        (["2026-01-01"], "refuse", "partition 1 must be a pair"),
        ([(day(0), day(1)), (day(0), day(1))], "overwrite", "there twice"),
        ([(day(0), day(9)), (day(1), day(2)), (day(8), day(10))], "refuse", r"01-10.*overlap"),
    ],
)
def test_bad_partitions_are_named(asked: Any, overlap: Any, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        plan_partitions(asked, overlap=overlap)
