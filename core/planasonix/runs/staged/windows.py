"""Cut a window into stages: half-open, without gap or overlap, whatever the clocks of a time zone do in it.

The cuts are the calendar's where it has any: a longer window asked for later then has the same stages in its middle,
and what was loaded need not be loaded again. `"3mo"` are the quarters of the year, `"6h"` those of a day. What the
calendar does not know, as `"4d"` or `"36h"`, is counted from the window's first day, Monday or month: a later end keeps
those stages, an earlier start does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from planasonix.errors import ConfigurationError

STAGES_AT_MOST = 1_000
_SHAPE = re.compile(r"([1-9][0-9]{0,5})(h|d|w|mo)")
_FIRST_YEAR, _LAST_YEAR = 1900, 9000
"""Years whose days can be counted in every zone; nobody has data beyond them."""


@dataclass(frozen=True)
class Stage:
    """A half-open part of a window, in UTC. `name` is unique in its plan, and the same in every plan that has it."""

    name: str
    start_at: datetime
    end_at: datetime


def plan_stages(
    start_at: datetime | str,
    end_at: datetime | str,
    stage: str | timedelta,
    *,
    timezone: str = "UTC",
    stages_at_most: int = STAGES_AT_MOST,
) -> tuple[Stage, ...]:
    """Cut [`start_at`, `end_at`) at the natural boundaries of `stage`; the first and the last stage may be shorter.

    `stage` is `"6h"`, `"1d"`, `"1w"`, `"3mo"` and so on, or a timedelta of whole hours or days. Days, weeks (from
    Monday) and months are the calendar's in `timezone`: the day on which its clocks change has 23 or 25 hours, or
    whatever it has there. Hours are of 60 minutes, and counted from each local midnight if they divide a day. Both
    ends are aware datetimes or ISO 8601 texts with an offset. Raises `ConfigurationError`, which names field and fix.

    >>> [stage.name for stage in plan_stages("2026-01-30T00:00Z", "2026-03-02T00:00Z", "1mo")]
    ['20260130T000000Z', '20260201T000000Z', '20260301T000000Z']
    """
    start, end = window_of(start_at, end_at)
    cuts = _cuts_of(stage, zone_of(timezone))
    stages: list[Stage] = []
    begin = start
    for cut in (*_within(cuts(start), start, end, stages_at_most), end):
        stages.append(Stage(stamp(begin), begin, cut))
        begin = cut
    if len(stages) > stages_at_most:
        raise _too_many(stages_at_most)
    return tuple(stages)


def window_of(start_at: object, end_at: object) -> tuple[datetime, datetime]:
    """Both ends in UTC. Raises `ConfigurationError` for what is no window."""
    start, end = instant("start_at", start_at), instant("end_at", end_at)
    if end <= start:
        raise ConfigurationError(
            f"end_at ({end.isoformat()}) must be after start_at ({start.isoformat()}): the window has no instant in "
            "it.",
            field="end_at",
        )
    return start, end


def instant(field: str, value: object) -> datetime:
    """An aware datetime or an ISO 8601 text with an offset, in UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
            if _FIRST_YEAR <= moment.year < _LAST_YEAR:
                return moment
    except (ValueError, OverflowError):
        pass
    raise ConfigurationError(
        f"{field} must be a moment with a time zone, between the years {_FIRST_YEAR} and {_LAST_YEAR}, got {value!r}.",
        field=field,
        hint="An aware datetime, or an ISO 8601 text with an offset such as 2026-01-01T00:00:00Z.",
    )


def _within(cuts: Iterator[datetime], start: datetime, end: datetime, at_most: int) -> Iterator[datetime]:
    """The cuts inside the window, each once: a zone that skips a day has two boundaries in one instant."""
    last, count = start, 1
    for cut in cuts:
        if cut >= end:
            return
        if cut > last:
            count += 1
            if count > at_most:
                raise _too_many(at_most)
            yield cut
            last = cut


