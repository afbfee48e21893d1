"""`make demo-prefect`, as a user runs it: its table, its exit code, and what it leaves behind."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from scripts.demo.prefect import exit_code
from scripts.demo.view import Row
from tests.demo.test_demo import ROOT, environment, processes_with

DEMO = [sys.executable, "-m", "scripts.demo.prefect"]


@pytest.mark.live
@pytest.mark.scenario
@pytest.mark.timeout(400)
def test_it_runs_the_flow_and_prints_one_table() -> None:
    mark = f"demo-{time.monotonic_ns()}"
    done = subprocess.run(DEMO, cwd=ROOT, env=environment(mark), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if re.search(r"\bjob_\w+ ", line)]
    assert len(rows) == 3
    for row in rows:
        assert "succeeded" in row
        assert re.search(r"http://127\.0\.0\.1:\d+/#/jobs/job_\w+", row)
    assert "counts 3 syncs, 3 backfills, 0 cancels" in done.stdout
    assert processes_with(mark) == []


@pytest.mark.parametrize(
    ("state", "statuses", "code"),
    [("success", ["succeeded"], 0), ("failed", ["succeeded"], 1), ("success", ["failed"], 1), ("success", [], 1)],
)
def test_the_exit_code_tells_the_truth(state: str, statuses: list[str], code: int) -> None:
    assert exit_code(state, [Row("task", "job", status) for status in statuses]) == code
