"""A watcher's stream: the inbox's events from the watermark on, acknowledged once Airflow keeps what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airflow_provider_planasonix.push.event_filter import EventFilter
from airflow_provider_planasonix.push.preparing import prepare_to_watch
from airflow_provider_planasonix.push.put_off import PutOff
from airflow_provider_planasonix.push.tail import AT_ONCE, Tail
from airflow_provider_planasonix.push.watermark import Watermark
from airflow_provider_planasonix.triggers.lines import LogLines
from planasonix.errors import PlanasonixError, redact

if TYPE_CHECKING:
    from planasonix.webhooks import StoredEvent

MOST_UNCONFIRMED = 200
"""Events that Airflow has not stored yet. It fails a watcher that has 1,024 unread ones."""
LOOK_SECONDS = 30.0
"""Without any news: an inbox that was away, or made anew, is looked at again after it."""
SAVE_SECONDS = 60.0
"""Between two writes of the watermark while nothing matches: a restart then reads little in vain."""
LONGEST_PAUSE_SECONDS = 60.0
SETTLE_SECONDS = 5.0
"""Airflow 3.3 starts no run for an asset event that comes while an earlier one of its asset is still queued, until a
further one comes. So the last of several that come close together waits this long: its run has those before it too."""


class InboxProducer(SharedStreamProducer):
    """Yields a payload and its event's number. Never ends and never raises: Airflow would start it anew each second.

    An event is passed once Airflow has stored what came of it. One that was stored, and whose confirmation a killed
    triggerer did not see, comes again, with the same `event_id`.
    """

    def __init__(self, event_filter: EventFilter, watermark: Watermark, planasonix_conn_id: str, log: LogLines) -> None:
        self._filter, self._watermark, self._conn_id, self._log = event_filter, watermark, planasonix_conn_id, log
        self._news = asyncio.Event()
        self._advanced = asyncio.Event()
        self._unconfirmed = 0
        self._held: list[tuple[Any, int]] = []
        self._put_off = PutOff()
        self._stored = 0
        self._handed_at = float("-inf")
        self._inbox = ""
        self._seen = self._saved = 0
        self._saved_at = 0.0

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        pause = 1.0
        while True:
            try:
                # Airflow makes this object on the loop of all triggers: what takes long to import comes here.
                await asyncio.to_thread(prepare_to_watch)
                from airflow_provider_planasonix.push.listening import feel_events, inbox_url_of_process

                await feel_events()
                url = await asyncio.to_thread(inbox_url_of_process)
                if url is None:
                    self._log.warning("[planasonix] inbox_url is not set: this watcher waits in vain.")
                    await asyncio.sleep(3600)
                    continue
                async for item in self._events(url):
                    pause = 1.0
                    yield item
            except PlanasonixError as error:
                self._log.warning(f"no events for now, trying again: {error.headline()}")
            except Exception as error:
                self._log.warning(f"no events for now, trying again: {redact(repr(error))}")
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)

    async def _events(self, url: str) -> AsyncIterator[tuple[Any, Any]]:
        from planasonix.webhooks import InboxListener

        tail = Tail.of(url)
        loop = asyncio.get_running_loop()
        listener = await asyncio.to_thread(InboxListener.for_url, url)

        def hear(stored: StoredEvent) -> None:
            tail.heard(stored.seq)
            self._news.set()

        # Recent ones too: what is stored between this and a new listener's first look counts as such.
        with listener.subscribe(hear, loop=loop, recent=True):
            await self._find_place(tail)
            while True:
                self._news.clear()
                batch = await tail.after(self._seen)
                for stored in (*self._put_off.due(), *batch):
                    if self._due_in() <= 0:
                        yield await self._hand_over()
                    told = await self._told(stored)
                    if told is not None:
                        if self._held:
                            yield await self._hand_over()
                        self._held.append((self._filter.payload(told), stored.seq))
                    self._seen = max(self._seen, stored.seq)
                if len(batch) < AT_ONCE:
                    if self._due_in() <= 0:
                        yield await self._hand_over()
                    await self._save_if_idle()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(min(LOOK_SECONDS, self._due_in(), self._put_off.due_in())):
                            await self._news.wait()
                            continue
                    if not self._held:
                        await self._find_place(tail)

    def _due_in(self) -> float:
        """Seconds until the event that waits may be handed over; endless without one."""
        return self._handed_at + SETTLE_SECONDS - time.monotonic() if self._held else float("inf")

    async def _hand_over(self) -> tuple[Any, Any]:
        await self._room()
        self._handed_at = time.monotonic()
        self._unconfirmed += 1
        return self._held.pop()

    async def _told(self, stored: StoredEvent) -> StoredEvent | None:
        """The event as the API confirms it, if the watcher takes it; one that is not confirmed yet is put off. Raises
        while the API is away: nothing is lost.
        """
        if not self._filter.may_take(stored):
            return None
        from airflow_provider_planasonix.push.confirm import Confirmer, Unconfirmed

        try:
            told = await Confirmer.of(self._conn_id).confirmed(stored, self._log)
        except Unconfirmed as error:
            if not self._put_off.again(stored):
                self._log.warning(f"event {stored.seq} is passed over: {error}")
            return None
        fires = self._filter.takes(told)
        self._put_off.settle(stored.seq, fires=fires)
        return told if fires else None

    async def _find_place(self, tail: Tail) -> None:
        """At first: now. After a restart: the watermark. In another inbox at the same address: its begin."""
        inbox, last = await tail.now()
        # What came while nobody listened.
        tail.heard(last)
        if not self._inbox:
            place = await self._watermark.read()
            if place is None:
                self._seen = last
                await self._watermark.write(inbox, last)
            else:
                self._inbox, self._seen = place
        if self._inbox and (self._inbox != inbox or last < self._seen):
            self._log.warning("the inbox is another one than before: its events are read from the begin")
            self._seen = self._stored = 0
            self._put_off.forget()
        if self._inbox != inbox:
            self._inbox, self._saved = inbox, self._seen

    async def _room(self) -> None:
        while self._unconfirmed >= MOST_UNCONFIRMED:
            self._advanced.clear()
            await self._advanced.wait()

    async def _save_if_idle(self) -> None:
        is_idle = self._unconfirmed == 0 and not self._held
        if is_idle and self._seen > self._saved and time.monotonic() - self._saved_at > SAVE_SECONDS:
            self._stored = self._seen
            await self._save()

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Airflow has stored what came of these. Raises where it has not: the stream begins anew at the watermark."""
        self._unconfirmed -= len(batch)
        self._advanced.set()
        for item in batch:
            if not item.outcome.is_clean:
                raise RuntimeError("Airflow did not keep an event: it comes again.")
        try:
            for item in batch:
                self._put_off.stored(item.broker_payload)
                self._stored = max(self._stored, item.broker_payload)
            await self._save()
        except Exception as error:
            # The next one says more. Ending the stream for it would repeat what Airflow has.
            self._log.warning(f"the watermark was not written: {redact(repr(error))}")

    async def _save(self) -> None:
        self._saved_at = time.monotonic()
        # What was put off comes again after a restart, with what came after it.
        seq = self._put_off.below(self._stored)
        await self._watermark.write(self._inbox, seq)
        self._saved = seq
