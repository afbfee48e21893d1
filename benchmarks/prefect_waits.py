"""A thousand waits in one flow of a real Prefect: what they cost both APIs, and how late the flow has the outcomes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venvs" / "prefect" / "bin" / "python"
WAITS = 1_000


def waits_in_one_flow() -> Iterator[Figure]:
    """By `prefect_flow`: the API allows 1,200 calls a minute, and 40 jobs end a second."""
    if not PYTHON.exists():
        return
    found = measured(WAITS)
    late = sorted(found["late_seconds"])
    name = f"Prefect: {WAITS:,} waits in one flow"
    yield Figure(f"{name}: status calls a wait", f"{found['start_calls'] + found['wait_calls']:.2f}", "≤ 2.5")
    yield Figure(f"{name}: outcomes that disagree with their job", str(len(found["wrong"])), "≤ 0")
    yield Figure(
        f"{name}: reads of results a wait, refused calls a wait",
        f"{found['outcome_calls']:.2f}, {found['refused']:.2f}",
    )
    prefect = {phase: sum(calls.values()) for phase, calls in found["prefect_calls"].items()}
    yield Figure(f"{name}: calls of Prefect's API a wait", f"{sum(prefect.values()):.1f}")
    yield Figure(f"{name}: until all have started", f"{found['seconds_to_start']:.0f} s")
    yield Figure(f"{name}: outcome in the flow after its job's end, p50", f"{late[len(late) // 2]:.1f} s")
    yield Figure(f"{name}: the same, p99", f"{late[int(len(late) * 0.99)]:.1f} s")


def measured(waits: int) -> dict[str, Any]:
    """What `prefect_flow` prints for that many waits."""
    command = [str(PYTHON), "-m", "benchmarks.prefect_flow", str(waits)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])
