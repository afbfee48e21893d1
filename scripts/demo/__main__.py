"""Start both, run the DAG while a terminal view shows it, print what happened, leave nothing behind."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from scripts.airflow_local import LocalAirflow, Run
from scripts.demo.running import API_KEY, guarded
from scripts.demo.view import Row, progress, show_result, summary
from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess

DAG_FILE = Path(__file__).resolve().parents[2] / "example_dags" / "airflow" / "planasonix_nightly.py"
DAG_ID = "planasonix_nightly"
TIME_LIMIT_SECONDS = 270.0
ENDED = frozenset({"success", "failed"})


def main() -> int:
    """Return 0 if every task of the DAG run succeeded, 1 if not, 130 after Ctrl-C."""
    return guarded(run_demo)


def run_demo(console: Console, logs: Path) -> int:
    port = free_port()
    connection = {
        "conn_type": "planasonix",
        "host": f"http://127.0.0.1:{port}",
        "password": API_KEY,
        "extra": {"job_url_template": f"http://127.0.0.1:{port}/#/{{kind}}s/{{id}}"},
    }
    console.print(f"Sandbox  http://127.0.0.1:{port}/  [dim](an emulated Planasonix, live page)[/]")
    with SandboxProcess(port, API_KEY, logs) as sandbox:
        console.print("Airflow  starting scheduler, triggerer, DAG processor and API server …")
        with LocalAirflow(connections={"planasonix_default": connection}) as airflow:
            console.print(f"Airflow  {airflow.url}/dags/{DAG_ID}  [dim](no login)[/]")
            airflow.add_dag(DAG_FILE.name, DAG_FILE.read_text())
            # Its schedule is daily, and no run was made yet: the scheduler makes the one of the last full day.
            run = airflow.wait_until(lambda: airflow.database.first_run(DAG_ID), "the scheduler to make a run", 60)
            state = follow(console, airflow, sandbox, run)
            rows = rows_of(airflow, sandbox, run)
            show_result(console, rows, summary(state, sandbox.control("GET", "counts")))
            return exit_code(state, rows)


def exit_code(state: str, rows: list[Row]) -> int:
    """0 only if the DAG run succeeded, and each of its Planasonix tasks did."""
    return 0 if state == "success" and rows and all(row.status == "succeeded" for row in rows) else 1


def follow(console: Console, airflow: LocalAirflow, sandbox: SandboxProcess, run: Run) -> str:
    """Show the run until it has ended; return its state. Raises TimeoutError past the time limit."""
    deadline = time.monotonic() + TIME_LIMIT_SECONDS
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            airflow.check()
            state = airflow.database.run_state(run) or "queued"
            live.update(progress(state, airflow.database.tasks(run), sandbox.control("GET", "counts")))
            if state in ENDED:
                return state
            if time.monotonic() > deadline:
                raise TimeoutError(airflow.dump(run))
            time.sleep(0.25)


def rows_of(airflow: LocalAirflow, sandbox: SandboxProcess, run: Run) -> list[Row]:
    """One row a Planasonix task: from its XCom if it succeeded, else from Airflow's state alone."""
    rows: list[Row] = []
    for task in sorted(airflow.database.tasks(run), key=lambda one: (one.start_date or "", one.map_index)):
        xcoms: dict[str, Any] = airflow.database.xcoms(run, task.task_id, task.map_index)
        outcome = xcoms.get("return_value")
        if isinstance(outcome, dict) and "connection_id" in outcome:
            rows.append(Row.of(task.task_id, task.map_index, outcome))
        elif task.task_id != "count_rows":
            rows.append(Row(_name(task.task_id, task.map_index), "—", task.state or "not run"))
    return rows


def _name(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


if __name__ == "__main__":
    sys.exit(main())
