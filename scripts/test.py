"""`make test`, `make scenarios`: each suite in its environment, then a search of all their output for secrets.

Each run makes up an API key of its own, hands it to the suites as `PLANASONIX_SANDBOX_API_KEY`, and fails if it turns
up in anything that they printed (G8). The suites themselves search what they leave on disk: Airflow's logs, database.

Suites of one lane run one after another, three lanes side by side: most tests wait more than they compute. The tests
that measure time come first, alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / ".test-logs"


@dataclass(frozen=True)
class Suite:
    """One call of pytest. `paths` are relative to the root; `part` names it where there are several of one path."""

    environment: str
    paths: tuple[str, ...]
    options: tuple[str, ...] = ()
    part: str = ""

    @property
    def name(self) -> str:
        return self.part or self.paths[0]


Lane = tuple[Suite, ...]

# What measures time has the machine to itself, before the lanes: beside them it would measure them.
ALONE: tuple[Lane, ...] = (
    (
        Suite("core", ("tests/core/gates",), ("-m", "alone"), "core-alone"),
        Suite(
            "airflow",
            ("tests/airflow/test_import_cost.py", "tests/airflow/test_provider_info.py"),
            ("-m", "alone"),
            "airflow-alone",
        ),
        Suite(
            "dagster",
            ("tests/dagster/test_import.py", "tests/dagster/test_definitions_gate.py"),
            ("-m", "alone"),
            "dagster-alone",
        ),
        Suite("prefect", ("tests/prefect/test_import.py",), ("-m", "alone"), "prefect-alone"),
    ),
)
# Lanes of one suite: whoever of the `AT_ONCE` is free takes the next, so that none waits for another's long tail. The
# longest come first.
LANES: tuple[Lane, ...] = (
    (Suite("airflow", ("tests/airflow",), ("-m", "live and not scenario"), "airflow-live"),),
    # A test of its own process each: none needs the machine for itself.
    (Suite("core", ("tests/core",), ("-n", "3", "--dist", "worksteal", "-m", "not alone and not scenario")),),
    (Suite("dagster", ("tests/dagster",), ("-m", "not live and not scenario and not alone")),),
    (Suite("prefect", ("tests/prefect",), ("-m", "not scenario and not alone")),),
    # From outside: the core's environment has the browser.
    (Suite("core", ("tests/dagster_example",), ("-m", "live and not scenario")),),
    (Suite("airflow", ("tests/airflow",), ("-m", "not live and not scenario and not alone")),),
    (Suite("dagster", ("tests/dagster",), ("-m", "live and not scenario"), "dagster-live"),),
    (Suite("core", ("tests/demo",), ("-m", "not scenario")),),
    (Suite("core", ("tests/packaging",)),),
)

SCENARIOS: tuple[Lane, ...] = (
    (
        Suite("airflow", ("tests/airflow",), ("-m", "scenario"), "airflow-scenarios"),
        Suite("airflow", ("tests/scenarios/test_airflow.py",), ("-m", "scenario")),
        Suite("dagster", ("tests/scenarios/test_dagster.py",), ("-m", "scenario")),
        Suite("dagster", ("tests/dagster",), ("-m", "scenario"), "dagster-scenarios"),
        Suite("prefect", ("tests/scenarios/test_prefect.py",), ("-m", "scenario")),
        Suite("prefect", ("tests/prefect",), ("-m", "scenario"), "prefect-scenarios"),
        Suite("core", ("tests/demo", "tests/dagster_example"), ("-m", "scenario"), "demo-scenarios"),
        Suite("core", ("tests/prefect_ui",), ("-m", "scenario")),
        Suite("core", ("tests/core",), ("-m", "scenario"), "core-scenarios"),
    ),
)
# One cell of each promise.
PROMISES: tuple[Lane, ...] = (
    (
        Suite("airflow", ("tests/scenarios/test_airflow.py",), ("-m", "promise")),
        Suite("dagster", ("tests/scenarios/test_dagster.py",), ("-m", "promise")),
        Suite("prefect", ("tests/scenarios/test_prefect.py",), ("-m", "promise")),
    ),
)

AT_ONCE = 3
_printing = threading.Lock()


def main() -> int:
    """Run all suites, even after a failure; return 0 only if all passed and no secret was printed.

    With `--scenarios`, the long exit matrices instead; with `--promises`, one cell of each promise.
    """
    steps = (SCENARIOS,) if "--scenarios" in sys.argv else (PROMISES,) if "--promises" in sys.argv else (ALONE, LANES)
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir()
    key = f"plnx_live_canary_{secrets.token_hex(16)}"
    failed: list[str] = []
    for lanes in steps:
        with ThreadPoolExecutor(min(len(lanes), AT_ONCE)) as pool:
            failed += [name for names in pool.map(lambda lane: run_lane(lane, key), lanes) for name in names]
    leaks = [path.name for path in LOGS.glob("*.log") if key.encode() in path.read_bytes()]
    if leaks:
        print(f"The API key of this run was printed, see .test-logs: {', '.join(leaks)}")
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed or leaks else 0


def run_lane(lane: Lane, key: str) -> list[str]:
    """Run the suites of a lane; return the names of those that failed. Each prints its output once it has ended."""
    failed: list[str] = []
    for suite in lane:
        log = LOGS / f"{suite.name.replace('/', '-')}.log"
        print(f"... {suite.name}", flush=True)
        began = time.monotonic()
        code = run(suite, log, key)
        with _printing:
            sys.stdout.buffer.write(log.read_bytes())
            sys.stdout.flush()
            print(f"--- {suite.name}: exit {code} after {time.monotonic() - began:.0f} s", flush=True)
        if code != 0:
            failed.append(suite.name)
    return failed


def run(suite: Suite, log: Path, key: str) -> int:
    """Run one suite; its output goes to `log`."""
    command = [str(ROOT / ".venvs" / suite.environment / "bin" / "pytest"), "-q", *suite.options, *suite.paths]
    environment = {**os.environ, "PLANASONIX_SANDBOX_API_KEY": key}
    with log.open("wb") as kept:
        return subprocess.run(command, cwd=ROOT, stdout=kept, stderr=subprocess.STDOUT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
