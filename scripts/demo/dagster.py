"""A sandbox and `dg dev` with the example project: materialize assets, print what happened, leave nothing behind."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from scripts.dagster_local import DagsterTimeout, LocalDagster
from scripts.dagster_local.reading import FINAL
from scripts.demo.running import API_KEY, guarded
from scripts.demo.view import Row, progress_of, show_result, summary
from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess

PROJECT = Path(__file__).resolve().parents[2] / "example_dags" / "dagster"
SYNCED = ("shop", "crm")
"""Groups of assets that are synced: one step, and one job, for each connection."""
DAYS = ("2026-01-01", "2026-01-03")
"""Partitions that are backfilled in one run: one backfill for each day."""
TIME_LIMIT_SECONDS = 270.0
STATES = {
    "SUCCESS": "success",
    "FAILURE": "failed",
    "CANCELED": "failed",
    "STARTED": "running",
    "IN_PROGRESS": "running",
}


def main() -> int:
    """Return 0 if both runs succeeded, 1 if not, 130 after Ctrl-C."""
    return guarded(run_demo)


def run_demo(console: Console, logs: Path) -> int:
    port = free_port()
    console.print(f"Sandbox  http://127.0.0.1:{port}/  [dim](an emulated Planasonix, live page)[/]")
    with SandboxProcess(port, API_KEY, logs) as sandbox:
        console.print("Dagster  starting dg dev with example_dags/dagster …")
        variables = {
            "PLANASONIX_API_KEY": API_KEY,
            "PLANASONIX_BASE_URL": sandbox.url,
            "PLANASONIX_JOB_URL_TEMPLATE": f"{sandbox.url}/#/{{kind}}s/{{id}}",
        }
        with LocalDagster(PROJECT, environment_variables=variables) as dagster:
            console.print(f"Dagster  {dagster.url}/asset-groups")
            assets = dagster.assets()
            ours = {key: asset for key, asset in assets.items() if "planasonix" in asset["kinds"]}
            synced = [key for key, asset in ours.items() if asset["groupName"] in SYNCED]
            daily = [key for key, asset in ours.items() if asset["isPartitioned"]]
            runs = [dagster.launch_assets(*synced), dagster.launch_range(*DAYS, *daily)]
            states = follow(console, dagster, sandbox, runs)
            rows = [row for run_id in runs for row in rows_of(dagster, run_id)]
            state = "success" if set(states) == {"success"} else "failed"
            closing = summary(state, sandbox.control("GET", "counts"), "Dagster runs:")
            show_result(console, rows, closing)
            return exit_code(states, rows)


def exit_code(states: Sequence[str], rows: Sequence[Row]) -> int:
    """0 only if each run succeeded, and so did every job that it tells of."""
    return 0 if set(states) == {"success"} and rows and all(row.status == "succeeded" for row in rows) else 1


def follow(console: Console, dagster: LocalDagster, sandbox: SandboxProcess, run_ids: Sequence[str]) -> list[str]:
    """Show the runs until they have ended; return their states. Raises DagsterTimeout past the time limit."""
    deadline = time.monotonic() + TIME_LIMIT_SECONDS
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            dagster.check()
            states = [dagster.run_status(run_id) for run_id in run_ids]
            steps = [line for run_id in run_ids for line in _steps(dagster, run_id)]
            counts = sandbox.control("GET", "counts")
            live.update(progress_of(f"Runs: {', '.join(states).lower()}", "step", steps, counts))
            if all(state in FINAL for state in states):
                return [STATES[state] for state in states]
            if time.monotonic() > deadline:
                raise DagsterTimeout(dagster.dump(run_ids[0]))
            time.sleep(0.5)


def rows_of(dagster: LocalDagster, run_id: str) -> list[Row]:
    """One row for each job or backfill that the run's materializations tell of."""
    found: dict[str, list[tuple[str | None, dict[str, Any]]]] = {}
    for event in dagster.events(run_id, "ASSET_MATERIALIZATION"):
        told = event.metadata
        job = told.get("planasonix/job_id") or told.get("planasonix/backfill_id")
        if job:
            found.setdefault(job, []).append((event.partition, told))
    return [_row(job, tables) for job, tables in found.items()]


def _row(job: str, tables: Sequence[tuple[str | None, dict[str, Any]]]) -> Row:
    partition, told = tables[0]
    rows = sum(one.get("dagster/row_count", one.get("dagster/partition_row_count", 0)) for _, one in tables)
    return Row(
        f"{told['planasonix/connection_id']}{f' {partition}' if partition else ''}",
        job,
        # A backfill's own word for its end is another one.
        "succeeded" if told.get("planasonix/status") == "completed" else str(told.get("planasonix/status")),
        rows,
        told.get("planasonix/duration_seconds"),
        told.get("planasonix/job_url") or told.get("planasonix/backfill_url"),
    )


def _steps(dagster: LocalDagster, run_id: str) -> list[tuple[str, str, int | None]]:
    return [
        (key, STATES.get(str(step["status"]), str(step["status"]).lower()), len(step["attempts"]) or None)
        for key, step in dagster.steps(run_id).items()
    ]


if __name__ == "__main__":
    sys.exit(main())
