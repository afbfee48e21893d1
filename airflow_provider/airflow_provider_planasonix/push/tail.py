"""The newest events of an inbox, read once for all watchers of a triggerer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from planasonix.webhooks import Inbox, StoredEvent

AT_ONCE = 200

_tails: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Tail]] = WeakKeyDictionary()


class Tail:
    """Reads in a thread. Watchers that stand at the same place, as all do but those that catch up, share a read."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._inbox: Inbox | None = None
        self._reading = asyncio.Lock()
        self._after, self._heard = -1, 0
        self._batch: list[StoredEvent] = []

    @classmethod
    def of(cls, url: str) -> Tail:
        """The one of the running event loop."""
        return _tails.setdefault(asyncio.get_running_loop(), {}).setdefault(url, cls(url))

    async def now(self) -> tuple[str, int]:
        """Which inbox it is, and its last number. Raises what the inbox raises."""
        return await asyncio.get_running_loop().run_in_executor(_reader(), self._now)

    def heard(self, seq: int) -> None:
        """There is an event of this number: a batch that ends before it is read again."""
        self._heard = max(self._heard, seq)

    async def after(self, seq: int) -> list[StoredEvent]:
        """The events above a number, in order, `AT_ONCE` at most. Raises what the inbox raises."""
        async with self._reading:
            if seq != self._after or not self._has_all():
                self._batch = await asyncio.get_running_loop().run_in_executor(_reader(), self._read, seq)
                self._after = seq
            return self._batch

    def _has_all(self) -> bool:
        last = self._batch[-1].seq if self._batch else self._after
        return len(self._batch) == AT_ONCE or last >= self._heard

    def _open(self) -> Inbox:
        if self._inbox is None:
            from planasonix.webhooks import Inbox

            self._inbox = Inbox.open(self._url)
        return self._inbox

    def _now(self) -> tuple[str, int]:
        inbox = self._open()
        return inbox.identity, inbox.last_seq()

    def _read(self, seq: int) -> list[StoredEvent]:
        return self._open().read(seq, AT_ONCE)


@cache
def _reader() -> ThreadPoolExecutor:
    # Not the loop's own threads: Airflow's lines may occupy them all while its log is stuck.
    return ThreadPoolExecutor(1, thread_name_prefix="planasonix-inbox")
