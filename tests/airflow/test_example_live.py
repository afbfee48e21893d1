"""Every example DAG as it is shipped, all of them at once on a real Airflow, judged by their tasks, results and jobs.

The wheel holds the same files (`tests/packaging`). An example without an expectation here fails. With them runs what
the migration page shows as the new form of a DAG.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from scripts.airflow_local import LocalAirflow, Run
from scripts.local.sandbox import SandboxProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(420)]

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {"planasonix_assets": "test_assets_live.py", "planasonix_events": "push/test_push_live.py"}
"""Several DAGs that start one another, each run in a test of its own."""


def _sources() -> dict[str, str]:
    """DAG id → DAG file."""
    files = {path.stem: path.read_text() for path in (ROOT / "example_dags" / "airflow").glob("*.py")}
    shown = (ROOT / "docs" / "airflow" / "migration.md").read_text()
    [after] = re.findall(r"^```python\n(.*?)^```$", shown, re.DOTALL | re.MULTILINE)
    return {name: source for name, source in files.items() if name not in ELSEWHERE} | {"shop": after}


SOURCES = _sources()
EXAMPLES = sorted(SOURCES)
PATIENCE = 240.0
"""For all of them together; a quiet machine needs a third of it."""


@dataclass
class Seen:
    """What one example left behind. `pipeline_runs` are everybody's: they carry no metadata."""

    airflow: LocalAirflow
    run: Run
    jobs: list[dict[str, Any]]
    backfills: list[dict[str, Any]]
    pipeline_runs: list[dict[str, Any]]

    def result(self, task_id: str, map_index: int = -1) -> Any:
        return self.airflow.database.xcoms(self.run, task_id, map_index)["return_value"]

    def label(self, task_id: str, map_index: int) -> str:
        [row] = self.airflow.database.query(
            "SELECT rendered_map_index FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ? "
            "AND map_index = ?",
            *(self.run.dag_id, self.run.run_id, task_id, map_index),
        )
        return row["rendered_map_index"]


@dataclass(frozen=True)
class Expected:
    """How an example ends. `jobs`, `backfills`: how many it starts, by connection. `check`: what else is to be seen.
    `runs_by_itself`: by its schedule; the others are triggered.
    """

    tasks: dict[str, str | list[str]]
    jobs: dict[str, int]
    backfills: dict[str, int]
    check: Callable[[Seen], None]
    runs_by_itself: bool = False
    during: Callable[[LocalAirflow, SandboxProcess, Run], bool] = lambda *_: True


def _nightly(seen: Seen) -> None:
    day = seen.result("reload_day")
    assert day["window_start"].endswith("T02:00:00Z")
    assert day["window_end"].endswith("T02:00:00Z")
    assert day["window_start"] < day["window_end"]
    mapped = [seen.result("sync_others", index) for index in range(3)]
    assert mapped[2]["warnings"]
    assert seen.result("count_rows") == sum(one["rows_loaded"] for one in mapped)


def _sync(seen: Seen) -> None:
    assert {table["name"] for table in seen.result("deferred")["tables"]} > {"gl.journal_entries", "gl.accounts"}
    [job] = [job for job in seen.jobs if job["connection_id"] == "conn_finance_ledger"]
    assert (job["metadata"]["team"], job["metadata"]["task_id"]) == ("finance", "deferred")
    assert seen.result("blocking")["status"] == "succeeded"


def _mapped(seen: Seen) -> None:
    assert [seen.label("sync", index) for index in range(2)] == ["conn_ads_google", "conn_ads_meta"]


def _task_group(seen: Seen) -> None:
    labels = [seen.label("sources.sync", index) for index in range(3)]
    assert labels == ["conn_hubspot_marketing", "conn_jira_delivery", "Product events"]
    rows = seen.result("summary")
    assert set(rows) == {"conn_hubspot_marketing", "conn_jira_delivery", "conn_product_mongo"}
    assert all(rows.values())


def _data_interval(seen: Seen) -> None:
    outcome = seen.result("reload_day")
    assert [table["name"] for table in outcome["tables"]] == ["inventory.products", "inventory.stock_levels"]
    assert outcome["window_start"].endswith("T00:00:00Z")
    assert outcome["window_start"] < outcome["window_end"]


def _stages(seen: Seen) -> None:
    outcome = seen.result("load_history")
    assert [stage["start_at"][:10] for stage in outcome["stages"]] == ["2026-01-01", "2026-02-01", "2026-03-01"]
    assert outcome["rows_loaded"] == sum(stage["rows_loaded"] for stage in outcome["stages"])
    assert [table["name"] for table in outcome["tables"]] == ["analytics.fct_orders"]


