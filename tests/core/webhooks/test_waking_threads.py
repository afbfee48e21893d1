"""Waits that block their thread end with an event too: for one run, for the first of several, for a busy connection."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.runs import RunHandle, wait_for_run
from planasonix.runs.waiting import wait_for_any, wait_while_taken
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox
from planasonix.watch import Interval
from planasonix.watch.heard import HEARD, Heard
from planasonix.webhooks import Arrival, Event, Inbox, InboxListener

SOON_SECONDS = 5.0
LONG = Interval(fixed_seconds=600)
Wait = Callable[[Planasonix, list[RunHandle]], object]
WAITS: dict[str, Wait] = {
    "one": lambda client, handles: wait_for_run(client, handles[1], interval=LONG),
    "any": lambda client, handles: wait_for_any(client, handles, interval=LONG),
    "busy": lambda client, handles: wait_while_taken(
        client, "job", handles[1].id, since=time.time(), until=time.time() + 900, interval=LONG
    ),
}


class Setting:
    def __init__(self, folder: Path) -> None:
        self.sandbox = Sandbox("strict", speed=0, busy="parallel")
        self.client = Planasonix(DEFAULT_API_KEY, transport=self.sandbox.transport())
        self.url = f"sqlite:///{folder}/inbox.db"
        now = time.time()
        self.handles = [
            RunHandle("job", job.id, "", owned=True, created_at=now, deadline_at=now + 900, intent="i")
            for job in (self.client.connections.sync("conn_shop_orders") for _ in range(2))
        ]

    def deliver(self, *types: str) -> None:
        """Events of the second run, stored at once."""
        bodies = [{"id": f"evt_{each}", "type": each, "job_id": self.handles[1].id} for each in types]
        with Inbox.open(self.url) as inbox:
            inbox.add([Arrival.of(Event.parse(json.dumps(body).encode())) for body in bodies])

    def looks(self) -> int:
        return sum(entry.operation == "jobs.get" for entry in self.sandbox.journal)


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    # Each sandbox gives the same ids, and the process remembers what was heard of them.
    monkeypatch.setattr(HEARD, "_runs", OrderedDict())
    made = Setting(tmp_path)
    with made.client:
        yield made


def waiting(wait: Wait, setting: Setting, looks: int) -> Future[object]:
    """In a thread of its own, which has taken its first looks."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(wait, setting.client, setting.handles)
    pool.shutdown(wait=False)
    end = time.monotonic() + 20
    while setting.looks() < looks:
        assert time.monotonic() < end
        time.sleep(0.01)
    return future


@pytest.mark.parametrize("how", WAITS)
def test_an_event_ends_a_wait_that_blocks(setting: Setting, how: str) -> None:
    with InboxListener.for_url(setting.url).wake_threads() as felt:
        assert felt.wait_begun(20)
        ends = waiting(WAITS[how], setting, 2 if how == "any" else 1)
        setting.sandbox.finish(setting.handles[1].id, "succeeded")
        before = setting.looks()
        setting.deliver("job.succeeded")
        ends.result(SOON_SECONDS)
        assert setting.looks() == before + 1


def test_an_event_before_the_api_knows_is_looked_at_again(setting: Setting) -> None:
    with InboxListener.for_url(setting.url).wake_threads() as felt:
        assert felt.wait_begun(20)
        ends = waiting(WAITS["one"], setting, 1)
        setting.deliver("job.succeeded", "job.completed", "job.failed", "job.cancelled")
        end = time.monotonic() + 20
        while setting.looks() < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert not ends.done()
        setting.sandbox.finish(setting.handles[1].id, "succeeded")
        ends.result(20)
        assert setting.looks() <= 4, "one look for all events, then one after 2 s, and after 10 s"


def test_an_inbox_that_is_away_costs_one_line_and_no_end(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    Path(setting.url.removeprefix("sqlite:///")).write_bytes(b"no database " * 100)
    polled = Interval(fixed_seconds=0.3)
    with InboxListener.for_url(setting.url).wake_threads():
        ends = waiting(lambda client, runs: wait_for_run(client, runs[1], interval=polled), setting, 3)
        setting.sandbox.finish(setting.handles[1].id, "succeeded")
        seen: Any = ends.result(20)
    assert seen.status == "succeeded"
    assert sum("only polling" in record.message for record in caplog.records) == 1


def test_a_pause_tells_what_was_heard_and_a_wait_that_is_over_hears_nothing() -> None:
    heard = Heard()
    heard.note("job", "job_before")
    with heard.ear_for([("job", "job_1"), ("job", "job_before")]) as ear:
        assert ear.pause(0.01) is None
        heard.note("job", "job_2")
        heard.note("backfill", "job_1")
        assert ear.pause(0.01) is None
        threading.Timer(0.05, heard.note, ("job", "job_1")).start()
        assert ear.pause(30) == ("job", "job_1")
        assert ear.pause(30) == ("job", "job_before"), "the end that was heard before, looked at again after 2 s"
    heard.note("job", "job_1")
    assert ear.pause(0.01) is None
