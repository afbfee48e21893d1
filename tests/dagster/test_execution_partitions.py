"""`sync_and_poll` of partitioned assets, against a sandbox over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix import staged_attempt
from dagster_planasonix.checks import check_specs
from dagster_planasonix.clients import close_clients
from planasonix.sandbox import RunningSandbox, Sandbox
from tests.dagster.steps import (
    CONNECTION,
    KEY,
    backfills_of,
    checked,
    days,
    failure_of,
    materialize,
    materialized,
    observed,
    shop,
    spec_of,
    workspace_of,
)

ORDERS, ITEMS = "public.orders", "public.order_items"
DAILY = dg.DailyPartitionsDefinition("2026-01-01")
BERLIN = dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin")


@pytest.fixture(scope="module")
def served_here() -> Iterator[RunningSandbox]:
    with Sandbox(api_keys=(KEY,), speed=500).serve() as running:
        yield running
    close_clients()


@pytest.fixture
def served(served_here: RunningSandbox) -> RunningSandbox:
    served_here.reset()
    return served_here


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def stored(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> dict[str | None, Any]:
    """The rows of the run's materializations of the orders, by partition; also of those that no step could yield."""
    found = instance.fetch_materializations(dg.AssetKey("orders"), limit=50).records
    events = [each.asset_materialization for each in found if each.run_id == result.run_id]
    return {each.partition: each.metadata["dagster/partition_row_count"].value for each in events if each}


def bounds(served: RunningSandbox) -> list[tuple[str, str]]:
    return [(body["start_at"], body["end_at"]) for body in backfills_of(served)]


def per_day(*days: dict[str, int] | list[str]) -> list[dict]:
    """A script: what each backfill loads, or which of its tables it loads before it fails."""
    return [{"outcome": "failed", "loaded_tables": day} if isinstance(day, list) else {"tables": day} for day in days]


def test_one_partition_is_one_backfill_of_its_window(served: RunningSandbox) -> None:
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS, partitions_def=BERLIN), partition_key="2026-03-29")
    assert result.success
    (body,) = backfills_of(served)
    assert (body["start_at"], body["end_at"]) == ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
    assert body["tables"] == [ORDERS, ITEMS]
    told = materialized(result)
    assert told.keys() == {("orders", "2026-03-29"), ("order_items", "2026-03-29")}
    assert "dagster/partition_row_count" in told["orders", "2026-03-29"]
    assert "dagster/row_count" not in told["orders", "2026-03-29"]


def test_each_partition_of_a_range_has_its_own_backfill_and_rows(served: RunningSandbox) -> None:
    served.script(CONNECTION, sequence=per_day({ORDERS: 1, ITEMS: 10}, {ORDERS: 2, ITEMS: 20}, {ORDERS: 3, ITEMS: 30}))
    result = materialize(
        shop(workspace_of(served), ORDERS, ITEMS, partitions_def=DAILY), tags=days("2026-01-02", "2026-01-04")
    )
    assert result.success
    assert bounds(served) == [
        ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"),
        ("2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("2026-01-04T00:00:00Z", "2026-01-05T00:00:00Z"),
    ]
    told = materialized(result)
    assert {key: each["dagster/partition_row_count"] for key, each in told.items()} == {
        ("orders", "2026-01-02"): 1,
        ("orders", "2026-01-03"): 2,
        ("orders", "2026-01-04"): 3,
        ("order_items", "2026-01-02"): 10,
        ("order_items", "2026-01-03"): 20,
        ("order_items", "2026-01-04"): 30,
    }
    assert len({each["planasonix/backfill_id"] for each in told.values()}) == 3
    assert told["orders", "2026-01-03"]["planasonix/window_start"] == "2026-01-03T00:00:00Z"
    assert all(checked(result).values())


def test_a_failed_table_of_one_day_leaves_the_other_five_materialized(served: RunningSandbox) -> None:
    served.script(CONNECTION, sequence=per_day({ORDERS: 1, ITEMS: 1}, [ORDERS], {ORDERS: 1, ITEMS: 1}))
    result = materialize(
        shop(workspace_of(served), ORDERS, ITEMS, partitions_def=DAILY), tags=days("2026-01-02", "2026-01-04")
    )
    assert not result.success
    told = materialized(result)
    assert len(told) == 5
    assert ("order_items", "2026-01-03") not in told
    assert observed(result).keys() == {("order_items", "2026-01-03")}
    assert checked(result)["orders", "planasonix_status"]
    assert not checked(result)["order_items", "planasonix_status"]
    failure = failure_of(result).user_failure_data
    assert "in 3 stages failed: 2 done, 1 failed" in failure.description
    metadata = {name: value.value for name, value in failure.metadata.items()}
    assert metadata["planasonix/failed_tables"] == [ITEMS]
    assert metadata["planasonix/failed_partitions"] == ["2026-01-03"]


@pytest.mark.parametrize(("mode", "last"), [("each", "2026-01-02"), ("each", "2026-01-04"), ("window", "2026-01-04")])
def test_no_check_that_dagster_expects_is_left_out_and_the_whole_is_what_it_shows(
    served: RunningSandbox, instance: dg.DagsterInstance, mode: str, last: str
) -> None:
    served.script(CONNECTION, sequence=per_day([], {ORDERS: 1}))
    load = shop(workspace_of(served), ORDERS, partitions_def=DAILY, partition_mode=mode, stop_after_failures=None)
    result = materialize(load, tags=days("2026-01-02", last), instance=instance)
    check = dg.AssetCheckKey(dg.AssetKey("orders"), "planasonix_status")
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=20)
    found = [each for each in history if each.run_id == result.run_id]
    evaluated = {each.partition: each.status.value for each in found}
    expected = {None, *(day for day in ("2026-01-02", "2026-01-03", "2026-01-04") if day <= last)}
    assert evaluated.keys() == expected
    assert len(found) == len(expected)
    assert "PLANNED" not in evaluated.values()
    assert (found[0].partition, evaluated[None], evaluated["2026-01-02"]) == (None, "FAILED", "FAILED")
    if last == "2026-01-04":
        assert evaluated[last] == ("FAILED" if mode == "window" else "SUCCEEDED")


