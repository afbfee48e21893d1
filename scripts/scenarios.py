"""Write docs/scenarios.md from tests/scenarios; `--check` fails when it is not up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.scenarios.driver import Driver
from tests.scenarios.drivers.airflow import AirflowDriver
from tests.scenarios.drivers.dagster import DagsterDriver
from tests.scenarios.drivers.prefect import PrefectDriver
from tests.scenarios.table import markdown

TARGET = Path(__file__).resolve().parents[1] / "docs" / "scenarios.md"

HEAD = """# The scenarios

Written by `python -m scripts.scenarios` from `tests/scenarios/`, where each scenario stands once, as data. A driver for
each orchestrator plays them against the real thing, over HTTP to the sandbox, whose journal is the judge: `make
scenarios` plays all and prints the table with what was seen, `python -m scripts.test --promises` those marked with *.

*Blocking*: a worker waits for the job. *Deferred*: nobody's worker is held meanwhile; a trigger waits. *Starts* are
jobs of this task, *cancels* those of them that the API was asked to stop. *Tries* is the number of the try that ends
the task. Every cell also checks the metadata both ways (who started the job, in the job; id, tables, rows, checksums
and link, in the task), that nothing is left running that should not be, and that no API key was written anywhere.
"""

AIRFLOW = """\
Airflow 3 has no button and no call that kills a running task. What a user can do to stop one is to mark it (failed,
success), to clear it, or to end its whole run: the row "user kill" marks the run as failed. Deleting the run takes the
task's row and its ledger along, so that nobody can say any more whose job it was: it is left running, and the job's
metadata name the run that is gone.
"""

DAGSTER = """\
*Blocking*: a step waits. *Deferred*: the detached mode, in which a run submits the job and ends, and the polling sensor
tells how the job ended: no step is there that could be killed, retried or terminated while the job runs. A try is an
execution of the step, in the same run (`RetryPolicy`) or in the next one (run retries, re-execution). A run that was
terminated ends `CANCELED`, which counts as failed here.

Dagster has no act that calls a running run done, or that begins a running step anew: a run is re-executed once it has
ended, and a second run beside the first is a wish of its own, which waits while the connection is busy.
"""

PREFECT = """\
*Blocking*: a flow waits. *Deferred*: the flow run is suspended and has no process; a reconciler beside it resumes it
once the job has ended, and an automation runs the cleanup when it is cancelled meanwhile. A try is a run of the flow's
code: a retry of the flow (`retries`), or of the flow run with its button, which is how one goes on that has crashed,
because Prefect itself retries only what failed. What goes on after it was suspended is the same try. Crashed and
cancelled flow runs count as failed here.

A flow run whose machine is lost stays Running: an automation for dead runs, or a person, calls it crashed. No code can
tell Prefect that another try makes no sense: after a job that somebody cancelled the flow's retry comes, and starts
nothing.
"""

DRIVERS: tuple[tuple[type[Driver], str], ...] = (
    (AirflowDriver, AIRFLOW),
    (DagsterDriver, DAGSTER),
    (PrefectDriver, PREFECT),
)


def page() -> str:
    parts = [f"## {driver.name}\n\n{head}\n{markdown(driver)}\n" for driver, head in DRIVERS]
    return "\n".join([HEAD, *parts])


def main() -> int:
    """Write the page, or with --check return 1 when it is not what the data say."""
    if "--check" in sys.argv:
        if TARGET.exists() and TARGET.read_text() == page():
            return 0
        print(f"{TARGET.name} is not what tests/scenarios says: run python -m scripts.scenarios")
        return 1
    TARGET.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
