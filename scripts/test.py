"""`make test`, `make scenarios`: each suite in its environment, then a search of all their output for secrets.

Each run makes up an API key of its own, hands it to the suites as `PLANASONIX_SANDBOX_API_KEY`, and fails if it turns
up in anything that they printed (G8). The suites themselves search what they leave on disk: Airflow's logs, database.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / ".test-logs"


@dataclass(frozen=True)
class Suite:
    """One call of pytest. `paths` are relative to the root."""

    environment: str
    paths: tuple[str, ...]
    options: tuple[str, ...] = ()


SUITES = (
    Suite("core", ("tests/core",)),
    Suite("core", ("tests/packaging",)),
    Suite("core", ("tests/demo",)),
    Suite("airflow", ("tests/airflow",), ("-m", "not scenario")),
    Suite("dagster", ("tests/dagster",)),
    Suite("prefect", ("tests/prefect",)),
)


SCENARIOS = (
    Suite("airflow", ("tests/airflow",), ("-m", "scenario")),
    Suite("airflow", ("tests/scenarios",), ("-m", "scenario")),
)
# One cell of each promise.
PROMISES = (Suite("airflow", ("tests/scenarios",), ("-m", "promise")),)


def main() -> int:
    """Run all suites, even after a failure; return 0 only if all passed and no secret was printed.

    With `--scenarios`, the long exit matrices instead; with `--promises`, one cell of each promise.
    """
    suites = SCENARIOS if "--scenarios" in sys.argv else PROMISES if "--promises" in sys.argv else SUITES
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir()
    key = f"plnx_live_canary_{secrets.token_hex(16)}"
    failed: list[str] = []
    for number, suite in enumerate(suites, 1):
        name = f"{number}-{suite.paths[0].replace('/', '-')}"
        began = time.monotonic()
        code = run(suite, LOGS / f"{name}.log", key)
        print(f"--- {suite.paths[0]}: exit {code} after {time.monotonic() - began:.0f} s", flush=True)
        if code != 0:
            failed.append(suite.paths[0])
    leaks = [path.name for path in LOGS.glob("*.log") if key.encode() in path.read_bytes()]
    if leaks:
        print(f"The API key of this run was printed, see .test-logs: {', '.join(leaks)}")
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed or leaks else 0


def run(suite: Suite, log: Path, key: str) -> int:
    """Run one suite; its output goes to the terminal and to `log`."""
    command = [str(ROOT / ".venvs" / suite.environment / "bin" / "pytest"), "-q", *suite.options, *suite.paths]
    environment = {**os.environ, "PLANASONIX_SANDBOX_API_KEY": key}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    assert process.stdout is not None
    with log.open("wb") as kept:
        for line in process.stdout:
            kept.write(line)
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