def _partitions(seen: Seen) -> None:
    assert len(seen.result("load_incidents")["stages"]) == 2
    assert [seen.label("load_weeks", index) for index in range(2)] == ["2026-01-05", "2026-01-12"]


def _if_running(seen: Seen) -> None:
    handle, shared = seen.result("start"), seen.result("share_the_sync")
    assert (shared["id"], shared["owned"], shared["status"]) == (handle["id"], False, "succeeded")


def _end_what_is_shared(airflow: LocalAirflow, sandbox: SandboxProcess, run: Run) -> bool:
    """The slow sync ends once one task was skipped for it and the other waits for it."""
    skipped, sharing = (airflow.database.task(run, name) for name in ("skip_if_busy", "share_the_sync"))
    if not (skipped and skipped.state == "skipped" and sharing and sharing.state == "deferred"):
        return False
    job = airflow.database.xcoms(run, "start")["return_value"]["id"]
    sandbox.control("POST", f"jobs/{job}/finish", {"outcome": "succeeded"})
    return True


def _timeouts(seen: Seen) -> None:
    assert seen.result("sync")["status"] == "succeeded"


def _reconcile(seen: Seen) -> None:
    told = seen.result("reconcile")
    assert told["applied"] is False
    assert "orphan" not in told["counts"]


def _sensors(seen: Seen) -> None:
    here, anybody = seen.result("started_here"), seen.result("started_by_anybody")
    assert (here["id"], here["status"]) == (seen.result("start")["id"], "succeeded")
    assert (anybody["connection_id"], anybody["status"], anybody["owned"]) == ("conn_hr_people", "succeeded", False)


def _pipeline(seen: Seen) -> None:
    revenue, stopped = seen.result("revenue"), seen.result("not_today")
    assert (revenue["pipeline_id"], revenue["status"]) == ("pl_daily_revenue", "succeeded")
    assert revenue["nodes"]
    assert (stopped["id"], stopped["status"]) == (seen.result("close_the_ledger")["id"], "cancelled")
    assert Counter(run["pipeline_id"] for run in seen.pipeline_runs) == {"pl_daily_revenue": 1, "pl_ledger_close": 1}


def _migrated(seen: Seen) -> None:
    assert seen.result("wait_for_events")["id"] == seen.result("trigger_events")["id"]
    assert seen.result("sync_orders")["rows_loaded"]


EXPECTED = {
    "planasonix_nightly": Expected(
        {
            "sync_orders": "success",
            "sync_others": ["success"] * 3,
            "reload_day": "success",
            "count_rows": "success",
        },
        dict.fromkeys(("conn_shop_orders", "conn_crm_accounts", "conn_support_tickets", "conn_partner_sftp"), 1),
        {"conn_billing_stripe": 1},
        _nightly,
        runs_by_itself=True,
    ),
    "planasonix_sync": Expected(
        {"blocking": "success", "deferred": "success"}, {"conn_hr_people": 1, "conn_finance_ledger": 1}, {}, _sync
    ),
    "planasonix_mapped": Expected(
        {"choose": "success", "sync": ["success"] * 2}, {"conn_ads_google": 1, "conn_ads_meta": 1}, {}, _mapped
    ),
    "planasonix_task_group": Expected(
        {"sources.sync": ["success"] * 3, "summary": "success"},
        {"conn_hubspot_marketing": 1, "conn_jira_delivery": 1, "conn_product_mongo": 1},
        {},
        _task_group,
    ),
    "planasonix_data_interval": Expected(
        {"reload_day": "success"}, {}, {"conn_shop_inventory": 1}, _data_interval, runs_by_itself=True
    ),
    "planasonix_stages": Expected({"load_history": "success"}, {}, {"conn_analytics_wh": 3}, _stages),
    "planasonix_partitions": Expected(
        {"load_incidents": "success", "load_weeks": ["success"] * 2},
        {},
        {"conn_lakehouse_dbx": 2, "conn_iot_telemetry": 2},
        _partitions,
    ),
    "planasonix_if_running": Expected(
        {"start": "success", "skip_if_busy": "skipped", "share_the_sync": "success"},
        {"conn_erp_sap": 1},
        {},
        _if_running,
        during=_end_what_is_shared,
    ),
    "planasonix_timeouts": Expected({"sync": "success"}, {"conn_bq_exports": 1}, {}, _timeouts),
    "planasonix_sensors": Expected(
        dict.fromkeys(("start", "started_here", "started_by_anybody"), "success"), {"conn_hr_people": 1}, {}, _sensors
    ),
    "planasonix_retry_policy": Expected({"sync": "success"}, {"conn_finance_ledger": 1}, {}, _timeouts),
    "planasonix_pipeline": Expected(
        dict.fromkeys(("revenue", "close_the_ledger", "not_today"), "success"), {}, {}, _pipeline
    ),
    "shop": Expected(
        dict.fromkeys(("sync_orders", "trigger_events", "wait_for_events"), "success"),
        {"conn_01jq8k2m3n4p5q6r7s8t9u0v1": 1, "conn_marketing_lake": 1},
        {},
        _migrated,
        runs_by_itself=True,
    ),
    "planasonix_reconcile": Expected({"reconcile": "success"}, {}, {}, _reconcile),
}


