"""A partition key as a half-open window: what the key says of time, and nothing that it does not say."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import NoReturn, cast
from zoneinfo import ZoneInfo

from planasonix.errors import ConfigurationError
from planasonix.runs.staged.windows import day_begins, instant, length_of, window_of, zone_of

_YEAR, _DAY = r"(?P<year>\d{4})", r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_MOMENT = _DAY + r"[T ](?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d))?"
_SHAPES = (
    (re.compile(_YEAR, re.ASCII), "12mo"),
    (re.compile(_YEAR + r"-Q(?P<quarter>[1-4])", re.ASCII), "3mo"),
    (re.compile(_YEAR + r"-(?P<month>\d\d)", re.ASCII), "1mo"),
    (re.compile(_YEAR + r"-W(?P<week>\d\d)", re.ASCII), "1w"),
    (re.compile(_DAY + r" \(W(?P<iso_week>\d\d)\)", re.ASCII), "1w"),
    (re.compile(_DAY, re.ASCII), "1d"),
    (re.compile(_DAY + r"[T ](?P<hour>\d\d)", re.ASCII), "1h"),
    # A moment says when a partition begins, and not how long it is.
    (re.compile(_MOMENT, re.ASCII), None),
)
_NAMES_AN_HOUR = re.compile(r"\d[T ]\d", re.ASCII)
_AWARE = re.compile(_MOMENT.replace("?P<second>", "") + r"(\.\d+)?(Z|[+-]\d\d:?\d\d)", re.ASCII)


def window_of_key(
    partition_key: str,
    *,
    partition_window: str | timedelta | None = None,
    partition_timezone: str = "UTC",
    partition_date: datetime | str | None = None,
) -> tuple[datetime, datetime]:
    """The window of one partition, both ends in UTC.

    A key that names a year (`2026`), quarter (`2026-Q1`), month (`2026-01`), week (`2026-W02`, `2026-01-05 (W02)`), day
    (`2026-01-05`) or hour (`2026-01-05T14`) is that whole period of the calendar in `partition_timezone`. A moment
    (`2026-01-05T00:00:00`, with an offset or without) is only a begin: `partition_window` says how long the partition
    is, as in `"1h"`, `"1d"`, `"1w"`, `"1mo"`. Days, weeks and months are counted on the zone's clocks, so that the next
    key's window begins where this one ends. `partition_window` also overrules the period that a key names, for a weekly
    schedule whose keys are days.

    `partition_date` is the begin as the orchestrator knows it, if it does: a key in another zone than it says is an
    error, and a key that nobody can read is that moment plus `partition_window`.

    Raises `ConfigurationError` for a key that says too little or contradicts itself, and for wrong parameters.

    >>> [each.isoformat() for each in window_of_key("2026-02")]
    ['2026-02-01T00:00:00+00:00', '2026-03-01T00:00:00+00:00']
    """
    zone = zone_of(partition_timezone, "partition_timezone")
    if not isinstance(cast("object", partition_key), str):
        _refuse(partition_key, "is no text", "Give the key of one partition, such as 2026-01-05.")
    begins, length = _read(partition_key)
    if begins is not None:
        # Far from it, days cannot be counted in every zone.
        instant("start_at", begins.replace(tzinfo=begins.tzinfo or UTC))
    if partition_window is not None:
        number, unit = length_of(partition_window, "partition_window")
        length = f"{number}{unit}"
    known = None if partition_date is None else _plain(instant("partition_date", partition_date))
    start = known if begins is None else _start(partition_key, begins, length, known, zone)
    if start is None:
        _refuse(partition_key, "names no period of time that can be read", "Give start_at and end_at.")
    if length is None:
        _refuse(
            partition_key,
            "says when the partition begins, and not how long it is",
            'Say it: partition_window="1d", or "1h", "1w", "1mo".',
        )
    return window_of(start, _end(partition_key, start, length, zone))


def _read(key: str) -> tuple[datetime | None, str | None]:
    """The begin that a key names, on its zone's clocks (aware if the key says an offset), and the period's length."""
    for shape, length in _SHAPES:
        if found := shape.fullmatch(key):
            part = {name: int(value) for name, value in found.groupdict().items() if value is not None}
            try:
                if "week" in part:
                    day = date.fromisocalendar(part["year"], part["week"], 1)
                else:
                    month = part.get("month") or 3 * part.get("quarter", 1) - 2
                    day = date(part["year"], month, part.get("day", 1))
                if part.get("iso_week") not in (None, day.isocalendar().week):
                    return None, None
                clock = part.get("hour", 0), part.get("minute", 0), part.get("second", 0)
                return datetime(day.year, day.month, day.day, *clock), length  # noqa: DTZ001 - its zone comes later
            except ValueError:
                return None, None
    if _AWARE.fullmatch(key):
        try:
            return datetime.fromisoformat(key).astimezone(UTC), None
        except (ValueError, OverflowError):
            pass
    return None, None


def _start(key: str, begins: datetime, length: str | None, known: datetime | None, zone: ZoneInfo) -> datetime:
    # An hour is that hour, also the first of a day that begins later than at midnight, or twice.
    of_hours = _NAMES_AN_HOUR.search(key) is not None and (length or "").endswith("h")
    if begins.tzinfo is not None:
        possible = {begins}
    elif begins.time() == time() and not of_hours:
        possible = {_plain(day_begins(begins.date(), zone))}
        if {start.astimezone(zone).date() for start in possible} != {begins.date()}:
            _refuse(key, f"begins on a day that the clocks of {zone.key} left out", "There is nothing to load for it.")
    else:
        possible = {begins.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    if known is not None:
        if known not in possible:
            _refuse(
                key,
                f"does not begin at its partition date {known.isoformat()} on the clocks of {zone.key}",
                "Set partition_timezone to the zone of the keys.",
            )
        return known
    if len(possible) > 1:
        _refuse(
            key,
            f"names an hour that comes twice or not at all on the clocks of {zone.key}",
            "Give start_at and end_at, or use keys in UTC.",
        )
    return possible.pop()


def _end(key: str, start: datetime, length: str, zone: ZoneInfo) -> datetime:
    number, unit = length_of(length, "partition_window")
    if unit == "h":
        return start + timedelta(hours=number)
    local = start.astimezone(zone)
    if unit == "mo":
        years, month = divmod(local.month - 1 + number, 12)
        if local.year + years > date.max.year:
            _refuse_too_long(length)
        try:
            day = date(local.year + years, month + 1, local.day)
        except ValueError:
            _refuse(key, f"begins on a day that not every month has: {local:%d}", "Give start_at and end_at.")
    else:
        try:
            day = local.date() + timedelta(days=number * (7 if unit == "w" else 1))
        except OverflowError:
            _refuse_too_long(length)
    # A day may begin with a change of its clocks, later than midnight.
    if start == day_begins(local.date(), zone):
        return day_begins(day, zone)
    return datetime.combine(day, local.time(), zone).astimezone(UTC)


def _plain(moment: datetime) -> datetime:
    """Orchestrators hand over subclasses of their own."""
    return datetime.combine(moment.date(), moment.time(), UTC)


def _refuse_too_long(length: str) -> NoReturn:
    raise ConfigurationError(
        f"partition_window ({length}) ends after the last day of the calendar.",
        field="partition_window",
        hint="As in 1h, 1d, 1w or 1mo.",
    )


def _refuse(key: object, why: str, hint: str) -> NoReturn:
    raise ConfigurationError(f"The partition key {key!r} {why}.", field="partition_key", hint=hint)
