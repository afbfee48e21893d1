"""A sandbox and a real Prefect that serves the example flow: run it, print what happened, leave nothing behind."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from scripts.demo.running import API_KEY, guarded
from scripts.demo.view import Row, progress_of, show_result, summary
from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect, PrefectTimeout
from scripts.prefect_local.reading import FINAL

FLOWS = Path(__file__).resolve().parents[2] / "example_dags" / "prefect"
DEPLOYMENT = "nightly/demo"
TIME_LIMIT_SECONDS = 270.0
STATES = {"COMPLETED": "success", "FAILED": "failed", "CRASHED": "failed", "CANCELLED": "failed"}
SAVE_CREDENTIALS = """
import os
from prefect_planasonix import PlanasonixCredentials

PlanasonixCredentials(
    api_key=os.environ["PLANASONIX_API_KEY"], job_url_template=os.environ["PLANASONIX_JOB_URL_TEMPLATE"]
).save("planasonix", overwrite=True)
"""
# Prefect imports this file anew in the process of each flow run.
SERVE = """
from nightly import nightly

if __name__ == "__main__":
    nightly.serve("demo")
"""


def main() -> int:
    """Return 0 if the flow run succeeded with all its jobs, 1 if not, 130 after Ctrl-C."""
    return guarded(run_demo)


def run_demo(console: Console, logs: Path) -> int:
    port = free_port()
    console.print(f"Sandbox  http://127.0.0.1:{port}/  [dim](an emulated Planasonix, live page)[/]")
    with SandboxProcess(port, API_KEY, logs) as sandbox:
        console.print("Prefect  starting a server, and serving example_dags/prefect/nightly.py …")
        variables = {
            "PLANASONIX_API_KEY": API_KEY,
            "PLANASONIX_BASE_URL": sandbox.url,
            "PLANASONIX_JOB_URL_TEMPLATE": f"{sandbox.url}/#/{{kind}}s/{{id}}",
        }
        with LocalPrefect(FLOWS, workers=0, pages=True, environment_variables=variables) as prefect:
            prefect.write("save_credentials.py", SAVE_CREDENTIALS)
            prefect.run_to_end("save_credentials.py", "save-credentials")
            prefect.write("serve_nightly.py", SERVE)
            prefect.serve("serve_nightly.py")
            flow_run = prefect.start_run(prefect.wait_deployed(DEPLOYMENT))
            console.print(f"Prefect  {prefect.url}/runs/flow-run/{flow_run}")
            state = follow(console, prefect, sandbox, flow_run)
            rows = rows_of(prefect, flow_run)
            if state != "success":
                console.print(prefect.dump(flow_run), markup=False)
            show_result(console, rows, summary(state, sandbox.control("GET", "counts"), "Flow run:"))
            return exit_code(state, rows)


def exit_code(state: str, rows: Sequence[Row]) -> int:
    """0 only if the flow run succeeded, and so did every job that it tells of."""
    return 0 if state == "success" and rows and all(row.status == "succeeded" for row in rows) else 1


def follow(console: Console, prefect: LocalPrefect, sandbox: SandboxProcess, flow_run: str) -> str:
    """Show the flow run until it has ended; return its state. Raises PrefectTimeout past the time limit."""
    deadline = time.monotonic() + TIME_LIMIT_SECONDS
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            prefect.check()
            found = prefect.run(flow_run)["state"]
            lines = [
                (one["name"], str(one["state_name"] or "waiting").lower(), one["run_count"] or None)
                for one in prefect.task_runs(flow_run)
            ]
            live.update(
                progress_of(f"Flow run: {found['name'].lower()}", "task", lines, sandbox.control("GET", "counts"))
            )
            if found["type"] in FINAL:
                return STATES[found["type"]]
            if time.monotonic() > deadline:
                raise PrefectTimeout(prefect.dump(flow_run))
            time.sleep(0.5)


def rows_of(prefect: LocalPrefect, flow_run: str) -> list[Row]:
    """One row for each job that the flow run's artifacts tell of, in the order in which they were asked for."""
    links: dict[str, str] = {}
    told: dict[str, dict[str, Any]] = {}
    asked: list[str] = []
    for one in prefect.artifacts(flow_run, "planasonix-"):
        words = (one["description"] or "").split()
        if one["key"].startswith("planasonix-link-"):
            links[words[2]] = one["data"].partition("](")[2].rstrip(")")
            asked.append(words[2])
        elif one["key"].startswith("planasonix-tables-"):
            told[words[2]] = one
    return [_row(job, told.get(job), links.get(job)) for job in asked]


def _row(job: str, table: dict[str, Any] | None, link: str | None) -> Row:
    if table is None:
        return Row("—", job, "not ended", link=link)
    rows = table["data"] if isinstance(table["data"], list) else json.loads(table["data"])
    loaded = sum(one["rows"] or 0 for one in rows)
    name, _, how = table["description"].partition(": ")
    return Row(name.rpartition(" of ")[2], job, how.split(" ")[0].rstrip(",."), loaded, None, link)


if __name__ == "__main__":
    sys.exit(main())