def test_a_retried_step_loads_only_what_is_missing_and_yields_all(served: RunningSandbox) -> None:
    served.script(CONNECTION, sequence=per_day({ORDERS: 1}, [], {ORDERS: 3}, {ORDERS: 2}))
    retries = {"retry_policy": dg.RetryPolicy(max_retries=1)}
    result = materialize(
        shop(workspace_of(served), ORDERS, partitions_def=DAILY, op=retries), tags=days("2026-01-02", "2026-01-04")
    )
    assert result.success
    assert [start for start, _ in bounds(served)] == [
        "2026-01-02T00:00:00Z",
        "2026-01-03T00:00:00Z",
        "2026-01-04T00:00:00Z",
        "2026-01-03T00:00:00Z",
    ]
    rows = [
        (event.partition, event.materialization.metadata["dagster/partition_row_count"].value)
        for event in result.get_asset_materialization_events()
    ]
    assert rows == [("2026-01-02", 1), ("2026-01-04", 3), ("2026-01-02", 1), ("2026-01-03", 2), ("2026-01-04", 3)]
    again = [
        "planasonix/loaded_in_an_earlier_try" in event.materialization.metadata
        for event in result.get_asset_materialization_events()
    ]
    assert again == [False, False, True, False, True], "told again, and not marked so"


def test_assets_downstream_of_whole_ranges_run_in_the_same_run(served: RunningSandbox) -> None:
    policy = dg.BackfillPolicy.single_run()

    @dg.asset(deps=["orders"], partitions_def=DAILY, backfill_policy=policy, output_required=False)
    def report(context: dg.AssetExecutionContext):
        yield dg.MaterializeResult(metadata={"keys": list(context.partition_keys)})

    result = materialize(
        shop(workspace_of(served), ORDERS, partitions_def=DAILY), report, tags=days("2026-01-02", "2026-01-03")
    )
    assert result.success
    assert ("report", "2026-01-03") in materialized(result)


