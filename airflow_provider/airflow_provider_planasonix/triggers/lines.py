"""What a trigger logs while it waits, written in a thread: a line must not hold up the other triggers."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any

PATIENCE_SECONDS = 10.0
"""How long an event waits for the lines before it. The triggerer closes a trigger's log with its end."""


class LogLines:
    """Logs sentences in their order, off the event loop.

    A triggerer's log goes through a socket to its parent process, which reads none of it while it writes to the
    database. With many triggers the socket is full by then, and whoever writes a line on the loop stops all of them:
    that is what `triggers.blocked_main_thread` counted when hundreds of waits ended together.

        lines = LogLines(self.log)
        lines.info("job job_1 is running")
        await lines.written()
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._last: Future[None] | None = None

    def info(self, text: str) -> None:
        """Log a sentence soon. Airflow finds the trigger that a line belongs to in the context of whoever logs."""
        self._last = _writer().submit(copy_context().run, self._log.info, text)

    async def written(self) -> None:
        """Wait until all of them are written, ten seconds at most; a line that cannot be written fails nobody."""
        if self._last is not None:
            await asyncio.wait([asyncio.wrap_future(self._last)], timeout=PATIENCE_SECONDS)


@cache
def _writer() -> ThreadPoolExecutor:
    # One thread for all triggers: it keeps the order, and there is but one socket.
    return ThreadPoolExecutor(1, thread_name_prefix="planasonix-log")
