"""`make demo`, as a user runs it: its table, its exit code, and what it leaves behind."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from scripts.demo.__main__ import exit_code
from scripts.demo.view import Row, show_result, summary

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


ROWS = [
    Row(f"sync_others[{number}]", f"job_0{number}jq00000014dhpk0cw", "succeeded", 1_234_567, 12.0, link)
    for number in range(3)
    if (link := f"http://127.0.0.1:54321/#/jobs/job_0{number}jq00000014dhpk0cw")
] + [Row("broken", "—", "failed")]
COUNTS = {"jobs_started": 3, "backfills_started": 0, "cancels": 0, "calls": 9, "calls_by_operation": {"jobs.list": 9}}


def shown(**options: object) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, color_system=None, **options)  # pyright: ignore[reportArgumentType]
    show_result(console, ROWS, summary("success", COUNTS))
    return file.getvalue().splitlines()


def test_a_narrow_terminal_gets_the_links_below_the_table() -> None:
    lines = shown(width=80, force_terminal=True)
    links = [f"{row.task}  {row.link}" for row in ROWS if row.link]
    start = lines.index(links[0])
    assert lines[start : start + 3] == links
    table = lines[:start]
    assert all(len(line) <= 80 for line in table)
    assert not [line for line in table if "http" in line or "link" in line]
    for row in ROWS:
        assert [line for line in table if row.task in line and row.job_id in line and row.status in line]
    assert "broken" not in "".join(links)
    assert "DAG run success" in "".join(lines[start + 3 :])


@pytest.mark.parametrize("options", [{"width": 80}, {"width": 200}, {"width": 200, "force_terminal": True}])
def test_elsewhere_one_table_holds_the_links(options: dict[str, object]) -> None:
    lines = shown(**options)
    for row in ROWS[:3]:
        (line,) = [line for line in lines if row.job_id in line]
        assert row.task in line
        assert f" {row.link} " in line
