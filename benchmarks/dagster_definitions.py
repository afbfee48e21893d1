"""How long Dagster definitions of many connections take to build from stored state, beside the same made by hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
# Ours and Fivetran's in one environment.
PYTHON = ROOT / ".venvs" / "bench-dagster" / "bin" / "python"
SIZES = (100, 200, 500)


def definitions() -> Iterator[Figure]:
    """Processor seconds of the quickest of three rounds, for connections of 100 tables each."""
    if not PYTHON.exists():
        return
    for connections in SIZES:
        took = seconds(connections)
        gate, goal = ("≤ 1.5", "≤ 1.2") if connections == max(SIZES) else ("", "")
        size = f"{connections} connections of 100 tables"
        yield Figure(f"{size}: by hand", f"{took['by hand']:.1f} s")
        yield Figure(f"{size}: from stored state, times that", f"{took['ours'] / took['by hand']:.2f}", gate, goal)
        yield Figure(f"{size}: state parsed", f"{took['state']:.2f} s", "", "≤ 0.5 s" if gate else "")
        beside = f"{took['fivetran'] / took['by hand']:.2f} ({took['fivetran']:.1f} s)"
        yield Figure(f"{size}: dagster-fivetran (0.29.27) from its state, which has no checks, times that", beside)


def seconds(connections: int) -> dict[str, float]:
    """What `definitions_contenders` measures for that many connections."""
    command = [str(PYTHON), "-m", "benchmarks.definitions_contenders", str(connections)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])
