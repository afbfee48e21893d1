"""Consumers of what a sync or a backfill loads, in a real Airflow: by asset, by alias, by partition."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from airflow_provider_planasonix.assets import planasonix_table

pytestmark = pytest.mark.live

ORDERS, CUSTOMERS = (planasonix_table("conn_shop_orders", f"public.{name}").uri for name in ("orders", "customers"))
modes = pytest.mark.parametrize(
    "deferrable",
    [pytest.param(False, id="blocking", marks=pytest.mark.scenario), pytest.param(True, id="deferrable")],
)
HEAD = """
from datetime import timedelta
from airflow.sdk import DAG, AssetAlias, CronPartitionTimetable, PartitionedAssetTimetable, PartitionedAtRuntime, task
from airflow_provider_planasonix.assets import planasonix_table
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

ORDERS, CUSTOMERS = (planasonix_table("conn_shop_orders", f"public.{name}") for name in ("orders", "customers"))
RETRY = {"retries": 1, "retry_delay": timedelta(seconds=1)}

def consumer(dag_id, schedule):
    with DAG(dag_id, schedule=schedule):
        @task
        def read(dag_run, triggering_asset_events):
            events = {asset.uri: events for asset, events in triggering_asset_events.items() if hasattr(asset, "uri")}
            return {
                "partition_key": dag_run.partition_key,
                "extra": {uri: [event.extra for event in each] for uri, each in events.items()},
            }

        read()
"""


def install(world: Any, name: str, body: str) -> None:
    world.airflow.add_dag(f"{name}.py", HEAD + textwrap.dedent(body))


def consumed(world: Any, dag_id: str) -> dict[str, Any]:
    """What the one run of a consumer read."""
    airflow = world.airflow
    run = airflow.wait_until(lambda: airflow.database.first_run(dag_id), f"a run of {dag_id}", 40)
    assert airflow.wait_run(run) == "success"
    return airflow.database.xcoms(run, "read")["return_value"]


@modes
def test_a_consumer_reads_what_was_loaded(world: Any, deferrable: bool) -> None:
    name = f"assets_{deferrable}".lower()
    install(
        world,
        name,
        f"""
        with DAG("{name}", schedule=None, default_args=RETRY):
            PlanasonixSyncOperator(
                task_id="sync", connection_id="conn_shop_orders", deferrable={deferrable}, poll_interval_seconds=0.5,
                outlets=[ORDERS, planasonix_table("conn_shop_orders", "public.unknown"), AssetAlias("{name}_loaded")],
            )
        consumer("{name}_of_the_table", [ORDERS])
        consumer("{name}_of_the_alias", AssetAlias("{name}_loaded"))
        """,
    )
    run = world.airflow.trigger(name)
    assert world.airflow.wait_run(run) == "success"
    outcome = world.airflow.database.xcoms(run, "sync")["return_value"]
    rows = {table["name"]: table["rows_loaded"] for table in outcome["tables"]}
    [job] = world.jobs()

    [extra] = consumed(world, f"{name}_of_the_table")["extra"][ORDERS]
    assert extra["rows_loaded"] == rows["public.orders"] > 0
    assert (extra["job_ids"], extra["link"], extra["state"]) == ([job["id"]], outcome["link"], "loaded")
    by_alias = consumed(world, f"{name}_of_the_alias")["extra"]
    assert {each["table"]: each["rows_loaded"] for [each] in by_alias.values()} == rows
    assert CUSTOMERS in by_alias
    [unknown] = [event for event in world.airflow.database.asset_events(run) if event["uri"].endswith("unknown")]
    assert (unknown["extra"]["state"], unknown["extra"]["rows_loaded"]) == ("no_change", 0)


@modes
def test_a_partition_key_is_the_window_and_goes_on_to_the_consumer(world: Any, deferrable: bool) -> None:
    name = f"partitions_{deferrable}".lower()
    install(
        world,
        name,
        f"""
        with DAG("{name}", schedule=PartitionedAtRuntime(), default_args=RETRY):
            PlanasonixBackfillOperator(
                task_id="load", connection_id="conn_shop_orders", deferrable={deferrable}, poll_interval_seconds=0.5,
                tables=["public.orders"], outlets=[ORDERS],
            )
        consumer("{name}_by_partition", PartitionedAssetTimetable(assets=ORDERS))
        """,
    )
    run = world.airflow.trigger(name, partition_key="2026-01-05")
    assert world.airflow.wait_run(run) == "success"
    outcome = world.airflow.database.xcoms(run, "load")["return_value"]
    assert (outcome["window_start"], outcome["window_end"]) == ("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z")
    assert world.jobs()[0]["metadata"]["partition_key"] == "2026-01-05"
    read = consumed(world, f"{name}_by_partition")
    assert read["partition_key"] == "2026-01-05"
    [extra] = read["extra"][ORDERS]
    assert (extra["window_start"], extra["id"]) == ("2026-01-05T00:00:00Z", outcome["id"])
    assert extra["rows_loaded"] == outcome["rows_loaded"] > 0


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
    assert world.airflow.wait_run(run) == "success"
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
        with DAG("backfilled", schedule=CronPartitionTimetable("0 0 * * *", timezone="Europe/Berlin"), default_args=RETRY):
            PlanasonixBackfillOperator(
                task_id="load", connection_id="conn_shop_orders", tables=["public.orders"], outlets=[ORDERS],
                partition_window="1d", partition_timezone="Europe/Berlin", poll_interval_seconds=0.2,
            )
        """,
    )
    airflow = world.airflow
    airflow.rest.post(
        "/backfills",
        {"dag_id": "backfilled", "from_date": "2026-03-28T00:00:00Z", "to_date": "2026-03-30T00:00:00Z"},
    )

    def ended() -> bool:
        rows = airflow.database.query("SELECT state FROM dag_run WHERE dag_id = 'backfilled'")
        return len(rows) == 3 and all(row["state"] in ("success", "failed") for row in rows)

    airflow.wait_until(ended, "three runs", 100)
    entries = world.sandbox.control("GET", "journal?operation=connections.backfill")["entries"]
    windows = sorted((each["body"]["start_at"], each["body"]["end_at"]) for each in entries if each["status"] == 202)
    # The clocks of Berlin go forward on the 29th.
    assert [(start[:13], end[:13]) for start, end in windows] == [
        ("2026-03-27T23", "2026-03-28T23"),
        ("2026-03-28T23", "2026-03-29T22"),
        ("2026-03-29T22", "2026-03-30T22"),
    ]
    keys = airflow.database.query(
        "SELECT partition_key FROM asset_event WHERE source_dag_id = 'backfilled' ORDER BY partition_key"
    )
    assert [row["partition_key"] for row in keys] == [f"2026-03-{day}T00:00:00" for day in (28, 29, 30)]
