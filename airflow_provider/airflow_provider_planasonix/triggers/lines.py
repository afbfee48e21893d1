"""What a trigger logs while it waits, written in a thread: a line must not hold up the other triggers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from typing import Any

PATIENCE_SECONDS = 3.0
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
        self._tell(self._log.info, text)

    def warning(self, text: str) -> None:
        """As `info`, for what a user should see to."""
        self._tell(self._log.warning, text)

    def _tell(self, write: Callable[[str], None], text: str) -> None:
        self._last = _writer().submit(copy_context().run, _write, write, text)

    async def written(self, seconds: float | None = None) -> None:
        """Wait until all of them are written, three seconds at most or `seconds`; no line that is lost fails anybody.

        A trigger that a restart ends waits for none: its next triggerer tells again where the run stands.
        """
        if self._last is not None:
            patience = PATIENCE_SECONDS if seconds is None else seconds
            await asyncio.wait([asyncio.wrap_future(self._last)], timeout=patience)


def _write(write: Callable[[str], None], text: str) -> None:
    # An error that nobody asks for is told of by asyncio, in a log that has just failed.
    with suppress(Exception):
        write(text)


@cache
def _writer() -> ThreadPoolExecutor:
    # One thread for all triggers: it keeps the order, and there is but one socket.
    return ThreadPoolExecutor(1, thread_name_prefix="planasonix-log")


# A child process has the pool without its thread.
os.register_at_fork(after_in_child=_writer.cache_clear)
