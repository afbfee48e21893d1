"""What triggers log while they wait: in order, under their own context, never at the other triggers' cost."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import os
import threading
import time

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_provider_planasonix.triggers import lines as module
from airflow_provider_planasonix.triggers.lines import LogLines
from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger
from planasonix import Planasonix
from planasonix.runs import RunHandle
from planasonix.sandbox import Sandbox

ORDERS = "conn_shop_orders"
WHOSE: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")


class Log:
    """A log whose socket is full: each line takes a while."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.told: list[tuple[str, str]] = []
        self.threads: set[str] = set()

    def info(self, text: str) -> None:
        time.sleep(self.seconds)
        self.threads.add(threading.current_thread().name)
        self.told.append((WHOSE.get(), text))


async def longest_pause(until: asyncio.Task[None]) -> float:
    """How long the loop stood still at most, in seconds, as Airflow's own watchdog measures it."""
    longest = 0.0
    while not until.done():
        began = time.monotonic()
        await asyncio.sleep(0.02)
        longest = max(longest, time.monotonic() - began - 0.02)
    return longest


def test_lines_keep_their_order_and_their_trigger() -> None:
    log = Log()

    async def tell(whose: str) -> None:
        WHOSE.set(whose)
        lines = LogLines(log)
        for number in range(5):
            lines.info(str(number))
            await asyncio.sleep(0)
        await lines.written()

    async def main() -> None:
        await asyncio.gather(tell("one's"), tell("another's"))

    asyncio.run(main())
    for whose in ("one's", "another's"):
        assert [text for owner, text in log.told if owner == whose] == list("01234")
    assert len(log.told) == 10


def test_a_slow_log_holds_up_no_other_trigger() -> None:
    log = Log(seconds=0.3)

    async def main() -> float:
        lines = LogLines(log)

        async def tell() -> None:
            for number in range(3):
                lines.info(str(number))
            await lines.written()

        return await longest_pause(asyncio.create_task(tell()))

    assert asyncio.run(main()) < 0.25
    assert [text for _, text in log.told] == ["0", "1", "2"]


def test_a_log_that_fails_fails_nobody_and_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    class Closed:
        def info(self, text: str) -> None:
            raise BrokenPipeError(text)

        warning = info

    async def main() -> None:
        lines = LogLines(Closed())
        lines.info("lost")
        lines.warning("lost, too")
        await lines.written()
        await LogLines(Closed()).written()

    asyncio.run(main())
    gc.collect()
    assert caplog.records == []


def test_a_child_process_has_a_writer_of_its_own() -> None:
    def written_within_seconds() -> float:
        log, began = Log(), time.monotonic()

        async def main() -> None:
            lines = LogLines(log)
            lines.info("told")
            await lines.written()

        asyncio.run(main())
        assert log.told == [("nobody's", "told")]
        return time.monotonic() - began

    written_within_seconds()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if written_within_seconds() < module.PATIENCE_SECONDS else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_an_event_waits_for_its_lines_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)

    async def main() -> float:
        lines = LogLines(Log(seconds=1.0))
        lines.info("slow")
        began = time.monotonic()
        await lines.written()
        return time.monotonic() - began

    assert asyncio.run(main()) < 0.7


def test_a_trigger_logs_off_the_loop_and_before_its_event(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(seconds=0.3)
    with Sandbox().serve() as sandbox:
        sandbox.script(ORDERS, "succeeded", queue_seconds=1, duration_seconds=1)
        with Planasonix(sandbox.api_key, sandbox.url) as client:
            job = client.connections.sync(ORDERS).id
        connection = {"conn_type": "planasonix", "host": sandbox.url, "password": sandbox.api_key}
        monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(connection))
        now = time.time()
        handle = RunHandle("job", job, ORDERS, True, now, now + 600, "intent").to_dict()
        task = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
        trigger = PlanasonixRunTrigger(handle, task, "planasonix_default", 0.5)
        monkeypatch.setattr(PlanasonixRunTrigger, "log", log)

        async def fire() -> TriggerEvent:
            async for event in trigger.run():
                return event
            raise AssertionError("no event")

        event = asyncio.run(fire())
    assert event.payload["end"] == "ended"
    assert "succeeded" in log.told[-1][1]
    assert threading.main_thread().name not in log.threads
