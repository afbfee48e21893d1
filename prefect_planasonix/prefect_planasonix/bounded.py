"""Blocking calls of Prefect's API on behalf of the loop, none of which is waited for without end.

A server that is away costs a call up to a minute for each try of Prefect's client. Where the work does not hang on the
answer, nobody waits that long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

NOTE_SECONDS = 10.0
"""How long a note or a look is awaited that the work can do without."""


async def within(seconds: float, blocking: Callable[[], T]) -> T:
    """What the call returns or raises; `TimeoutError` past the bound. Its thread goes on behind."""
    async with asyncio.timeout(max(0.0, seconds)):
        return await asyncio.to_thread(blocking)
