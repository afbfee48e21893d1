"""Contenders in turn, in short blocks, so that a machine whose speed drifts is fair to all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

# Makes that many calls.
Block: TypeAlias = Callable[[int], None]


def in_turn(contenders: Mapping[str, Block], *, rounds: int, calls: int) -> dict[str, list[float]]:
    """Seconds a call of each contender, one figure a round; before it, one round that does not count.

    The next round begins with the next contender, so that none always follows the same other one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(-1, rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began = time.perf_counter()
            contenders[name](calls)
            if number >= 0:
                seconds[name].append((time.perf_counter() - began) / calls)
    return seconds


def speed_beside(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Our calls per second as a multiple of theirs: the median over the rounds."""
    return statistics.median(their / our for their, our in zip(theirs, ours, strict=True))


def microseconds_on_top(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """What our call takes more than theirs: the median over the rounds."""
    return statistics.median(our - their for their, our in zip(theirs, ours, strict=True)) * 1e6


def best_speed_beside(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """As `speed_beside`, by each one's quickest round: what else a machine does only ever makes a round slower."""
    return min(theirs) / min(ours)


def best_microseconds_on_top(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """As `microseconds_on_top`, by each one's quickest round."""
    return (min(ours) - min(theirs)) * 1e6