def test_a_required_output_of_a_whole_range_is_good(served: RunningSandbox) -> None:
    @dg.asset(metadata=spec_of(ORDERS).metadata, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def mine(context: dg.AssetExecutionContext):
        yield from workspace_of(served).sync_and_poll(context)

    result = materialize(mine, tags=days("2026-01-02", "2026-01-03"))
    assert result.success
    assert materialized(result).keys() == {("mine", "2026-01-02"), ("mine", "2026-01-03")}


def test_data_versions_are_those_of_each_partition_by_wish(served: RunningSandbox) -> None:
    result = materialize(
        shop(workspace_of(served), ORDERS, partitions_def=DAILY, data_version_from_checksum=True),
        tags=days("2026-01-02", "2026-01-03"),
    )
    assert result.success
    told = materialized(result)
    versions = {
        event.partition: event.materialization.tags["dagster/data_version"]
        for event in result.get_asset_materialization_events()
    }
    assert versions == {day: told["orders", day]["planasonix/checksum"] for day in ("2026-01-02", "2026-01-03")}


def last_versions(result: dg.ExecuteInProcessResult) -> dict[str | None, tuple[str, str]]:
    """Of each partition of the run's first asset, what was told last: its data version, and its checksum."""
    return {
        event.partition: (
            event.materialization.tags["dagster/data_version"],
            event.materialization.metadata["planasonix/checksum"].value,
        )
        for event in result.get_asset_materialization_events()
        if "planasonix/checksum" in event.materialization.metadata
    }


def test_data_versions_of_a_range_keep_nobody_from_starting_downstream(served: RunningSandbox) -> None:
    @dg.asset(
        deps=["orders"], partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run(), output_required=False
    )
    def after(context: dg.AssetExecutionContext):
        yield dg.MaterializeResult()

    load = shop(workspace_of(served), ORDERS, partitions_def=DAILY, data_version_from_checksum=True)
    result = materialize(load, after, tags=days("2026-01-02", "2026-01-03"))
    assert result.success
    assert [event.partition for event in result.asset_materializations_for_node("after")] == [
        "2026-01-02",
        "2026-01-03",
    ]
    told = last_versions(result)
    assert told.keys() == {"2026-01-02", "2026-01-03"}
    assert all(version == checksum for version, checksum in told.values())


def test_data_versions_of_a_range_are_no_missing_output(served: RunningSandbox) -> None:
    @dg.asset(metadata=spec_of(ORDERS).metadata, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def mine(context: dg.AssetExecutionContext):
        yield from workspace_of(served).sync_and_poll(context, data_version_from_checksum=True)

    result = materialize(mine, tags=days("2026-01-02", "2026-01-03"))
    assert result.success
    told = last_versions(result)
    assert told.keys() == {"2026-01-02", "2026-01-03"}
    assert all(version == checksum for version, checksum in told.values())


def test_a_window_over_the_whole_range_claims_no_rows_for_a_day(served: RunningSandbox) -> None:
    served.script(CONNECTION, tables={ORDERS: 60})
    result = materialize(
        shop(workspace_of(served), ORDERS, partitions_def=BERLIN, partition_mode="window"),
        tags=days("2026-03-28", "2026-03-30"),
    )
    assert result.success
    assert bounds(served) == [("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z")]
    told = materialized(result)
    assert told.keys() == {("orders", day) for day in ("2026-03-28", "2026-03-29", "2026-03-30")}
    for each in told.values():
        assert each["planasonix/rows_loaded_in_window"] == 60
        assert "dagster/partition_row_count" not in each


def test_the_rows_of_a_window_are_held_against_no_bounds_of_a_partition(served: RunningSandbox) -> None:
    served.script(CONNECTION, tables={ORDERS: 60})
    workspace = workspace_of(served)

    @dg.multi_asset(
        specs=[spec_of(ORDERS, partitions_def=DAILY)],
        check_specs=check_specs("orders", max_rows=50),
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
    )
    def load(context: dg.AssetExecutionContext):
        yield from workspace.sync_and_poll(context, partition_mode="window")

    result = materialize(load, tags=days("2026-01-02", "2026-01-04"))
    assert result.success
    rows = [each for each in result.get_asset_check_evaluations() if each.check_name == "planasonix_rows"]
    assert {each.severity for each in rows} == {dg.AssetCheckSeverity.WARN}
    assert {str(each.description) for each in rows} == {
        f"The number of rows is not known for {number} of {number} loads." for number in (1, 3)
    }
    assert not any("planasonix/rows_loaded" in each.metadata for each in rows)


def test_a_window_that_failed_is_observed_for_each_partition(served: RunningSandbox) -> None:
    served.script(CONNECTION, "failed", loaded_tables=[])
    result = materialize(
        shop(workspace_of(served), ORDERS, partitions_def=DAILY, partition_mode="window"),
        tags=days("2026-01-02", "2026-01-03"),
    )
    assert not result.success
    assert materialized(result) == {}
    assert observed(result).keys() == {("orders", "2026-01-02"), ("orders", "2026-01-03")}


def test_after_failures_in_a_row_no_more_are_started(served: RunningSandbox) -> None:
    served.script(CONNECTION, "failed", loaded_tables=[])
    result = materialize(
        shop(workspace_of(served), ORDERS, partitions_def=DAILY, stop_after_failures=2),
        tags=days("2026-01-02", "2026-01-06"),
    )
    assert not result.success
    assert served.backfills_started() == 2
    assert observed(result).keys() == {("orders", "2026-01-02"), ("orders", "2026-01-03")}
    metadata = failure_of(result).user_failure_data.metadata
    assert metadata["planasonix/failed_partitions"].value == [f"2026-01-0{day}" for day in range(2, 7)]


def test_some_failed_partitions_may_only_warn(served: RunningSandbox) -> None:
    served.script(CONNECTION, sequence=per_day([], {ORDERS: 5}))
    result = materialize(
        shop(workspace_of(served, on_table_failure="warn"), ORDERS, partitions_def=DAILY),
        tags=days("2026-01-02", "2026-01-03"),
    )
    assert result.success
    assert materialized(result).keys() == {("orders", "2026-01-03")}


def test_a_partition_that_somebody_cancelled_ends_the_rest_without_a_retry(served: RunningSandbox) -> None:
    served.script(CONNECTION, sequence=[{"tables": {ORDERS: 1}}, {"outcome": "cancelled", "lost_tables": [ORDERS]}])
    retries = {"retry_policy": dg.RetryPolicy(max_retries=2)}
    result = materialize(
        shop(workspace_of(served), ORDERS, partitions_def=DAILY, op=retries), tags=days("2026-01-02", "2026-01-05")
    )
    assert not result.success
    assert served.backfills_started() == 2
    assert materialized(result).keys() == {("orders", "2026-01-02")}


def test_a_busy_connection_is_skipped_for_each_partition(served: RunningSandbox) -> None:
    workspace = workspace_of(served, if_running="skip")
    served.script(CONNECTION, "stuck")
    workspace.get_client().connections.backfill(
        CONNECTION, start_at="2025-01-01T00:00:00Z", end_at="2025-01-02T00:00:00Z"
    )
    result = materialize(shop(workspace, ORDERS, partitions_def=DAILY), tags=days("2026-01-02", "2026-01-03"))
    assert result.success
    assert materialized(result) == {}
    assert observed(result).keys() == {("orders", "2026-01-02"), ("orders", "2026-01-03")}
    assert served.backfills_started() == 1


def test_what_is_loaded_is_told_though_the_step_comes_to_no_end(
    served: RunningSandbox, instance: dg.DagsterInstance
) -> None:
    served.script(CONNECTION, tables={ORDERS: 4})
    # The second start meets a refusal that all others would meet.
    served.fault("connections.backfill", "error", status=403, skip_first=1, times=None)
    load = shop(workspace_of(served), ORDERS, partitions_def=DAILY)
    result = materialize(load, tags=days("2026-01-02", "2026-01-04"), instance=instance)
    assert not result.success
    assert stored(instance, result) == {"2026-01-02": 4}


def test_what_is_loaded_is_told_though_the_step_is_interrupted(
    served: RunningSandbox, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.script(CONNECTION, sequence=per_day({ORDERS: 4}, {ORDERS: 5}, {ORDERS: 6}))
    wait, waits = staged_attempt.wait_for_progress, []

    def interrupted(*arguments: Any, **options: Any) -> None:
        waits.append(1)
        if len(waits) > 2:
            raise dg.DagsterExecutionInterruptedError()
        wait(*arguments, **options)

    monkeypatch.setattr(staged_attempt, "wait_for_progress", interrupted)
    load = shop(workspace_of(served), ORDERS, partitions_def=DAILY)
    result = materialize(load, tags=days("2026-01-02", "2026-01-04"), instance=instance)
    assert not result.success
    assert stored(instance, result) == {"2026-01-02": 4, "2026-01-03": 5}
    assert served.cancels() == 0


def test_a_connection_that_is_paused_half_way_skips_what_is_left(
    served: RunningSandbox, instance: dg.DagsterInstance
) -> None:
    body = json.dumps({"error": {"code": "connection_paused", "message": "The connection is paused."}})
    served.fault("connections.backfill", "error", status=409, body=body, skip_first=1, times=None)
    load = shop(workspace_of(served, on_paused="skip"), ORDERS, partitions_def=DAILY)
    result = materialize(load, tags=days("2026-01-02", "2026-01-04"), instance=instance)
    assert result.success
    assert observed(result).keys() == {("orders", "2026-01-03"), ("orders", "2026-01-04")}
    assert stored(instance, result).keys() == {"2026-01-02"}


def test_static_keys_that_are_periods(served: RunningSandbox) -> None:
    months = dg.StaticPartitionsDefinition(["2026-01", "2026-02"])
    result = materialize(shop(workspace_of(served), ORDERS, partitions_def=months), partition_key="2026-02")
    assert result.success
    assert bounds(served) == [("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")]


@pytest.mark.parametrize(
    ("partitions_def", "key", "config", "text"),
    [
        (dg.StaticPartitionsDefinition(["eu", "us"]), "eu", {}, "names no period of time"),
        (
            DAILY,
            "2026-01-02",
            {"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-01-02T00:00:00Z"},
            "a partition is a window",
        ),
    ],
)
def test_what_is_no_window_is_refused_before_anything_is_sent(
    served: RunningSandbox, partitions_def: dg.PartitionsDefinition, key: str, config: dict, text: str
) -> None:
    result = materialize(
        shop(workspace_of(served), ORDERS, partitions_def=partitions_def),
        partition_key=key,
        run_config={"ops": {"shop": {"config": config}}},
    )
    assert text in failure_of(result).user_failure_data.description
    assert served.journal == []
