"""What OpenLineage is told, through its own extractor and adapter, without a running Airflow."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
from airflow.providers.openlineage.utils.utils import translate_airflow_asset
from airflow.utils.state import TaskInstanceState
from openlineage.client.serde import Serde

from airflow_provider_planasonix.assets import planasonix_table
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.pipeline import PlanasonixRunPipelineOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from planasonix.runs import Outcome, RunWarning, StagedOutcome, StageOutcome, TableOutcome

CONNECTION = "conn_shop_orders"
LOADED = Outcome(
    kind="job",
    id="job_1",
    connection_id=CONNECTION,
    status="succeeded",
    api_status="succeeded",
    tables=(
        TableOutcome("public.orders", "loaded", 7, "sha256:00"),
        TableOutcome("public.items", "loaded", None),
        TableOutcome("public.customers", "no_change"),
    ),
    warnings=(RunWarning("schema_drift", "public.orders.total was widened"),),
    rows_loaded=7,
    job_ids=("job_1",),
    link="https://app.example.com/jobs/job_1",
)
FAILED = replace(
    LOADED,
    status="failed",
    tables=(LOADED.tables[0], TableOutcome("public.items", "failed")),
    error_code="source_unreachable",
    error_message="no route to host",
)
SUCCESS, FAILURE = TaskInstanceState.SUCCESS, TaskInstanceState.FAILED


def told(task: Any, state: TaskInstanceState, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The event as it leaves Airflow, masked and all."""

    class Run:
        run_id = "r"

    sent: list[Any] = []
    adapter = OpenLineageAdapter()
    monkeypatch.setattr(adapter, "emit", sent.append)
    lineage = ExtractorManager().extract_metadata(Run(), task, state, None)
    emit = adapter.complete_task if state == SUCCESS else adapter.fail_task
    emit(
        run_id="01890000-0000-7000-8000-000000000000",
        job_name="d.t",
        end_time="2026-01-05T00:00:00Z",
        task=lineage,
        nominal_start_time=None,
        nominal_end_time=None,
        owners=None,
        tags=None,
        job_description=None,
    )
    return json.loads(Serde.to_json(adapter._redacter.redact(sent[0], max_depth=20)))


def sync(outcome: Any = None, **parameters: Any) -> PlanasonixSyncOperator:
    task = PlanasonixSyncOperator(task_id="sync", connection_id=CONNECTION, **parameters)
    task.outcome = outcome
    return task


def test_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    event = told(sync(LOADED), SUCCESS, monkeypatch)
    names = [(each["namespace"], each["name"]) for each in event["outputs"]]
    assert names == [(f"planasonix://{CONNECTION}", f"public.{name}") for name in ("orders", "items", "customers")]
    orders, items, customers = event["outputs"]
    assert orders["facets"]["version"]["datasetVersion"] == "sha256:00"
    assert orders["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert "outputFacets" not in items or not items["outputFacets"]
    assert customers["outputFacets"]["outputStatistics"]["rowCount"] == 0
    facets = event["run"]["facets"]
    assert facets["externalQuery"]["externalQueryId"] == "job_1"
    ours = facets["planasonix"]
    assert (ours["kind"], ours["ids"], ours["jobIds"], ours["links"]) == ("job", ["job_1"], ["job_1"], [LOADED.link])
    assert ours["tables"] == {"public.orders": "loaded", "public.items": "loaded", "public.customers": "no_change"}
    assert ours["warnings"] == ["schema_drift: public.orders.total was widened"]
    assert event["job"]["facets"]["planasonix"]["connectionId"] == CONNECTION
    assert "errorMessage" not in facets


def test_a_failure_names_the_tables_that_were_loaded_and_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    event = told(sync(FAILED), FAILURE, monkeypatch)
    rows = {each["name"]: each.get("outputFacets") for each in event["outputs"]}
    assert rows["public.orders"]["outputStatistics"]["rowCount"] == 7
    assert not rows["public.items"]
    assert "source_unreachable: no route to host" in event["run"]["facets"]["errorMessage"]["message"]
    assert event["run"]["facets"]["planasonix"]["status"] == "failed"


def test_a_backfill_in_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    days = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")
    stages = tuple(
        StageOutcome(
            start, start, end, "done", id=f"bf_{number}", link=f"https://app.example.com/backfills/bf_{number}"
        )
        for number, (start, end) in enumerate(pairwise(days))
    )
    task = PlanasonixBackfillOperator(task_id="load", connection_id=CONNECTION)
    tables = (TableOutcome("public.orders", "loaded", 9),)
    task.outcome = StagedOutcome(CONNECTION, "succeeded", days[0], days[-1], stages, tables, 9)
    event = told(task, SUCCESS, monkeypatch)
    [output] = event["outputs"]
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 9
    ours = event["run"]["facets"]["planasonix"]
    assert (ours["ids"], ours["stagesDone"], ours["stagesTotal"]) == (["bf_0", "bf_1"], 2, 2)
    assert (ours["windowStart"], ours["windowEnd"]) == (days[0], days[-1])


def test_a_pipeline_by_name_is_told_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    task = PlanasonixRunPipelineOperator(task_id="run", pipeline_name="daily_revenue")
    task.outcome = Outcome("run", "run_1", None, "succeeded", "succeeded", pipeline_id="pl_daily_revenue")
    event = told(task, SUCCESS, monkeypatch)
    assert event["job"]["facets"]["planasonix"]["pipelineId"] == "pl_daily_revenue"


def test_a_task_that_read_no_outcome_tells_its_declared_outlets(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = planasonix_table(CONNECTION, "public.orders")
    event = told(sync(outlets=[asset]), FAILURE, monkeypatch)
    assert [(each["namespace"], each["name"]) for each in event["outputs"]] == [
        (f"planasonix://{CONNECTION}", "public.orders")
    ]
    assert event["job"]["facets"]["planasonix"]["connectionId"] == CONNECTION


@pytest.mark.parametrize("table", ["public.orders", "lake.Größe.a b", "t"])
def test_an_asset_is_the_dataset_that_the_operators_report(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection_id = "conn@eu/1"
    dataset = translate_airflow_asset(planasonix_table(connection_id, table), None)
    task = PlanasonixSyncOperator(task_id="sync", connection_id=connection_id)
    task.outcome = replace(LOADED, tables=(TableOutcome(table, "loaded", 1),))
    [output] = told(task, SUCCESS, monkeypatch)["outputs"]
    assert dataset is not None
    assert (dataset.namespace, dataset.name) == (output["namespace"], output["name"])
