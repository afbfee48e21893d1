"""Hundreds of waits ask for the state of their run at once: few reads, and none that began before its question."""

from __future__ import annotations

import asyncio
import threading
import time
from uuid import uuid4

from prefect_planasonix.owner import RunOwner
from prefect_planasonix.state_watch import StateWatch
from prefect_planasonix.termination import SeenState


class Slow(StateWatch):
    def __init__(self) -> None:
        super().__init__(RunOwner(flow_run_id=str(uuid4())))
        self.now, self.reads, self.begun = "RUNNING", 0, threading.Event()

    def _read(self) -> SeenState:
        self.reads += 1
        seen = SeenState(self.now)
        self.begun.set()
        time.sleep(0.3)
        return seen


def test_many_share_a_read() -> None:
    async def main() -> int:
        watch = Slow()
        states = await asyncio.gather(*(watch.state() for _ in range(500)))
        assert {state.type for state in states if state is not None} == {"RUNNING"}
        return watch.reads

    assert asyncio.run(main()) == 1


def test_who_asks_during_a_read_gets_the_next_one() -> None:
    async def main() -> None:
        watch = Slow()
        first = asyncio.create_task(watch.state())
        await asyncio.to_thread(watch.begun.wait, 5)
        watch.now = "CANCELLING"
        later = await asyncio.gather(*(watch.state() for _ in range(500)))
        assert {state.type for state in later if state is not None} == {"CANCELLING"}
        before = await first
        assert before is not None
        assert before.type == "RUNNING"
        assert watch.reads == 2

    asyncio.run(main())


def test_reads_wait_for_no_threads_of_others() -> None:
    async def main() -> float:
        busy = [asyncio.create_task(asyncio.to_thread(time.sleep, 1.5)) for _ in range(64)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert await Slow().state() is not None
        took = time.monotonic() - began
        await asyncio.gather(*busy)
        return took

    assert asyncio.run(main()) < 1.2
