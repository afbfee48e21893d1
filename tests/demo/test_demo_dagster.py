"""`make demo-dagster`, as a user runs it: its table, its exit code, and what it leaves behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest

from scripts.demo.dagster import exit_code
from scripts.demo.view import Row
from tests.demo.test_demo import ROOT, environment, processes_with

DEMO = [sys.executable, "-m", "scripts.demo.dagster"]


@pytest.mark.live
@pytest.mark.timeout(400)
def test_it_materializes_and_prints_one_table() -> None:
    mark = f"demo-{time.monotonic_ns()}"
    done = subprocess.run(DEMO, cwd=ROOT, env=environment(mark), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if re.search(r"\b(job|bf)_\w+ ", line)]
    # Three connections synced, three days backfilled.
    assert len(rows) == 6
    for row in rows:
        assert "succeeded" in row
        assert re.search(r"http://127\.0\.0\.1:\d+/#/(jobs/job|backfills/bf)_\w+", row)
    assert {day for day in ("2026-01-01", "2026-01-02", "2026-01-03") if day in done.stdout} == {
        "2026-01-01",
        "2026-01-02",
        "2026-01-03",
    }
    assert "counts 3 syncs, 3 backfills, 0 cancels" in done.stdout
    assert processes_with(mark) == []


@pytest.mark.live
@pytest.mark.scenario
@pytest.mark.timeout(300)
def test_ctrl_c_leaves_nothing_running() -> None:
    mark = f"demo-{time.monotonic_ns()}"
    process = subprocess.Popen(DEMO, cwd=ROOT, env=environment(mark), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Dagster  http"):
            break
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "Nothing is left running" in rest
    deadline = time.monotonic() + 10
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_with(mark) == []


@pytest.mark.parametrize(
    ("states", "statuses", "code"),
    [
        (["success", "success"], ["succeeded", "succeeded"], 0),
        (["success", "failed"], ["succeeded", "failed"], 1),
        (["success", "success"], ["succeeded", "failed"], 1),
        (["success", "success"], [], 1),
    ],
)
def test_the_exit_code_tells_the_truth(states: list[str], statuses: list[str], code: int) -> None:
    assert exit_code(states, [Row("task", "job", status) for status in statuses]) == code
