"""The rate limit per key: fixed windows of virtual time, told in the caller's time."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import formatdate
from math import ceil

from .clock import VirtualClock
from .switches import Switches


@dataclass
class RateLimiter:
    _windows: dict[str, tuple[float, int]] = field(default_factory=dict)

    def count(self, api_key: str, clock: VirtualClock, switches: Switches) -> tuple[dict[str, str], bool]:
        """Counts one call. Returns the headers to send and whether the call is within the limit."""
        limit = switches.rate_limit
        if limit is None:
            return {}, True
        now = clock.time()
        begun, calls = self._windows.get(api_key, (now, 0))
        if now - begun >= switches.rate_window_seconds:
            begun, calls = now, 0
        within = calls < limit
        self._windows[api_key] = (begun, calls + within)
        wait = clock.real_seconds(begun + switches.rate_window_seconds - now)
        headers: dict[str, str] = {}
        if switches.rate_headers:
            headers = {
                "x-ratelimit-limit": str(limit),
                "x-ratelimit-remaining": str(max(0, limit - calls - within)),
                "x-ratelimit-reset": str(ceil(clock.caller_time() + wait)),
            }
        if not within:
            headers["retry-after"] = retry_after(wait, clock, switches.retry_after_format)
        return headers, within


def retry_after(seconds: float, clock: VirtualClock, written_as: str) -> str:
    """The hint, rounded up so that obeying it is always enough."""
    if written_as == "date":
        return formatdate(ceil(clock.caller_time() + seconds), usegmt=True)
    return str(max(1, ceil(seconds)))
