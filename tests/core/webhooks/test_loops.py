"""A webhook that starts a sync that fires a webhook: cut at the set depth, and no event acts twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.errors import ConfigurationError, FeedbackLoopError
from planasonix.runs import MemoryLedger, Policy, Provenance, SyncRequest, start_run
from planasonix.sandbox import Sandbox
from planasonix.webhooks import Arrival, Event, Inbox, LoopGuard, StoredEvent, Sweeper, consume, guard, subscribe

MINE = Provenance("test", "reloads what was loaded")


def event(job_id: str, word: str = "succeeded", event_id: str | None = None, **more: Any) -> Event:
    body = {"id": event_id or f"evt_{job_id}_{word}", "type": f"job.{word}", "job_id": job_id, **more}
    return Event.parse(json.dumps(body).encode())


@pytest.fixture
def inbox(inbox_url: str) -> Iterator[Inbox]:
    with Inbox.open(inbox_url) as opened:
        yield opened


def test_a_chain_is_cut_at_the_set_depth_and_told(inbox: Inbox) -> None:
    loops = LoopGuard(inbox)
    for number in range(3):
        act = loops.enter(event(f"job_{number}"), "reload")
        assert (act.depth, act.run) == (number + 1, None)
        loops.started(act, "job", f"job_{number + 1}")
    with pytest.raises(FeedbackLoopError) as caught:
        loops.enter(event("job_3"), "reload")
    for job_id in ("job_0", "job_1", "job_2", "job_3"):
        assert job_id in str(caught.value)
    assert "3 may be" in str(caught.value)
    assert caught.value.hint
    assert loops.enter(event("job_of_a_person"), "reload").depth == 1, "other chains go on"


def test_an_event_acts_once_for_each_action_whoever_brings_it(inbox: Inbox) -> None:
    loops = LoopGuard(inbox)
    first = loops.enter(event("job_1", event_id="evt_1"), "reload")
    assert loops.enter(event("job_1", event_id="evt_1"), "reload").intent == first.intent, "a crash in between"
    loops.started(first, "job", "job_2")
    for event_id in ("evt_1", "evt_2", "ended:job:job_1:succeeded"):
        assert LoopGuard(inbox).enter(event("job_1", event_id=event_id), "reload").run == ("job", "job_2")
    other = loops.enter(event("job_1", event_id="evt_1"), "report")
    assert other.run is None
    assert other.intent != first.intent


def test_the_jobs_of_a_backfill_are_as_deep_as_it_is(inbox: Inbox) -> None:
    loops = LoopGuard(inbox)
    act = loops.enter(event("job_1"), "load the month again")
    loops.started(act, "backfill", "bf_1", job_ids=["job_7", "job_8"])
    assert loops.enter(event("job_8"), "reload").depth == 2
    assert loops.enter(event("job_9", backfill_id="bf_1"), "reload").depth == 2, "the event names its backfill"


def test_the_deepest_of_what_is_known_counts(inbox: Inbox) -> None:
    loops = LoopGuard(inbox, max_depth=5)
    assert loops.enter(event("job_1"), "a", depth=2).depth == 3
    assert loops.enter(event("job_2"), "a", metadata={"planasonix_depth": 4}).depth == 5
    assert loops.enter(event("job_3", data={"metadata": {"planasonix_depth": 1}}), "a").depth == 2
    with pytest.raises(FeedbackLoopError):
        loops.enter(event("job_4"), "a", depth=1, metadata={"planasonix_depth": 5})


@pytest.mark.parametrize("told", [None, True, "3", -1, 1.5, [], {"x": 1}])
def test_a_depth_that_is_none_counts_for_nothing(told: Any) -> None:
    assert guard(event("job_1", metadata={"planasonix_depth": told})) == 1


@pytest.mark.parametrize("max_depth", [-1, True])
def test_a_limit_that_cannot_be_is_refused(max_depth: int) -> None:
    with pytest.raises(ConfigurationError):
        guard(event("job_1"), max_depth)


@pytest.mark.parametrize("action", ["", " ", "x" * 201])
def test_an_action_needs_a_name(inbox: Inbox, action: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LoopGuard(inbox).enter(event("job_1"), action)
    assert caught.value.field == "action"


class Door:
    """A receiver without signatures: the loop is what is tried here."""

    def __init__(self, inbox: Inbox) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.add([Arrival.of(Event.parse(body))])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/planasonix/webhooks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.parametrize("profile", ["strict", "rich"])
@pytest.mark.parametrize("brought_by", ["webhook", "sweep"])
def test_a_loop_through_the_api_stops(sqlite_url: str, profile: Any, brought_by: str) -> None:
    """Each sync that ends well starts the same sync again; two consumers in turn see every delivery twice."""
    sandbox = Sandbox(profile, speed=600, delivery_duplicates=1, deliveries_enabled=brought_by == "webhook")
    stop, log = threading.Event(), []
    with (
        Inbox.open(sqlite_url) as inbox,
        Planasonix(sandbox.api_key, transport=sandbox.transport()) as client,
    ):
        door = Door(inbox)
        loops = LoopGuard(inbox)

        def reload(stored: StoredEvent) -> None:
            act = loops.enter(stored.event, "reload orders")
            if act.run is not None:
                return
            started = start_run(
                client,
                SyncRequest("conn_shop_orders"),
                intent=act.intent,
                ledger=MemoryLedger(),
                provenance=act.provenance(MINE),
                policy=Policy(if_running="wait"),
            )
            loops.started(act, started.handle.kind, started.handle.id)

        consumer = threading.Thread(
            target=consume,
            args=(inbox, "reload", reload),
            kwargs={
                "holder": "test",
                "stop": stop,
                "start": "beginning",
                "idle_seconds": 0.02,
                "log": lambda level, text: log.append((level, text)),
            },
        )
        connect = lambda: Planasonix(sandbox.api_key, transport=sandbox.transport())  # noqa: E731
        sweeper = Sweeper(sqlite_url, connect, interval_seconds=0.2)
        try:
            subscribe(client, door.url, secret="whsec_0123456789abcdef")
            if brought_by == "sweep":
                sweeper.start()
                until(lambda: inbox.note("sweep"))
            consumer.start()
            client.connections.sync("conn_shop_orders", metadata={"who": "a person"})
            until(lambda: inbox.dead_letters("reload"))
            time.sleep(0.5)  # nothing comes after it
        finally:
            stop.set()
            sweeper.stop()
            consumer.join(20)
            door.close()
            sandbox.close()
        jobs = sandbox.jobs("conn_shop_orders")
        assert len(jobs) == 4, "the person's, and three that events started"
        assert sorted((job["metadata"] or {}).get("planasonix_depth", 0) for job in jobs) == [0, 1, 2, 3]
        [dead] = inbox.dead_letters("reload")
        assert dead.attempts == 1, "a loop that was cut is not tried again"
        assert "3 runs in a row were started by events" in dead.error
        assert [level for level, _ in log].count("error") == 1


def until(condition: Any, seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.02)
