"""`make demo`, as a user runs it: its table, its exit code, and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.demo.__main__ import exit_code
from scripts.demo.view import Row

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "-m", "scripts.demo"]


def processes_with(text: str) -> list[int]:
    """Every process whose command line or environment holds the text, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in told:
            found.append(int(entry.name))
    return found


def environment(mark: str) -> dict[str, str]:
    """The demo's children inherit it, so that none of them can hide."""
    return {**os.environ, "DEMO_TEST_MARK": mark}


@pytest.mark.live
@pytest.mark.timeout(300)
def test_it_runs_the_dag_and_prints_one_table() -> None:
    mark = f"demo-{time.monotonic_ns()}"
    done = subprocess.run(DEMO, cwd=ROOT, env=environment(mark), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if re.search(r"\b(job|bf)_\w+ ", line)]
    assert len(rows) == 5
    for row in rows:
        assert "succeeded" in row
        assert re.search(r"http://127\.0\.0\.1:\d+/#/(jobs/job|backfills/bf)_\w+", row)
        assert re.search(r"\d s ", row)
    assert "counts 4 syncs, 1 backfills, 0 cancels" in done.stdout
    assert processes_with(mark) == []


@pytest.mark.live
@pytest.mark.timeout(300)
@pytest.mark.parametrize("after", ["Airflow  starting", "Airflow  http"])
def test_ctrl_c_leaves_nothing_running(after: str) -> None:
    mark = f"demo-{time.monotonic_ns()}"
    process = subprocess.Popen(DEMO, cwd=ROOT, env=environment(mark), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(after):
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
    ("state", "statuses", "code"),
    [
        ("success", ["succeeded", "succeeded"], 0),
        ("failed", ["succeeded", "failed"], 1),
        ("success", ["succeeded", "—"], 1),
        ("success", [], 1),
    ],
)
def test_the_exit_code_tells_the_truth(state: str, statuses: list[str], code: int) -> None:
    assert exit_code(state, [Row("task", "job", status) for status in statuses]) == code
