"""What stands in the events of a task's outlets, with Airflow's own accessors and without a running Airflow."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.sdk.execution_time.task_runner import _serialize_outlet_events

from airflow_provider_planasonix.assets import planasonix_table
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from airflow_provider_planasonix.outlets import note_outcome
from airflow_provider_planasonix.provenance import provenance_of
from planasonix.runs import Outcome, RunWarning, StagedOutcome, StageOutcome, TableOutcome

CONNECTION = "conn_shop_orders"
ORDERS, CUSTOMERS = (planasonix_table(CONNECTION, f"public.{name}") for name in ("orders", "customers"))
LOADED = Outcome(
    kind="job",
    id="job_1",
    connection_id=CONNECTION,
    status="succeeded",
    api_status="succeeded",
    tables=(TableOutcome("public.orders", "loaded", 7, "sha256:00"), TableOutcome("public.items", "loaded", 3)),
    finished_at="2026-01-05T02:03:04Z",
    job_ids=("job_1",),
    generation=1,
    link="https://app.example.com/jobs/job_1",
)


def stage(day: int, **more: Any) -> StageOutcome:
    start, end = (f"2026-01-{number:02}T00:00:00Z" for number in (day, day + 1))
    done: dict[str, Any] = {"id": f"bf_{day}", "state": "done", "finished_at": f"2026-02-01T00:00:{day:02}Z"}
    return StageOutcome(f"s{day}", start, end, **{**done, **more})


STAGED = StagedOutcome(
    connection_id=CONNECTION,
    status="succeeded",
    window_start="2026-01-01T00:00:00Z",
    window_end="2026-01-04T00:00:00Z",
    stages=tuple(stage(day) for day in (1, 2, 3)),
    tables=(TableOutcome("public.orders", "loaded", 21),),
    rows_loaded=21,
)


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """References are looked up through the task's supervisor, and there is none."""
    monkeypatch.setattr(OutletEventAccessors, "_get_asset_from_db", staticmethod(lambda name=None, uri=None: ORDERS))


def events_of(task: Any, outcome: Outcome | StagedOutcome) -> list[dict[str, Any]]:
    """As Airflow would send them: whatever is no plain JSON fails here."""
    accessors = OutletEventAccessors()
    note_outcome(task, {"outlet_events": accessors}, outcome)
    assert task.outcome is outcome
    return json.loads(json.dumps(list(_serialize_outlet_events(accessors))))


def sync(**parameters: Any) -> PlanasonixSyncOperator:
    return PlanasonixSyncOperator(**{"task_id": "sync", "connection_id": CONNECTION, **parameters})


def backfill(**parameters: Any) -> PlanasonixBackfillOperator:
    return PlanasonixBackfillOperator(**{"task_id": "load", "connection_id": CONNECTION, **parameters})


@pytest.mark.parametrize("outlet", [ORDERS, Asset.ref(uri=ORDERS.uri), Asset.ref(name=ORDERS.name)])
def test_a_loaded_table(outlet: Any) -> None:
    [event] = events_of(sync(outlets=[outlet]), LOADED)
    assert event["dest_asset_key"] == {"name": ORDERS.name, "uri": ORDERS.uri}
    assert event["extra"] == {
        "connection_id": CONNECTION,
        "table": "public.orders",
        "state": "loaded",
        "rows_loaded": 7,
        "checksum": "sha256:00",
        "window_start": None,
        "window_end": None,
        "kind": "job",
        "id": "job_1",
        "job_ids": ["job_1"],
        "generation": 1,
        "finished_at": "2026-01-05T02:03:04Z",
        "link": "https://app.example.com/jobs/job_1",
    }


def test_a_declared_table_that_was_not_loaded_says_so() -> None:
    [event] = events_of(sync(outlets=[CUSTOMERS]), LOADED)
    assert (event["extra"]["state"], event["extra"]["rows_loaded"]) == ("no_change", 0)


def test_where_results_could_not_be_read_nothing_is_invented() -> None:
    unread = replace(LOADED, tables=(), warnings=(RunWarning("results_not_read", "no results of 1 of 1 jobs"),))
    [event] = events_of(sync(outlets=[CUSTOMERS]), unread)
    assert (event["extra"]["state"], event["extra"]["rows_loaded"]) == ("unknown", None)
    staged = replace(STAGED, tables=(), stages=(stage(1, warnings=unread.warnings),))
    [event] = events_of(backfill(outlets=[CUSTOMERS]), staged)
    assert (event["extra"]["state"], event["extra"]["rows_loaded"]) == ("unknown", None)


