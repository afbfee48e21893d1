"""The watcher against an API that changes, lies, fails and lags, in any order, in virtual time.

What must hold, whatever happens: a wait ends with what its own run really was, at some moment while it waited; it gives
up for no other reason and no earlier than `patience` says; once GETs answer, every wait ends, though lists go on lying;
and nothing is left behind, no task, no client, no entry.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from benchmarks.virtual_time import VirtualTimeLoop
from planasonix.errors import (
    AuthenticationError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TransportError,
    WaitTimeoutError,
)
from planasonix.watch import Interval, Kind, watch_shared, watched, watcher_for
from planasonix.watch import shared as shared_module
from planasonix.watch import watcher as watcher_module
from planasonix.watch.patience import LOOK_SECONDS
from tests.core.watch.hostile_api import ENDED, HostileApi, failing_since

KINDS = st.sampled_from(["job", "backfill", "run"])
# The same ids for every kind: a job's end must not end the wait for a backfill.
IDS = st.sampled_from([f"x_{n}" for n in range(6)])
INTERVALS = st.sampled_from([Interval(), Interval(fixed_seconds=1.0), Interval(fixed_seconds=30.0)])
ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: ServerError("down", status_code=503),
    lambda: RateLimitError("slow", status_code=429),
    lambda: TransportError("lost"),
    lambda: InvalidResponseError("junk"),
    lambda: AuthenticationError("no", status_code=401),
    lambda: PermissionDeniedError("no", status_code=403),
    lambda: NotFoundError("none", status_code=404),
    lambda: ValueError("a defect in the reader"),
)
SHARES = st.sampled_from([0.3, 1.0])

# A run that lists show alive is read after so long; then the longest pause, and eight rounds for one that was absent.
ENDS_WITHIN_SECONDS = watched.LIST_BELIEVED_SECONDS + 2000.0


@dataclass(eq=False)
class Wait:
    kind: Kind
    run_id: str
    began: float
    timeout_seconds: float | None
    task: asyncio.Task[Any]
    cancelled: bool = False
    ended: float | None = None


class WatcherMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.api = HostileApi(self.loop)
        self.open: list[Wait] = []
        # Jitter of the same seed each time: a failing example must fail again.
        seeded = SimpleNamespace(Random=lambda: random.Random(1))
        self.patch = mock.patch.object(watcher_module, "random", seeded)
        self.patch.start()
        # Thousands of failures a second are written down otherwise.
        logging.getLogger("planasonix").setLevel(logging.CRITICAL + 1)
        self.trouble: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.trouble.append(context))

    # --- the truth ------------------------------------------------------------------------------------------------

    @rule(kind=KINDS, run_id=IDS, visible_after=st.sampled_from([0.0, 5.0, 90.0]))
    def start(self, kind: Kind, run_id: str, visible_after: float) -> None:
        if (kind, run_id) not in self.api.runs:
            self.api.start(kind, run_id, visible_after)

    @initialize(kind=KINDS)
    def start_some(self, kind: Kind) -> None:
        for number in range(5):
            self.start(kind, f"x_{number}", 0.0)

    @rule(kind=KINDS, run_id=IDS, status=st.sampled_from(["running", "cancelling", "a new word", *ENDED]))
    def become(self, kind: Kind, run_id: str, status: str) -> None:
        """Any word after any other: a run that had ended may be taken up again."""
        if (kind, run_id) in self.api.runs:
            self.api.become(kind, run_id, status)

    @rule(kind=KINDS, run_id=IDS, until=st.sampled_from([0.0, 60.0, 1e9]))
    def vanish(self, kind: Kind, run_id: str, until: float) -> None:
        if (kind, run_id) in self.api.runs:
            self.api.runs[kind, run_id].visible_from = self.loop.time() + until

    # --- the waits ------------------------------------------------------------------------------------------------

    @rule(
        kind=KINDS,
        run_id=IDS,
        interval=INTERVALS,
        timeout=st.sampled_from([None, None, 0.0, 45.0, 600.0]),
        known=st.booleans(),
        deaf=st.booleans(),
    )
    def wait(
        self, kind: Kind, run_id: str, interval: Interval, timeout: float | None, known: bool, deaf: bool = False
    ) -> None:
        run = self.api.runs.get((kind, run_id))
        created = run.row("queued").created_at if run is not None and known else None

        def listener(_: Any) -> None:
            if deaf:
                raise ValueError("a listener that breaks")

        work = watch_shared(
            cast("Any", self.api.client()),
            kind,
            run_id,
            timeout_seconds=timeout,
            created_at=created,
            interval=interval,
            on_change=listener,
        )
        self.open.append(Wait(kind, run_id, self.loop.time(), timeout, self.loop.create_task(work)))

    @rule(kind=KINDS, interval=INTERVALS, known=st.booleans())
    def wait_for_all(self, kind: Kind, interval: Interval, known: bool) -> None:
        for number in range(6):
            self.wait(kind, f"x_{number}", interval, None, known)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), twice=st.booleans())
    def cancel(self, data: st.DataObject, twice: bool) -> None:
        wait = data.draw(st.sampled_from(range(len(self.open))))
        self.open[wait].cancelled = True
        self.open[wait].task.cancel()
        if twice:
            self.loop.call_later(0.005, self.open[wait].task.cancel)

    @rule(kind=KINDS, run_id=IDS, after=st.sampled_from([0.0, 0.02, 40.0]), times=st.sampled_from([1, 3]))
    def hint(self, kind: Kind, run_id: str, after: float, times: int) -> None:
        """True or not, early or late, once or thrice, for a run that is waited for or not."""

        async def nudge() -> None:
            watcher_for(cast("Any", self.api.client())).nudge(kind, run_id)

        for _ in range(times):
            self.loop.call_later(after, lambda: self.loop.create_task(nudge()))

    # --- the weather ----------------------------------------------------------------------------------------------

    @rule(error=st.sampled_from([None, *ERRORS]), share=SHARES)
    def gets_fail(self, error: Callable[[], Exception] | None, share: float) -> None:
        self.api.set_weather(get_error=error, get_error_share=share)

    @rule(wrong=st.booleans())
    def gets_answer_for_another(self, wrong: bool) -> None:
        self.api.set_weather(get_answers_for_another=wrong)

    @rule(error=st.sampled_from([None, *ERRORS]), share=SHARES)
    def lists_fail(self, error: Callable[[], Exception] | None, share: float) -> None:
        self.api.set_weather(list_error=error, list_error_share=share)

    @rule(
        lag=st.sampled_from([0.0, 30.0, 1e9]),
        omits=st.sampled_from([0.0, 0.5, 1.0]),
        shuffles=st.booleans(),
        ignores=st.booleans(),
        circles=st.booleans(),
    )
    def lists_lie(self, lag: float, omits: float, shuffles: bool, ignores: bool, circles: bool) -> None:
        self.api.set_weather(
            list_lags_seconds=lag,
            list_omits_share=omits,
            list_shuffles=shuffles,
            list_ignores_status=ignores,
            list_cursor_never_ends=circles,
        )

    @rule(kind=KINDS, run_id=IDS, word=st.sampled_from([None, "running", *ENDED]))
    def lists_say(self, kind: Kind, run_id: str, word: str | None) -> None:
        """For ever the same of one run, in every list, until told otherwise."""
        self.api.list_says.pop((kind, run_id), None)
        if word is not None:
            self.api.list_says[kind, run_id] = word

    @rule(get=st.sampled_from([0.0, 0.05, 3.0, 60.0]), lists=st.sampled_from([0.0, 0.05, 3.0, 60.0]))
    def answers_take(self, get: float, lists: float) -> None:
        self.api.set_weather(get_seconds=get, list_seconds=lists)

    @rule(largest=st.sampled_from([10, 50, 100]), page=st.sampled_from([2, 100]))
    def pages_are(self, largest: int, page: int) -> None:
        self.api.set_weather(largest_page=largest, page=page)

    @rule(seconds=st.sampled_from([0.01, 2.0, 31.0, 400.0]))
    def pass_time(self, seconds: float) -> None:
        self.loop.run_until_complete(self._watch_them(self.loop.time() + seconds))

    # --- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def who_ended_ended_rightly(self) -> None:
        for wait in [wait for wait in self.open if wait.task.done()]:
            self.open.remove(wait)
            self._check(wait)
        assert self.api.closed_twice_or_used_closed == 0
        assert self.trouble == []

    def _check(self, wait: Wait) -> None:
        if wait.task.cancelled():
            assert wait.cancelled, "nobody cancelled this wait"
            return
        ended = self.loop.time() if wait.ended is None else wait.ended
        error = wait.task.exception()
        if error is None:
            run = wait.task.result()
            assert (run.kind, run.id) == (wait.kind, wait.run_id), "the end of another run"
            truth = self.api.runs[wait.kind, wait.run_id]
            assert truth.ended_between(run.status, wait.began, ended), f"it never was {run.status}"
        elif isinstance(error, WaitTimeoutError):
            assert wait.timeout_seconds is not None
            late = ended - wait.began - wait.timeout_seconds
            assert 0.0 <= late <= LOOK_SECONDS + 0.1
            truth = self.api.runs.get((wait.kind, wait.run_id))
            if truth is not None and self.api.gets_answer_since < wait.began:
                visible = truth.visible_from < wait.began
                ended_before = truth.status_at(ended) in ENDED and truth.history[-1][0] <= ended - late
                assert not visible or not ended_before, "it had ended in time"
        elif isinstance(error, NotFoundError):
            assert failing_since(self.api, wait.kind, wait.run_id, NotFoundError) >= 119.9
        else:
            refused = (AuthenticationError, PermissionDeniedError)
            assert isinstance(error, refused), f"no reason to end a wait: {error!r}"
            assert failing_since(self.api, wait.kind, wait.run_id, *refused) >= 299.9

    async def _watch_them(self, until: float) -> None:
        """Let time pass, and note when each wait ended."""
        for wait in self.open:
            if wait.ended is None:
                wait.task.add_done_callback(lambda _, wait=wait: setattr(wait, "ended", self.loop.time()))
        await asyncio.sleep(max(0.0, until - self.loop.time()))

    def teardown(self) -> None:
        try:
            self.api.set_weather(get_error=None, get_answers_for_another=False, get_seconds=0.05)
            for (kind, run_id), run in self.api.runs.items():
                if run.status not in ENDED:
                    self.api.become(kind, run_id, "succeeded")
            # Lists go on as they were.
            self.loop.run_until_complete(self._watch_them(self.loop.time() + ENDS_WITHIN_SECONDS))
            self.who_ended_ended_rightly()
            assert self.open == [], "the truth is visible, and somebody waits on"
            assert asyncio.all_tasks(self.loop) == set()
            assert self.api.open_clients == 0
            assert all(one.waiting == 0 for one in shared_module._watchers.get(self.loop, {}).values())
        finally:
            self.patch.stop()
            logging.getLogger("planasonix").setLevel(logging.NOTSET)
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(1))
            self.loop.close()


TestWatcherMachine = WatcherMachine.TestCase
TestWatcherMachine.settings = settings(
    max_examples=int(os.environ.get("PLANASONIX_WATCH_EXAMPLES", "60")), stateful_step_count=40, deadline=None
)
