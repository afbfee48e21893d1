"""OpenLineage's listener in a real Airflow of its own: the events that leave it, deferred or not, good or bad."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.airflow_local import LocalAirflow
from scripts.local.sandbox import SandboxProcess

pytestmark = [pytest.mark.live, pytest.mark.scenario]

DAGS = """
from airflow.sdk import DAG
from airflow_provider_planasonix.assets import planasonix_table
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

for deferrable in (False, True):
    common = {"deferrable": deferrable, "poll_interval_seconds": 0.5, "retries": 0}
    with DAG(f"lineage_{deferrable}".lower(), schedule=None):
        PlanasonixSyncOperator(
            task_id="good", connection_id="conn_shop_orders",
            outlets=[planasonix_table("conn_shop_orders", "public.orders")], **common,
        )
        PlanasonixSyncOperator(task_id="bad", connection_id="conn_legacy_mainframe", **common)
        PlanasonixBackfillOperator(
            task_id="staged", connection_id="conn_billing_stripe", stage="1d",
            start_at="2026-01-01T00:00:00Z", end_at="2026-01-03T00:00:00Z", **common,
        )
"""


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("openlineage") / "events"


@pytest.fixture(scope="module")
def listening(
    sandbox_port: int, _sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory, events_file: Path
) -> Iterator[LocalAirflow]:
    connection = {
        "conn_type": "planasonix",
        "host": f"http://127.0.0.1:{sandbox_port}",
        "password": _sandbox.api_key,
        "extra": {"job_url_template": f"http://127.0.0.1:{sandbox_port}/#/{{kind}}s/{{id}}"},
    }
    transport = {"type": "file", "log_file_path": str(events_file), "append": True}
    settings = {
        "AIRFLOW__OPENLINEAGE__DISABLED": "False",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "tests",
        "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "60",
    }
    with LocalAirflow(connections={"planasonix_default": connection}, environment_variables=settings) as running:
        running.add_dag("lineage.py", DAGS)
        yield running
        assert running.files_with(_sandbox.api_key) == []


@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferrable"])
def test_the_events_name_tables_rows_and_the_job(
    listening: LocalAirflow, sandbox_process: SandboxProcess, events_file: Path, deferrable: bool
) -> None:
    dag_id = f"lineage_{deferrable}".lower()
    run = listening.trigger(dag_id)
    assert listening.wait_run(run, timeout_seconds=200) == "failed"
    states = {row.task_id: row.state for row in listening.database.tasks(run)}
    assert states == {"good": "success", "bad": "failed", "staged": "success"}
    assert sandbox_process.api_key.encode() not in events_file.read_bytes()
    events = [json.loads(line) for line in events_file.read_text().splitlines()]
    last: dict[str, Any] = {event["job"]["name"]: event for event in events if event["eventType"] != "START"}
    good, bad, staged = (last[f"{dag_id}.{task}"] for task in ("good", "bad", "staged"))

    outcome = listening.database.xcoms(run, "good")["return_value"]
    assert good["eventType"] == "COMPLETE"
    rows = {
        (output["namespace"], output["name"]): output["outputFacets"]["outputStatistics"]["rowCount"]
        for output in good["outputs"]
    }
    expected = {("planasonix://conn_shop_orders", table["name"]): table["rows_loaded"] for table in outcome["tables"]}
    assert rows == expected
    assert rows
    ours = good["run"]["facets"]["planasonix"]
    assert (ours["ids"], ours["links"]) == ([outcome["id"]], [outcome["link"]])
    assert good["run"]["facets"]["externalQuery"]["externalQueryId"] == outcome["id"]

    assert bad["eventType"] == "FAIL"
    assert "source_authentication_failed" in bad["run"]["facets"]["errorMessage"]["message"]
    assert bad["run"]["facets"]["planasonix"]["status"] == "failed"
    assert bad["job"]["facets"]["planasonix"]["connectionId"] == "conn_legacy_mainframe"

    assert staged["eventType"] == "COMPLETE"
    assert staged["run"]["facets"]["planasonix"]["stagesDone"] == 2
    assert sum(output["outputFacets"]["outputStatistics"]["rowCount"] for output in staged["outputs"]) > 0
