"""What is told of deliveries that are turned away: each reason at once, and then how often, at most once a minute.

Who floods a receiver must not fill the disk with its log, nor hide another reason behind his.
"""

from __future__ import annotations

import asyncio
import logging

_REASONS = 50
_OTHERS = (0, "for reasons of many kinds")


class RefusalLog:
    """One line for a reason, then a sum each `seconds` for as long as it goes on. For one event loop."""

    def __init__(self, log: logging.Logger, seconds: float = 60.0) -> None:
        self._log, self._seconds = log, seconds
        self._more: dict[tuple[int, str], int] = {}

    def tell(self, status: int, digest: str, reason: str) -> None:
        """`digest` names the delivery, and is told of the first one; `reason` holds nothing of it."""
        key = (status, reason) if len(self._more) < _REASONS or (status, reason) in self._more else _OTHERS
        if key in self._more:
            self._more[key] += 1
            return
        self._more[key] = 0
        self._log.warning("Delivery %d: %s", status, f"{digest} {reason}".strip())
        asyncio.get_running_loop().call_later(self._seconds, self._sum, key)

    def _sum(self, key: tuple[int, str]) -> None:
        count = self._more.pop(key)
        if count:
            status, reason = key
            self._log.warning("Delivery %s: %s; %d more in %g s", status or "refused", reason, count, self._seconds)
            # Those that go on are summed too: the first of them needs no line of its own.
            self._more[key] = 0
            asyncio.get_running_loop().call_later(self._seconds, self._sum, key)
