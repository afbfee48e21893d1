"""The runs of one kind under watch, and the loop that looks at them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from typing import Any

from planasonix.watch.agenda import Agenda
from planasonix.watch.interval import jitter
from planasonix.watch.protocols import AsyncRunReader, Kind
from planasonix.watch.round import Rounds
from planasonix.watch.watched import Watched

log = logging.getLogger(__name__)

_LOOK_AHEAD = 0.5
"""Runs that are due within this share of a pause are looked at together: a sweep shows them all."""

_REST = 0.1
"""The share of a pause that passes after a round in any case, however slow the API was."""

_AT_A_TIME = 500
"""Runs that are put on the agenda before other tasks of the event loop get their turn: about two milliseconds."""

_HURRIED_READS = 10
"""Hurried runs that are read at a time, beside the round that may be under way."""


class Group:
    """All runs of a kind that are waited for, with their due times.

    `_look_on` takes the rounds. Beside it `_read_hurried` reads at once what must not wait for the end of a long one:
    runs never seen, and those that somebody heard of.
    """

    def __init__(self, kind: Kind, rng: random.Random, on_defect: Callable[[BaseException], None]) -> None:
        self._kind: Kind = kind
        self.runs: dict[str, Watched] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._rng = rng
        self._on_defect = on_defect
        self._rounds = Rounds(kind)
        self._agenda = Agenda()
        self._wake = asyncio.Event()
        self._sleeps_until = inf
        self._hurried: OrderedDict[str, Watched] = OrderedDict()
        self._reading_hurried = 0
        self._looks_on = False

    def expect(self, one: Watched, now: float) -> None:
        """Look at this run after the pause that its most urgent waiter wishes, or earlier."""
        pause = self._pause_of(one, now, self._cost_seconds()) * jitter(self._rng)
        one.pause_seconds = pause
        due_at = now + pause
        if due_at < one.due_at:
            self._agenda.put(one, due_at)
            if due_at < self._sleeps_until:
                self._wake.set()

    def hurry(self, loop: asyncio.AbstractEventLoop, reader: AsyncRunReader, one: Watched) -> None:
        """Read this run now."""
        self._hurried[one.run_id] = one
        if self._reading_hurried < _HURRIED_READS:
            self._reading_hurried += 1
            self._start(loop, self._read_hurried(loop, reader), "read")

    def keep_looking(self, loop: asyncio.AbstractEventLoop, reader: AsyncRunReader) -> None:
        """Start the rounds, unless they go on."""
        if not self._looks_on:
            self._looks_on = True
            self._start(loop, self._look_on(loop, reader), "watch")

    async def stop(self) -> None:
        """End all tasks, and return when they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_on(self, loop: asyncio.AbstractEventLoop, reader: AsyncRunReader) -> None:
        try:
            while True:
                self._wake.clear()
                self._sleeps_until = self._agenda.soonest()
                if self._sleeps_until <= loop.time():
                    await self._round(loop, reader)
                    continue
                try:
                    # A new waiter may be due earlier than what we sleep for.
                    async with asyncio.timeout_at(None if self._sleeps_until == inf else self._sleeps_until):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            self._looks_on = False

    async def _round(self, loop: asyncio.AbstractEventLoop, reader: AsyncRunReader) -> None:
        began = loop.time()
        sweeps = self._a_sweep_pays(reader, began)
        if sweeps:
            looked_at = list(self.runs.values())
        else:
            looked_at = self._agenda.take(began, self._rounds.reads_at_most(reader, len(self.runs)))
        look = self._rounds.sweep if sweeps else self._rounds.read_each
        try:
            await look(reader, self._not_hurried(looked_at), began)
        except Exception:
            # Whatever goes wrong in a round must end no wait: the next round looks again.
            log.exception("a round of looking at %d %ss failed; looking again", len(looked_at), self._kind)
        await self._put_on_agenda(loop, looked_at, began)

    def _a_sweep_pays(self, reader: AsyncRunReader, now: float) -> bool:
        least = self._rounds.sweep_pays_from(reader, len(self.runs))
        if not least:
            return least is not None
        # No more are taken than decide it: after a sweep all are put on the agenda again, otherwise these are.
        first = self._agenda.take(now, at_most=1)
        soon = self._agenda.take(now + _LOOK_AHEAD * first[0].pause_seconds, at_most=least - 1) if first else []
        for one in (*first, *soon):
            self._agenda.put(one, one.due_at)
        return len(first) + len(soon) >= least

    async def _put_on_agenda(self, loop: asyncio.AbstractEventLoop, looked_at: Sequence[Watched], began: float) -> None:
        # One jitter for all: what was looked at together stays together.
        spread, at_least = jitter(self._rng), self._cost_seconds()
        few = len(looked_at) <= _AT_A_TIME
        for number, one in enumerate(looked_at, 1):
            # While the round went on, waiters may have been answered and have left.
            if one.waiters:
                now = loop.time()
                one.pause_seconds = spread * self._pause_of(one, now, at_least)
                # Counted from the round's begin, so that an interval is one; a slow API still gets some rest.
                due_at = max(began + one.pause_seconds, now + _REST * one.pause_seconds)
                if few:
                    self._agenda.put(one, due_at)
                else:
                    one.due_at = due_at
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        if not few:
            self._agenda.rebuild(one for one in self.runs.values() if one.waiters)

    async def _read_hurried(self, loop: asyncio.AbstractEventLoop, reader: AsyncRunReader) -> None:
        try:
            while self._hurried:
                if not self._rounds.may_hurry():
                    # The API is away: the rounds read them once it is back.
                    self._hurried.clear()
                    return
                _, one = self._hurried.popitem(last=False)
                await self._rounds.read(reader, one, loop.time())
        finally:
            self._reading_hurried -= 1

    def _not_hurried(self, runs: Sequence[Watched]) -> Sequence[Watched]:
        """Without those that are about to be read anyway."""
        return [one for one in runs if one.run_id not in self._hurried] if self._hurried else runs

    def _pause_of(self, one: Watched, now: float, at_least: float) -> float:
        """The pause that the most urgent waiter of a run wishes, without jitter."""
        return min(waiter.interval.base(now - waiter.began, at_least) for waiter in one.waiters)

    def _cost_seconds(self) -> float:
        return self._rounds.cost_seconds(len(self.runs))

    def _start(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None], name: str) -> None:
        task = loop.create_task(work, name=f"planasonix-{name}-{self._kind}s")
        # Who closes a loop under waits hears of their own pending tasks; of these they know nothing.
        task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_defect(error)
