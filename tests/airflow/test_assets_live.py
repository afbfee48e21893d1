"""Consumers of what a sync or a backfill loads, in a real Airflow: by asset, by alias, by partition."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

modes = pytest.mark.parametrize(
    "deferrable",
    [pytest.param(False, id="blocking", marks=pytest.mark.scenario), pytest.param(True, id="deferrable")],
)
EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "airflow" / "planasonix_assets.py"
HEAD = """
from datetime import timedelta
from airflow.sdk import DAG, CronPartitionTimetable, PartitionedAtRuntime
from airflow_provider_planasonix.assets import planasonix_table
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

ORDERS = planasonix_table("conn_shop_orders", "public.orders")
RETRY = {"retries": 1, "retry_delay": timedelta(seconds=1)}
"""


def install(world: Any, name: str, body: str) -> None:
    world.airflow.add_dag(f"{name}.py", HEAD + textwrap.dedent(body))


def consumed(world: Any, dag_id: str, task_id: str, *, partition_key: str | None = None) -> dict[str, Any]:
    """What the one run of a consumer returned, or its one run for the partition.

    Airflow runs a DAG that is new within a tenth of its interval after a tick at once: in the hours after midnight a
    daily one has a run of its own beside the one that a test asks for.
    """
    airflow = world.airflow
    run = airflow.wait_until(
        lambda: airflow.database.first_run(dag_id, partition_key=partition_key), f"a run of {dag_id}", 60
    )
    assert airflow.wait_run(run) == "success"
    return airflow.database.xcoms(run, task_id)["return_value"]


@pytest.fixture
def example(world: Any, deferrable: bool) -> str:
    """The example as it is shipped or, for the other mode, with a worker that waits; returns how its DAG ids begin."""
    source, prefix = EXAMPLE.read_text(), "planasonix_assets"
    if not deferrable:
        prefix = "blocking_assets"
        source = source.replace("deferrable=True", "deferrable=False").replace("planasonix_assets", prefix)
    world.airflow.add_dag(f"{prefix}.py", source)
    return prefix


@modes
def test_a_consumer_reads_what_was_loaded(world: Any, example: str, deferrable: bool) -> None:
    run = world.airflow.trigger(f"{example}_load")
    assert world.airflow.wait_run(run) == "success"
    outcome = world.airflow.database.xcoms(run, "sync_orders")["return_value"]
    rows = {table["name"]: table["rows_loaded"] for table in outcome["tables"]}
    [job] = world.jobs()
    extra = consumed(world, f"{example}_report", "report")
    assert extra["rows_loaded"] == rows["public.orders"] > 0
    assert (extra["job_ids"], extra["link"], extra["state"]) == ([job["id"]], outcome["link"], "loaded")
    assert consumed(world, f"{example}_check", "check") == rows


@modes
def test_a_partition_key_is_the_window_and_goes_on_to_the_consumer(world: Any, example: str, deferrable: bool) -> None:
    run = world.airflow.trigger(f"{example}_days", partition_key="2026-03-29")
    assert world.airflow.wait_run(run) == "success"
    outcome = world.airflow.database.xcoms(run, "load_day")["return_value"]
    # The clocks of Berlin go forward on that day.
    assert (outcome["window_start"], outcome["window_end"]) == ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
    assert "2026-03-29" in [job["metadata"]["partition_key"] for job in world.jobs("conn_billing_stripe")]
    read = consumed(world, f"{example}_daily_sums", "sum_up", partition_key="2026-03-29")
    assert read["day"] == "2026-03-29"
    assert (read["window_start"], read["id"]) == (outcome["window_start"], outcome["id"])
    assert read["rows_loaded"] == outcome["rows_loaded"] > 0


@pytest.mark.scenario
def test_each_stage_of_a_week_is_a_partition_of_its_own(world: Any) -> None:
    world.script(outcome="succeeded", queue_seconds=0.1, duration_seconds=0.2)
    install(
        world,
        "stages",
        """
        with DAG("stages", schedule=PartitionedAtRuntime(), default_args=RETRY):
            PlanasonixBackfillOperator(
                task_id="load", connection_id="conn_shop_orders", tables=["public.orders"], outlets=[ORDERS],
                stage="1d", partition_key_format="%Y-%m-%d", poll_interval_seconds=0.2,
            )
        """,
    )
    run = world.airflow.trigger("stages", partition_key="2026-W02")
    assert world.airflow.wait_run(run, timeout_seconds=100) == "success"
    outcome = world.airflow.database.xcoms(run, "load")["return_value"]
    events = world.airflow.database.asset_events(run)
    assert [event["partition_key"] for event in events] == [f"2026-01-{day:02}" for day in range(5, 12)]
    assert {event["extra"]["rows_loaded"] for event in events} == {outcome["rows_loaded"]}
    assert [each["id"] for each in events[0]["extra"]["stages"]] == [each["id"] for each in outcome["stages"]]


@pytest.mark.scenario
def test_mapped_instances_tell_of_their_own_tables_only(world: Any) -> None:
    install(
        world,
        "mapped",
        """
        connections = ["conn_shop_orders", "conn_crm_accounts"]
        tables = [ORDERS, planasonix_table("conn_crm_accounts", "public.accounts")]
        with DAG("mapped", schedule=None, default_args=RETRY):
            PlanasonixSyncOperator.partial(
                task_id="sync", deferrable=True, poll_interval_seconds=0.5, outlets=tables
            ).expand(connection_id=connections)
        """,
    )
    run = world.airflow.trigger("mapped")
    assert world.airflow.wait_run(run, timeout_seconds=100) == "success"
    events = world.airflow.database.asset_events(run)
    assert [(event["map_index"], event["extra"]["connection_id"]) for event in events] == [
        (1, "conn_crm_accounts"),
        (0, "conn_shop_orders"),
    ]


@pytest.mark.scenario
def test_airflows_own_backfill_of_a_partitioned_dag_loads_each_partition_once(world: Any) -> None:
    world.script(outcome="succeeded", queue_seconds=0.1, duration_seconds=0.2)
    install(
        world,
        "backfilled",
        """
        days = CronPartitionTimetable("0 0 * * *", timezone="Europe/Berlin")
        with DAG("backfilled", schedule=days, default_args=RETRY):
            PlanasonixBackfillOperator(
                task_id="load", connection_id="conn_shop_orders", tables=["public.orders"], outlets=[ORDERS],
                partition_window="1d", partition_timezone="Europe/Berlin", poll_interval_seconds=0.2,
            )
        """,
    )
    airflow = world.airflow
    # In the hours after midnight there is a scheduled run besides.
    of_backfill = "dag_id = 'backfilled' AND run_type = 'backfill'"
    airflow.rest.post(
        "/backfills",
        {"dag_id": "backfilled", "from_date": "2026-03-28T00:00:00Z", "to_date": "2026-03-30T00:00:00Z"},
    )

    def ended() -> bool:
        rows = airflow.database.query(f"SELECT state FROM dag_run WHERE {of_backfill}")
        return len(rows) == 3 and all(row["state"] in ("success", "failed") for row in rows)

    airflow.wait_until(ended, "three runs", 100)
    entries = world.sandbox.control("GET", "journal?operation=connections.backfill")["entries"]
    windows = sorted(
        (each["body"]["start_at"], each["body"]["end_at"])
        for each in entries
        if each["status"] == 202 and each["body"]["start_at"].startswith("2026-03")
    )
    # The clocks of Berlin go forward on the 29th.
    assert [(start[:13], end[:13]) for start, end in windows] == [
        ("2026-03-27T23", "2026-03-28T23"),
        ("2026-03-28T23", "2026-03-29T22"),
        ("2026-03-29T22", "2026-03-30T22"),
    ]
    keys = airflow.database.query(
        "SELECT partition_key FROM asset_event WHERE source_dag_id = 'backfilled' AND source_run_id IN "
        f"(SELECT run_id FROM dag_run WHERE {of_backfill}) ORDER BY partition_key"
    )
    assert [row["partition_key"] for row in keys] == [f"2026-03-{day}T00:00:00" for day in (28, 29, 30)]
