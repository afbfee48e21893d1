"""How long to wait between tries."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter.

    The wait after the n-th failed try is drawn evenly from 0 to `first_seconds * factor ** (n - 1)`, at most
    `cap_seconds`. Full jitter, because callers that failed together must not come back together.
    """

    first_seconds: float = 0.5
    factor: float = 2.0
    cap_seconds: float = 30.0

    def ceiling(self, failures: int) -> float:
        """The longest wait, in seconds, after `failures` failed tries (1 or more)."""
        # Beyond 2 ** 32 the cap has long been reached, and a float would overflow.
        return min(self.cap_seconds, self.first_seconds * self.factor ** min(failures - 1, 32))

    def delay(self, failures: int, rng: random.Random) -> float:
        """The wait, in seconds, after `failures` failed tries (1 or more)."""
        return rng.uniform(0.0, self.ceiling(failures))
