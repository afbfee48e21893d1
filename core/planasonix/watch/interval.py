"""When to look again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from planasonix.errors import ConfigurationError

_SHARE_OF_AGE = 0.1
_JITTER = 0.1
_LONGEST_SECONDS = 3_155_760_000.0


def require_positive(field: str, value: object) -> None:
    """Raise `ConfigurationError` unless `value` is a number of seconds above zero, and below what a calendar holds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST_SECONDS:
        raise ConfigurationError(
            f"{field} must be a number of seconds above zero, a hundred years at most, got {value!r}.", field=field
        )


def jitter(rng: random.Random) -> float:
    """What a pause is multiplied with: at most 1, so that a fixed pause is a bound."""
    return 1 - _JITTER * rng.random()


@dataclass(frozen=True, slots=True)
class Interval:
    """The pause between two looks, in seconds.

    `fixed_seconds` asks for one pause all along. Without it the pause follows the run's age: a tenth of it, between
    `shortest_seconds` and `longest_seconds`, so that a short sync is seen soon and a long load costs few calls. The
    longest leaves a sweep and its reads the time to tell every one of ten thousand waits within 30 s of its run's end.
    A tenth of jitter keeps waiters that began together apart; it only ever shortens, so that a fixed pause is a bound.
    """

    fixed_seconds: float | None = None
    shortest_seconds: float = 2.0
    longest_seconds: float = 18.0

    def __post_init__(self) -> None:
        if self.fixed_seconds is not None:
            require_positive("poll_interval_seconds", self.fixed_seconds)

    def pause(self, age_seconds: float, rng: random.Random) -> float:
        """The next pause for a run of that age."""
        return self.base(age_seconds) * jitter(rng)

    def base(self, age_seconds: float, at_least: float = 0.0) -> float:
        """The same without jitter. `at_least` lengthens an adaptive pause, up to the longest: looks that cost many
        calls are taken more rarely.
        """
        if self.fixed_seconds is not None:
            return self.fixed_seconds
        return min(self.longest_seconds, max(self.shortest_seconds, at_least, _SHARE_OF_AGE * age_seconds))