def test_an_alias_gets_the_tables_that_were_loaded_and_no_others() -> None:
    tables = (*LOADED.tables, TableOutcome("public.customers", "no_change"), TableOutcome("odd..name", "loaded", 1))
    events = events_of(sync(outlets=[AssetAlias("loaded")]), replace(LOADED, tables=tables))
    assert {event["source_alias_name"] for event in events} == {"loaded"}
    found = {event["dest_asset_key"]["uri"]: event["extra"]["rows_loaded"] for event in events}
    assert found == {f"planasonix://{CONNECTION}/public/orders": 7, f"planasonix://{CONNECTION}/public/items": 3}


def test_outlets_of_other_kinds_are_the_users_own() -> None:
    task = sync(outlets=[Asset("s3://bucket/key"), ORDERS])
    [event] = events_of(task, LOADED)
    assert event["dest_asset_key"]["uri"] == ORDERS.uri
    assert task.outlets == [Asset("s3://bucket/key"), ORDERS]


def test_a_mapped_instance_says_nothing_of_anothers_table() -> None:
    other, bucket = planasonix_table("conn_other", "public.orders"), Asset("s3://bucket/key")
    task = sync(outlets=[ORDERS, other, bucket], connection_id="{{ params.conn }}")
    task.connection_id = CONNECTION
    assert len(events_of(task, LOADED)) == 1
    assert task.outlets == [ORDERS, bucket]
    task = backfill(outlets=[ORDERS, CUSTOMERS], tables="{{ params.tables }}")
    task.tables = ["public.orders"]
    assert len(events_of(task, replace(LOADED, kind="backfill"))) == 1
    assert task.outlets == [ORDERS]


def test_a_failure_emits_nothing() -> None:
    assert events_of(sync(outlets=[ORDERS]), replace(LOADED, status="failed")) == []


def test_the_stages_of_a_backfill_are_one_event() -> None:
    [event] = events_of(backfill(outlets=[ORDERS]), STAGED)
    extra = event["extra"]
    assert (extra["kind"], extra["rows_loaded"], extra["finished_at"]) == (
        "staged_backfill",
        21,
        "2026-02-01T00:00:03Z",
    )
    assert (extra["stages_total"], [each["id"] for each in extra["stages"]]) == (3, ["bf_1", "bf_2", "bf_3"])
    assert set(extra) > set(events_of(sync(outlets=[ORDERS]), LOADED)[0]["extra"])


def test_a_long_list_of_stages_is_cut() -> None:
    many = replace(STAGED, stages=tuple(stage(1) for _ in range(1000)))
    [event] = events_of(backfill(outlets=[ORDERS]), many)
    assert event["extra"]["stages_total"] == 1000
    assert len(json.dumps(event)) < 10_000


def test_each_stage_is_a_partition() -> None:
    task = backfill(outlets=[ORDERS, AssetAlias("loaded")], partition_key_format="%Y-%m-%d")
    events = events_of(task, STAGED)
    keys = sorted(event["partition_key"] for event in events if "partition_key" in event)
    assert keys == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert sum("source_alias_name" in event for event in events) == 1


def test_a_partition_key_is_of_its_zone() -> None:
    task = backfill(outlets=[ORDERS], partition_key_format="%Y-%m-%dT%H", partition_timezone="America/New_York")
    whole = replace(LOADED, kind="backfill", window_start="2026-01-01T00:00:00Z", window_end="2026-01-02T00:00:00Z")
    [event] = events_of(task, whole)
    assert event["partition_key"] == "2025-12-31T19"


def test_what_goes_wrong_here_fails_no_task() -> None:
    task = sync(outlets=[ORDERS])
    note_outcome(task, {}, LOADED)
    assert task.outcome is LOADED


def context(**more: Any) -> dict[str, Any]:
    class Task:
        dag_id, run_id, task_id, map_index = "d", "r", "t", -1

    return {"ti": Task(), **more}


def test_the_job_knows_the_partition() -> None:
    assert provenance_of(context(partition_key="2026-01-05")).details["partition_key"] == "2026-01-05"
    assert "partition_key" not in provenance_of(context()).details


def test_the_window_is_the_partitions() -> None:
    run = {"partition_key": "2026-01", "data_interval_start": None, "data_interval_end": None}
    request = backfill().run_request(run)
    assert (request.start_at, request.end_at) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert len(backfill(stage="1d").run_request(run).stages) == 31
    given = backfill(start_at="2026-03-01T00:00Z", end_at="2026-03-02T00:00Z").run_request(run)
    assert given.start_at.month == 3
