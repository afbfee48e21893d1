"""When a trigger may fire: not before Airflow has seen the deferral of its task through."""

from __future__ import annotations

import asyncio
import time

DEFERRAL_SECONDS = 8.0
"""No event is fired earlier than this after a deferral: Airflow may fail a task that is resumed before its executor has
noticed that it was deferred (apache/airflow 71580, 72716).
"""


async def hold_off(deferred_at: float) -> None:
    """Wait until `DEFERRAL_SECONDS` after `deferred_at` (seconds since the epoch); not at all for 0."""
    # Never longer than that, also where this machine's clock is behind the worker's.
    await asyncio.sleep(min(DEFERRAL_SECONDS, max(0.0, deferred_at + DEFERRAL_SECONDS - time.time())))