def _too_many(at_most: int) -> ConfigurationError:
    return ConfigurationError(
        f"The window has more than {at_most:,} stages.",
        field="stage",
        hint="Choose a longer stage, or cut the window in two.",
    )


def zone_of(timezone: str, field: str = "timezone") -> ZoneInfo:
    """The zone of that name. Raises `ConfigurationError` for a name that is none."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise ConfigurationError(
            f"{field} must be the name of a time zone, got {timezone!r}.",
            field=field,
            hint="For example Europe/Paris. On a machine without time zone data: pip install tzdata.",
        ) from error


Cuts = Callable[[datetime], Iterator[datetime]]
"""From an instant: boundaries in order, beginning at or before it."""


def _cuts_of(stage: object, zone: ZoneInfo) -> Cuts:
    count, unit = length_of(stage)
    if unit == "mo":
        return lambda start: (day_begins(day, zone) for day in _months(_local_date(start, zone), count))
    if unit == "d":
        return lambda start: (day_begins(day, zone) for day in _days(_local_date(start, zone), count))
    if unit == "w":
        return lambda start: (day_begins(day, zone) for day in _days(_monday(_local_date(start, zone)), 7 * count))
    if count < 24 and 24 % count == 0:
        return lambda start: _hours_of_days(_local_date(start, zone), timedelta(hours=count), zone)
    return lambda start: _hours(day_begins(_local_date(start, zone), zone), timedelta(hours=count))


def length_of(stage: object, field: str = "stage") -> tuple[int, str]:
    """A length of time as number and unit: `h`, `d`, `w` or `mo`. Raises `ConfigurationError`."""
    if isinstance(stage, timedelta):
        hours, rest = divmod(stage, timedelta(hours=1))
        if hours > 0 and not rest:
            return (hours // 24, "d") if hours % 24 == 0 else (hours, "h")
    elif isinstance(stage, str) and (shape := _SHAPE.fullmatch(stage)):
        return int(shape[1]), shape[2]
    raise ConfigurationError(
        f"{field} must be a length of time, got {stage!r}.",
        field=field,
        hint="As in 6h, 1d, 1w or 1mo, or a timedelta of whole hours or days.",
    )


def _local_date(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _days(day: date, step: int) -> Iterator[date]:
    for ordinal in range(day.toordinal(), date.max.toordinal(), step):
        yield date.fromordinal(ordinal)


def _months(day: date, step: int) -> Iterator[date]:
    """The firsts of every `step`th month, from January on where they divide a year."""
    month = day.year * 12 + day.month - 1
    if 12 % step == 0:
        month -= month % step
    for number in range(month, date.max.year * 12, step):
        yield date(number // 12, number % 12 + 1, 1)


def _hours_of_days(day: date, step: timedelta, zone: ZoneInfo) -> Iterator[datetime]:
    for each in _days(day, 1):
        cut, next_day = day_begins(each, zone), day_begins(each + timedelta(days=1), zone)
        while cut < next_day:
            yield cut
            cut += step


def _hours(cut: datetime, step: timedelta) -> Iterator[datetime]:
    while True:
        yield cut
        cut += step


def day_begins(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of the local day, in UTC.

    Midnight may come twice (the first counts) or not at all, where clocks go forward at or around midnight: then the
    day begins with that change. A day that a zone left out begins with the next one.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    begins = midnight.astimezone(UTC)
    if begins.astimezone(zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return begins
    # No such midnight: the change lies between what the clocks before it and those after it make of it.
    before, after = midnight.replace(fold=1).astimezone(UTC), begins
    before, after = min(before, after), max(before, after)
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def stamp(moment: datetime) -> str:
    """An instant as stage names have it: `20260101T000000Z`."""
    return f"{moment:%Y%m%dT%H%M%S}{f'.{moment.microsecond:06}' if moment.microsecond else ''}Z"