def test_every_example_has_an_expectation() -> None:
    assert sorted(EXPECTED) == EXAMPLES


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"shop"}))
def test_it_can_be_imported_from_the_package(name: str) -> None:
    """And tells what it shows: that is the DAG's documentation in the UI."""
    assert import_module(f"airflow_provider_planasonix.example_dags.{name}").__doc__


@pytest.mark.parametrize(("name", "test"), ELSEWHERE.items())
def test_what_runs_elsewhere_does(name: str, test: str) -> None:
    assert (ROOT / "example_dags" / "airflow" / f"{name}.py").exists()
    assert f"{name}.py" in (Path(__file__).parent / test).read_text()


@pytest.fixture(scope="module")
def ended(airflow: LocalAirflow, _sandbox: SandboxProcess) -> Iterator[dict[str, Seen]]:
    """All examples, started together and run to their ends."""
    _sandbox.reset()
    deadline = time.monotonic() + PATIENCE
    for name in EXAMPLES:
        (airflow.home / "dags" / f"{name}.py").write_text(SOURCES[name])
    runs = {name: _started(airflow, name, deadline) for name in EXAMPLES}
    waiting = dict(runs)
    to_do = {name: EXPECTED[name].during for name in EXAMPLES}
    while waiting and time.monotonic() < deadline:
        airflow.check()
        for name, run in list(waiting.items()):
            if name in to_do and to_do[name](airflow, _sandbox, run):
                del to_do[name]
            if airflow.database.run_state(run) in ("success", "failed"):
                del waiting[name]
        time.sleep(0.2)
    state = _sandbox.control("GET", "state")
    yield {
        name: Seen(
            airflow,
            run,
            *([one for one in state[kind] if _is_of(run, one)] for kind in ("jobs", "backfills")),
            state["runs"],
        )
        for name, run in runs.items()
    }
    for name in EXAMPLES:
        airflow.pause(name)
        with contextlib.suppress(FileNotFoundError):
            (airflow.home / "dags" / f"{name}.py").unlink()


def _is_of(run: Run, started: dict[str, Any]) -> bool:
    """Whether the DAG run started this job or backfill; a backfill's own jobs are counted with it."""
    metadata = started["metadata"] or {}
    mine = (metadata.get("dag_id"), metadata.get("dag_run_id")) == (run.dag_id, run.run_id)
    return mine and not started.get("backfill_id")


def _started(airflow: LocalAirflow, name: str, deadline: float) -> Run:
    airflow.wait_until(
        lambda: airflow.database.dags_of(f"{name}.py") or airflow.database.import_errors(f"{name}.py"),
        f"{name} to be parsed",
        deadline - time.monotonic(),
    )
    assert airflow.database.import_errors(f"{name}.py") == {}
    if EXPECTED[name].runs_by_itself:
        return airflow.wait_until(
            lambda: airflow.database.first_run(name), f"a run of {name}", deadline - time.monotonic()
        )
    # Jobs of other tests are not this one's to judge.
    return airflow.trigger(name, conf={"dag_ids": EXAMPLES} if name == "planasonix_reconcile" else None)


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_runs(name: str, ended: dict[str, Seen]) -> None:
    seen, expected = ended[name], EXPECTED[name]
    database = seen.airflow.database
    assert database.run_state(seen.run) == "success", seen.airflow.dump(seen.run)
    states: dict[str, Any] = {}
    for row in database.tasks(seen.run):
        if row.map_index < 0:
            states[row.task_id] = row.state
        else:
            states.setdefault(row.task_id, []).append(row.state)
    assert states == expected.tasks
    assert Counter(job["connection_id"] for job in seen.jobs) == expected.jobs
    assert Counter(backfill["connection_id"] for backfill in seen.backfills) == expected.backfills
    expected.check(seen)
