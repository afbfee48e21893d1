"""Reading `X-RateLimit-*` (facts §2, "Rate-limit headers")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from planasonix.engine.retry_after import LONGEST_BELIEVED_SECONDS

_NUMBER = re.compile(r"[0-9]{1,12}")

# The sample shows epoch seconds; other deployments count down. Nothing that counts down is this large.
_SMALLEST_EPOCH = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RateState:
    """What one answer said. `limit` and `reset_in_seconds` are None where it did not say."""

    remaining: int
    limit: int | None
    reset_in_seconds: float | None


def read_rate_headers(headers: Mapping[str, str], now: float) -> RateState | None:
    """The rate headers of an answer, or None without a readable `X-RateLimit-Remaining`.

    `now` is the local time in epoch seconds, used for a reset date only if the answer has no `Date`.
    """
    remaining = _number(headers, "x-ratelimit-remaining")
    if remaining is None:
        return None
    limit = _number(headers, "x-ratelimit-limit")
    reset = _number(headers, "x-ratelimit-reset")
    reset_in: float | None = None
    if reset is not None:
        reset_in = float(reset) if reset < _SMALLEST_EPOCH else max(0.0, reset - server_time(headers, now))
        if reset_in > LONGEST_BELIEVED_SECONDS:
            reset_in = None
    return RateState(remaining, limit or None, reset_in)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "").strip()
    return int(value) if _NUMBER.fullmatch(value) else None


def server_time(headers: Mapping[str, str], now: float) -> float:
    """The server's now in epoch seconds: its `Date` header, else the local `now`. Our clock may differ from
    its.
    """
    try:
        moment = parsedate_to_datetime(headers["date"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return now
