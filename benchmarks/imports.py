"""What importing the operators adds to a DAG file that imports `airflow.sdk` anyway."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

PYTHON = Path(__file__).resolve().parents[1] / ".venvs" / "airflow" / "bin" / "python"
RUNS = 15
PROGRAM = """
import time
from airflow.sdk import DAG, BaseOperator
began = time.perf_counter()
import airflow_provider_planasonix.operators.sync, airflow_provider_planasonix.operators.backfill
print((time.perf_counter() - began) * 1000)
"""


def airflow_operators() -> Iterator[tuple[str, str]]:
    if not PYTHON.exists():
        yield "import of the operators on top of airflow.sdk", "not measured: run make envs first"
        return
    times = [
        float(subprocess.run([PYTHON, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.split()[-1])
        for _ in range(RUNS)
    ]
    yield f"import of the operators on top of airflow.sdk, minimum of {RUNS} (gate ≤ 60 ms)", f"{min(times):.0f} ms"
