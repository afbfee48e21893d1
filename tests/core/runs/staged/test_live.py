"""Staged backfills over real HTTP: killed with -9 in the middle, found again, and nothing loaded twice (G1, G4)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.errors import RunFailedError
from planasonix.runs import (
    BackfillRequest,
    SqliteBook,
    StagedBackfill,
    cancel_stages,
    plan_stages,
    planned,
    run_stages_to_end,
)
from planasonix.watch import Interval

CONNECTION = "conn_shop_orders"
FAST = Interval(fixed_seconds=0.05)
STAGES = plan_stages("2026-01-01T00:00Z", "2026-01-31T00:00Z", "1d")
ASKED = StagedBackfill(BackfillRequest(CONNECTION, STAGES[0].start_at, STAGES[-1].end_at), STAGES)

CHILD = """
import sys
from tests.core.runs.staged.test_live import ASKED, FAST
from planasonix import Planasonix
from planasonix.runs import SqliteBook, run_stages_to_end
run_stages_to_end(Planasonix(), ASKED, book=SqliteBook(sys.argv[1], "history"), interval=FAST)
"""

profiles = pytest.mark.parametrize(
    "profile",
    [
        pytest.param(name, marks=pytest.mark.planasonix_sandbox(profile=name, speed=40), id=name)
        for name in ("strict", "rich")
    ],
)


def windows_started(sandbox: Any) -> Counter[str]:
    """How many backfills each window's start got, by the journal: replays and refusals do not count."""
    return Counter(entry.body["start_at"] for entry in sandbox.journal if "backfill_started" in entry.effect)


def wait_until(condition: Any, child: subprocess.Popen[Any] | None = None) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert child is None or child.poll() is None, "the process ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@profiles
def test_thirty_stages_one_fails_the_process_is_killed_and_only_what_is_missing_starts(
    planasonix_sandbox: Any, tmp_path: Path, profile: str
) -> None:
    steps = [{}] * 5 + [{"outcome": "failed"}] + [{}]
    planasonix_sandbox.script(CONNECTION, sequence=steps)
    path = tmp_path / "ledger.db"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: planasonix_sandbox.backfills_started() >= 12, child)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    before = windows_started(planasonix_sandbox)
    assert set(before.values()) == {1}
    failed = sorted(before)[5]

    book = SqliteBook(path, "history")
    states = Counter(stage.state for stage in planned(book, ASKED))
    assert states["failed"] == 1
    assert states["done"] >= 10
    with Planasonix() as client:
        outcome = run_stages_to_end(client, ASKED, book=book, interval=FAST)
        assert (outcome.status, len(outcome.stages)) == ("succeeded", 30)
        after = windows_started(planasonix_sandbox)
        assert len(after) == 30
        assert {start: count for start, count in after.items() if count > 1} == {failed: 2}
        # The last wish succeeded: without more words a further call is a new wish, and loads all again.
        assert {stage.state for stage in planned(SqliteBook(path, "history"), ASKED)} == {"to_do"}


@profiles
def test_a_killed_process_leaves_its_running_stages_to_the_next_one(
    planasonix_sandbox: Any, tmp_path: Path, profile: str
) -> None:
    planasonix_sandbox.set_speed(1)
    planasonix_sandbox.script(CONNECTION, duration_seconds=3_600)
    path = tmp_path / "ledger.db"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: planasonix_sandbox.calls("backfills.get") >= 3, child)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert planasonix_sandbox.cancels() == 0
    with Planasonix() as client:
        told = cancel_stages(client, SqliteBook(path, "history"))
    assert len(told) == 1
    assert planasonix_sandbox.backfills_started() == 1
    statuses = {job["status"] for job in planasonix_sandbox.jobs()}
    assert statuses <= {"cancelled", "canceled"}


@pytest.mark.planasonix_sandbox(speed=40, busy="parallel", backfill_shard_days=1)
def test_stages_beside_each_other_and_a_failure_that_is_reported(planasonix_sandbox: Any) -> None:
    stages = plan_stages("2026-01-01T00:00Z", "2026-01-13T00:00Z", "2d")
    request = BackfillRequest(CONNECTION, stages[0].start_at, stages[-1].end_at)
    planasonix_sandbox.script(CONNECTION, sequence=[{}, {}, {"outcome": "failed", "shard": 1}, {}])
    with Planasonix() as client:
        asked = StagedBackfill(request, stages, max_active_stages=3)
        with pytest.raises(RunFailedError) as caught:
            run_stages_to_end(client, asked, interval=FAST)
    data = caught.value.outcome_data
    assert Counter(stage["state"] for stage in data["stages"]) == {"done": len(stages) - 1, "failed": 1}
    assert "source_unavailable" in str(caught.value)


@pytest.mark.planasonix_sandbox(speed=1, busy="parallel")
def test_interrupted_without_a_book_nothing_runs_on(planasonix_sandbox: Any) -> None:
    planasonix_sandbox.script(CONNECTION, outcome="stuck")

    def interrupt(progress: Any) -> None:
        raise KeyboardInterrupt

    with Planasonix() as client, pytest.raises(KeyboardInterrupt):
        run_stages_to_end(client, StagedBackfill(ASKED.request, STAGES, 2), interval=FAST, on_progress=interrupt)
    assert planasonix_sandbox.cancels() == 2


@pytest.mark.planasonix_sandbox(speed=40)
def test_a_connection_that_somebody_else_keeps_busy_is_waited_for(planasonix_sandbox: Any) -> None:
    with Planasonix() as client:
        client.connections.backfill(CONNECTION, start_at="2020-01-01T00:00:00Z", end_at="2020-01-02T00:00:00Z")
        outcome = run_stages_to_end(client, StagedBackfill(ASKED.request, STAGES[:2]), interval=FAST)
    assert outcome.succeeded
    assert planasonix_sandbox.backfills_started() == 3


def test_a_second_process_on_the_same_book_is_told_so(planasonix_sandbox: Any, tmp_path: Path) -> None:
    """Both read the header; whoever writes second must not overwrite what the first one wrote."""
    from planasonix.errors import ConflictError

    one, other = (SqliteBook(tmp_path / "ledger.db", "history") for _ in range(2))
    one.write("wish", {"version": 1})
    assert other.read("wish") == {"version": 1}
    one.write("wish", {"version": 1, "by": "one"})
    with pytest.raises(ConflictError, match="Another process works on"):
        other.write("wish", {"version": 1, "by": "other"})
    assert one.claimed(["x"], besides="wish") == frozenset()
    one.write("stage", {"run_id": "bf_1", "owned": True})
    assert other.claimed(["bf_1"], besides="wish") == {"bf_1"}
    assert other.claimed(["bf_1"], besides="stage") == frozenset()
