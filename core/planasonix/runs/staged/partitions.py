"""Explicit partitions as stages: what to do where they overlap is for the user to say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Literal, cast, get_args

from planasonix.errors import ConfigurationError
from planasonix.runs.staged.windows import STAGES_AT_MOST, Stage, stamp, window_of

Overlap = Literal["refuse", "skip", "merge", "overwrite"]
Window = tuple[datetime, datetime]


def plan_partitions(
    partitions: Iterable[Sequence[datetime | str]],
    *,
    overlap: Overlap = "refuse",
    stages_at_most: int = STAGES_AT_MOST,
) -> tuple[Stage, ...]:
    """One stage for each half-open `(start, end)`, in the order given.

    Where two overlap: `refuse` raises and names them, `skip` leaves out of the later one what the earlier ones cover,
    `merge` makes one stage of all that overlap (in the order of time), `overwrite` takes them as given. Raises
    `ConfigurationError`, which names field and fix.
    """
    if overlap not in get_args(Overlap):
        raise ConfigurationError(
            f"overlap must be one of {', '.join(get_args(Overlap))}, got {overlap!r}.", field="overlap"
        )
    windows = [_window(number, pair) for number, pair in enumerate(_listed(partitions), 1)]
    if not windows:
        raise ConfigurationError("partitions must hold at least one (start, end).", field="partitions")
    if overlap == "merge":
        windows = _merged(windows)
    elif overlap == "skip":
        windows = _first_come(windows)
    else:
        _check(windows, overlap)
    if len(windows) > stages_at_most:
        raise ConfigurationError(
            f"There are {len(windows):,} partitions, more than {stages_at_most:,}.",
            field="partitions",
            hint="Give fewer, longer ones, or ask in several calls.",
        )
    # The end belongs to the name: another partition with the same start may join the list later.
    return tuple(Stage(f"{stamp(start)}-{stamp(end)}", start, end) for start, end in windows)


def _listed(partitions: object) -> Iterable[object]:
    """What a template rendered may be anything; a text would silently become its letters."""
    if isinstance(partitions, str) or not isinstance(partitions, Iterable):
        raise ConfigurationError(f"partitions must be a list of (start, end), got {partitions!r}.", field="partitions")
    return cast(Iterable[object], partitions)


def _window(number: int, value: object) -> Window:
    pair = cast(Sequence[object], value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if len(pair) != 2:
        raise ConfigurationError(f"partition {number} must be a pair (start, end), got {value!r}.", field="partitions")
    try:
        return window_of(pair[0], pair[1])
    except ConfigurationError as error:
        raise ConfigurationError(f"partition {number}: {error.message}", field="partitions", hint=error.hint) from error


def _check(windows: list[Window], overlap: Overlap) -> None:
    in_time = sorted(windows)
    for one, other in pairwise(in_time):
        if one == other:
            raise ConfigurationError(
                f"partition {_text(one)} is there twice.", field="partitions", hint="Leave one of them out."
            )
    if overlap == "overwrite":
        return
    widest = in_time[0]
    for window in in_time[1:]:
        if window[0] < widest[1]:
            raise ConfigurationError(
                f"partitions {_text(widest)} and {_text(window)} overlap.",
                field="partitions",
                hint='Change one of them, or set overlap="skip", "merge" or "overwrite".',
            )
        widest = max(widest, window, key=lambda each: each[1])


def _merged(windows: list[Window]) -> list[Window]:
    merged: list[Window] = []
    for start, end in sorted(windows):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _first_come(windows: list[Window]) -> list[Window]:
    """Each window without what the earlier ones cover: nothing, one piece or several are left of it."""
    covered: list[Window] = []
    kept: list[Window] = []
    for window in windows:
        start, end = window
        pieces: list[Window] = []
        for taken_start, taken_end in _merged(covered):
            if taken_end <= start or taken_start >= end:
                continue
            if taken_start > start:
                pieces.append((start, taken_start))
            start = max(start, taken_end)
        if start < end:
            pieces.append((start, end))
        kept += pieces
        covered.append(window)
    return kept


def _text(window: Window) -> str:
    return f"[{window[0].isoformat()}, {window[1].isoformat()})"
