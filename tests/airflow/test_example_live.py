"""The example DAG as it is shipped, made to run by its own schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "airflow" / "planasonix_nightly.py"


def test_the_nightly_dag(world: Any) -> None:
    airflow = world.airflow
    [dag_id] = airflow.add_dag(EXAMPLE.name, EXAMPLE.read_text())
    run = airflow.wait_until(lambda: airflow.database.first_run(dag_id), "the scheduler to make a run", 60)
    assert airflow.wait_run(run) == "success"
    tasks = {(task.task_id, task.map_index): task.state for task in airflow.database.tasks(run)}
    assert tasks == {
        ("sync_orders", -1): "success",
        ("sync_others", 0): "success",
        ("sync_others", 1): "success",
        ("sync_others", 2): "success",
        ("reload_day", -1): "success",
        ("count_rows", -1): "success",
    }
    counts = world.sandbox.control("GET", "counts")
    assert (counts["jobs_started"], counts["backfills_started"], counts["cancels"]) == (4, 1, 0)
    day = airflow.database.xcoms(run, "reload_day")["return_value"]
    assert day["window_start"].endswith("T02:00:00Z")
    assert day["window_end"].endswith("T02:00:00Z")
    assert day["window_start"] < day["window_end"]
    mapped = [airflow.database.xcoms(run, "sync_others", index)["return_value"] for index in range(3)]
    assert mapped[2]["warnings"]
    assert airflow.database.xcoms(run, "count_rows")["return_value"] == sum(one["rows_loaded"] for one in mapped)
