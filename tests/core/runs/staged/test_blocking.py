"""Staged backfills with a client whose API is slow, hangs or is somebody else's: bounds of time, one rule for waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.errors import AuthenticationError, ConflictError, RunFailedError
from planasonix.runs import (
    BackfillRequest,
    MemoryBook,
    MemoryLedger,
    Policy,
    Provenance,
    RunHandle,
    StagedBackfill,
    StagedProgress,
    SyncRequest,
    advance_stages,
    busy_until,
    cancel_stages,
    plan_stages,
    run_stages_to_end,
    run_to_end,
    wait_for_any,
    wait_for_progress,
)
from planasonix.sandbox import Sandbox
from planasonix.watch import Interval

CONNECTION = "conn_shop_orders"
STAGES = plan_stages("2026-01-01T00:00Z", "2026-01-05T00:00Z", "1d")
FAST = Interval(fixed_seconds=0.01)


class Between:
    """A transport that does something before each request goes on to the sandbox."""

    def __init__(self, sandbox: Sandbox, before: Callable[[Any], None]) -> None:
        self._inner, self.before = sandbox.transport(), before

    def send(self, request: Any, timeout: Any) -> Any:
        self.before(request)
        return self._inner.send(request, timeout)

    def close(self) -> None:
        pass


def asked(count: int = 4, **options: Any) -> StagedBackfill:
    request = BackfillRequest(CONNECTION, STAGES[0].start_at, STAGES[-1].end_at)
    return StagedBackfill(request, STAGES[:count], **options)


def advance(client: Planasonix, wanted: StagedBackfill, book: MemoryBook, **options: Any) -> StagedProgress:
    provenance = Provenance("test", "a test")
    return advance_stages(client, wanted, book=book, intent="a", attempt="1", provenance=provenance, **options)


@pytest.mark.parametrize("started", [1, 4])
def test_cancelling_keeps_within_its_patience_though_the_api_hangs(started: int) -> None:
    released = threading.Event()
    hangs = False

    def hang(request: Any) -> None:
        if hangs:
            released.wait(30)

    transport = Between(Sandbox(speed=1, busy="parallel"), hang)
    client, book = Planasonix("plnx_live_sandbox", transport=transport), MemoryBook()
    assert len(advance(client, asked(max_active_stages=started), book).active) == started
    hangs = True
    began = time.monotonic()
    told = cancel_stages(client, book, patience_seconds=1.0)
    took = time.monotonic() - began
    released.set()
    assert took < 2.0
    assert len(told) == started
    assert all("look at it: The API did not answer in time" in sentence for sentence in told)


def test_cancelling_asks_all_stages_side_by_side() -> None:
    """Each call takes 0.1 s: one after the other, five stages would take seconds."""
    sandbox = Sandbox(speed=1, busy="parallel", backfill_shard_days=1)
    sandbox.script(CONNECTION, outcome="stuck")
    asking: list[str] = []
    all_asked = threading.Event()

    def before(request: Any) -> None:
        if request.path.endswith("/cancel"):
            asking.append(request.path)
            if len(asking) == 4:
                all_asked.set()
            assert all_asked.wait(10), "a cancel waits for the answer to another"

    client, book = Planasonix("plnx_live_sandbox", transport=Between(sandbox, before)), MemoryBook()
    advance(client, asked(max_active_stages=4), book)
    told = cancel_stages(client, book, patience_seconds=20.0)
    assert len(told) == 4
    assert {job["status"] for job in sandbox.jobs()} <= {"cancelled", "canceled", "cancelling", "canceling"}


def test_a_stop_during_the_post_keeps_its_answer() -> None:
    for idempotency in ("unproven", "honoured"):
        stop = threading.Event()

        def before(request: Any) -> None:
            if request.method == "POST":
                stop.set()  # noqa: B023

        transport = Between(Sandbox(speed=1), before)
        client = Planasonix("plnx_live_sandbox", transport=transport, idempotency=idempotency)
        book = MemoryBook()
        with pytest.raises(KeyboardInterrupt):
            advance(client, asked(), book, stop=stop)
        entry = book.read(STAGES[0].name)
        assert entry is not None
        assert entry["run_id"] is not None
        [told] = cancel_stages(client, book)
        assert f"{entry['run_id']} was cancelled" in told


def handle_of(run_id: str, *, seconds: float = 60.0) -> RunHandle:
    return RunHandle("backfill", run_id, CONNECTION, True, time.time(), time.time() + seconds, "a")


def test_an_answer_about_another_run_ends_no_wait_for_any() -> None:
    """A proxy that mixes up two answers: the one that was asked for goes on."""
    client = Planasonix("plnx_live_sandbox", transport=Sandbox(speed=1, busy="parallel").transport())
    first, second = advance(client, asked(2, max_active_stages=2), MemoryBook()).active
    looks: list[str] = []

    class Mixed:
        def with_options(self, **options: Any) -> Any:
            return self

        @property
        def backfills(self) -> Any:
            return self

        def get(self, run_id: str) -> Any:
            looks.append(run_id)
            run = client.backfills.get(first.id)
            ended = {"status": "completed"} if run_id == second.id else {}
            return run.model_copy(update=ended)

    wait_for_any(Mixed(), [handle_of(first.id), handle_of(second.id, seconds=0.05)], interval=FAST)  # type: ignore[arg-type]
    assert looks.count(second.id) >= 2, "the deadline ended it, with a last look"


def test_somebody_elses_run_raises_nothing_while_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Planasonix("plnx_live_sandbox", transport=Sandbox(speed=1).transport())
    pauses: list[float] = []
    monkeypatch.setattr("planasonix.runs.waiting.pause", lambda seconds, stop=None: pauses.append(seconds))

    def refused(*_: object, **__: object) -> None:
        raise AuthenticationError("the key is refused", status_code=401)

    monkeypatch.setattr("planasonix.runs.waiting.wait_for_any", refused)
    busy = StagedProgress((), 0, (), 4, False, busy_run_id="job_1", busy_since=time.time())
    wait_for_progress(client, busy, asked(), Policy())
    assert 20 < pauses[0] < 40


def test_a_stalled_round_is_not_taken_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Planasonix("plnx_live_sandbox", transport=Sandbox(speed=1).transport())
    pauses: list[float] = []
    monkeypatch.setattr("planasonix.runs.staged.drive.pause", lambda seconds, stop=None: pauses.append(seconds))
    stalled = StagedProgress((handle_of("bf_1"),), 0, (), 0, False, stalled=True)
    wait_for_progress(client, stalled, asked(), Policy(), interval=Interval(fixed_seconds=5.0))
    assert 4 <= pauses[0] <= 5


@pytest.mark.parametrize("waits_for", ["stages", "somebody else's run"])
def test_who_is_asked_before_each_look_can_end_the_wait(waits_for: str) -> None:
    sandbox = Sandbox(speed=1)
    sandbox.script(CONNECTION, "stuck")
    client = Planasonix("plnx_live_sandbox", transport=sandbox.transport())
    first = client.connections.backfill(CONNECTION, start_at=STAGES[0].start_at, end_at=STAGES[0].end_at)
    progress = StagedProgress((handle_of(first.id),), 0, (), 3, False)
    if waits_for != "stages":
        progress = StagedProgress((), 0, (), 4, False, busy_kind="backfill", busy_run_id=first.id)
    asked_at: list[int] = []

    def nobody_wants_it() -> None:
        asked_at.append(sandbox.calls("backfills.get"))
        if len(asked_at) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_for_progress(client, progress, asked(), Policy(), interval=FAST, on_tick=nobody_wants_it)
    assert asked_at[:2] == [0, 0]
    assert asked_at[-1] > 0


def test_a_connection_that_stays_busy_is_told_with_what_can_be_done() -> None:
    long_ago = StagedProgress((), 0, (), 4, False, busy_since=time.time() - 100)
    with pytest.raises(Exception, match="was busy for 60 s"):
        busy_until(long_ago, Policy(timeout_seconds=60), CONNECTION)


def test_if_running_says_what_a_busy_connection_means() -> None:
    client = Planasonix("plnx_live_sandbox", transport=Sandbox(speed=1).transport())
    client.connections.backfill(CONNECTION, start_at="2020-01-01T00:00:00Z", end_at="2020-01-02T00:00:00Z")
    assert run_stages_to_end(client, asked(), policy=Policy(if_running="skip")).status == "skipped"
    with pytest.raises(ConflictError):
        run_stages_to_end(client, asked(), policy=Policy(if_running="fail"))


def test_a_run_that_succeeded_with_a_failed_table_is_run_again_by_the_next_call() -> None:
    sandbox = Sandbox(speed=1000)
    sandbox.script(CONNECTION, sequence=[{"outcome": "partial"}, {}])
    client, ledger = Planasonix("plnx_live_sandbox", transport=sandbox.transport()), MemoryLedger()
    request = SyncRequest(CONNECTION)
    with pytest.raises(RunFailedError):
        run_to_end(client, request, intent="a", ledger=ledger, interval=FAST)
    record = ledger.read()
    assert record is not None
    assert record.verdict == "failed"
    outcome = run_to_end(client, request, intent="a", ledger=ledger, interval=FAST)
    assert outcome is not None
    assert (outcome.status, outcome.generation) == ("succeeded", 1)
