"""`sync_and_poll` of assets without partitions, against a sandbox over HTTP."""

import json
import logging
from collections.abc import Iterator

import dagster as dg
import pytest

from dagster_planasonix.checks import check_specs
from dagster_planasonix.clients import close_clients
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix.sandbox import RunningSandbox, Sandbox
from tests.dagster.engine_parts import run, run_of
from tests.dagster.steps import (
    CONNECTION,
    KEY,
    backfills_of,
    checked,
    failure_of,
    materialize,
    materialized,
    observed,
    shop,
    spec_of,
    workspace_of,
)

ORDERS, ITEMS, REFUNDS = "public.orders", "public.order_items", "public.refunds"


@pytest.fixture(scope="module")
def served_here() -> Iterator[RunningSandbox]:
    with Sandbox(api_keys=(KEY,), speed=200).serve() as running:
        yield running
    close_clients()


@pytest.fixture
def served(served_here: RunningSandbox) -> RunningSandbox:
    served_here.reset()
    return served_here


@pytest.mark.parametrize("asked", [True, False])
def test_a_step_that_forgets_to_yield_is_told_so(
    served: RunningSandbox, asked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = workspace_of(served)

    @dg.multi_asset(specs=[spec_of(ORDERS, skippable=True)], can_subset=True)
    def forgetful(context: dg.AssetExecutionContext):
        events = workspace.sync_and_poll(context).fetch_column_metadata()
        if asked:
            yield from events

    result = materialize(forgetful)
    assert result.success
    assert len(materialized(result)) == len(served.jobs()) == int(asked)
    assert ("Write `yield from workspace.sync_and_poll(context)`" in capsys.readouterr().err) is not asked


def test_a_sync_materializes_each_table_with_its_rows_and_checks(served: RunningSandbox) -> None:
    served.script(CONNECTION, tables={ORDERS: 48, ITEMS: 131, "public.customers": 3})
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS))
    assert result.success
    told = materialized(result)
    assert {name: each["dagster/row_count"] for name, each in told.items()} == {"orders": 48, "order_items": 131}
    (job,) = served.jobs()
    assert told["orders"]["planasonix/job_id"] == job["id"]
    assert told["orders"]["planasonix/job_url"] == f"{served.url}/#/jobs/{job['id']}"
    assert told["orders"]["planasonix/checksum"].startswith("sha256:")
    assert checked(result) == {
        (asset, check): True
        for asset in ("orders", "order_items")
        for check in ("planasonix_status", "planasonix_warnings")
    }


def test_only_the_selected_asset_is_reported(served: RunningSandbox) -> None:
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS), selection=["orders"])
    assert result.success
    assert materialized(result).keys() == {"orders"}
    assert {asset for asset, _ in checked(result)} == {"orders"}
    assert served.jobs_started() == 1


def test_zero_rows_and_no_mention_are_both_fresh(served: RunningSandbox) -> None:
    served.script(CONNECTION, tables={ORDERS: 0})
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS))
    assert result.success
    told = materialized(result)
    assert (told["orders"]["dagster/row_count"], told["orders"]["planasonix/table_state"]) == (0, "loaded")
    assert (told["order_items"]["dagster/row_count"], told["order_items"]["planasonix/table_state"]) == (0, "no_change")


def test_good_tables_are_materialized_before_the_one_failure(served: RunningSandbox) -> None:
    served.script(CONNECTION, "failed", loaded_tables=[ORDERS, REFUNDS])
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS, REFUNDS))
    assert not result.success
    assert materialized(result).keys() == {"orders", "refunds"}
    assert observed(result).keys() == {"order_items"}
    assert not checked(result)["order_items", "planasonix_status"]
    assert checked(result)["orders", "planasonix_status"]
    failure = failure_of(result)
    (job,) = served.jobs()
    message = failure.user_failure_data.description
    assert message.startswith(f"Planasonix job {job['id']} of connection {CONNECTION} failed")
    assert "source_unavailable: The source closed the connection." in message
    metadata = {name: value.value for name, value in failure.user_failure_data.metadata.items()}
    assert metadata["planasonix/failed_tables"] == [ITEMS]
    assert metadata["planasonix/job_url"] == f"{served.url}/#/jobs/{job['id']}"


def test_a_table_that_nobody_selected_fails_no_step(served: RunningSandbox) -> None:
    served.script(CONNECTION, "failed", loaded_tables=[ORDERS])

    @dg.asset(deps=["orders"])
    def after() -> None: ...

    with dg.instance_for_test() as instance:
        load = shop(workspace_of(served), ORDERS, ITEMS)
        result = materialize(load, after, selection=["orders", "after"], instance=instance)
        said = [each.user_message for each in instance.all_logs(result.run_id) if each.level == logging.WARNING]
    assert result.success
    assert materialized(result).keys() == {"orders", "after"}
    assert checked(result)["orders", "planasonix_status"]
    assert any("source_unavailable" in text and "not loaded is public.order_items" in text for text in said)


def test_a_failed_table_of_another_schema_fails_no_step(served: RunningSandbox) -> None:
    names = ({"name": ORDERS, "rows_loaded": 9}, {"name": f"archive.{ORDERS}", "rows_loaded": 0, "status": "failed"})
    body = json.dumps({"data": {"status": "succeeded", "warnings": [], "tables": names}})
    served.fault("jobs.results", "error", status=200, body=body, times=None)
    result = materialize(shop(workspace_of(served), ORDERS))
    assert result.success
    assert materialized(result)["orders"]["dagster/row_count"] == 9


def test_names_that_leave_a_choice_load_nothing_and_the_run_says_so(
    served: RunningSandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [
        {"name": f"{each}.{ORDERS}", "rows_loaded": 9, "status": word} for each, word in (("a", "failed"), ("b", ""))
    ]
    body = json.dumps({"data": {"status": "succeeded", "warnings": [], "tables": names}})
    served.fault("jobs.results", "error", status=200, body=body, times=None)
    result = materialize(shop(workspace_of(served), ORDERS))
    assert not result.success
    assert materialized(result) == {}
    assert "a.public.orders, b.public.orders, any of which it may be" in capfd.readouterr().err


@pytest.mark.parametrize("word", ["failed", "evaporated"])
def test_a_job_that_ended_badly_though_its_tables_are_loaded_fails(served: RunningSandbox, word: str) -> None:
    served.script(CONNECTION, word, loaded_tables=[ORDERS])
    result = materialize(shop(workspace_of(served), ORDERS))
    assert materialized(result).keys() == {"orders"}
    assert not result.success


def test_a_failed_table_may_only_warn(served: RunningSandbox) -> None:
    served.script(CONNECTION, "failed", loaded_tables=[ORDERS])
    result = materialize(shop(workspace_of(served, on_table_failure="warn"), ORDERS, ITEMS))
    assert result.success
    assert materialized(result).keys() == {"orders"}
    assert not checked(result)["order_items", "planasonix_status"]


def test_a_job_of_which_nothing_is_loaded_fails_in_any_case(served: RunningSandbox) -> None:
    served.script(CONNECTION, "failed", loaded_tables=[])
    result = materialize(shop(workspace_of(served, on_table_failure="warn"), ORDERS, ITEMS))
    assert not result.success
    assert materialized(result) == {}


def test_what_somebody_cancelled_is_not_tried_again(served: RunningSandbox) -> None:
    served.script(CONNECTION, "cancelled")
    retries = {"retry_policy": dg.RetryPolicy(max_retries=2)}
    result = materialize(shop(workspace_of(served, on_table_failure="warn"), ORDERS, op=retries))
    assert not result.success
    assert "cancelled" in failure_of(result).user_failure_data.description
    assert served.jobs_started() == 1


def test_a_retried_step_yields_again(served: RunningSandbox) -> None:
    served.script(CONNECTION, sequence=[{"outcome": "failed", "loaded_tables": [ORDERS]}, {"outcome": "succeeded"}])
    retries = {"retry_policy": dg.RetryPolicy(max_retries=1)}
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS, op=retries))
    assert result.success
    names = [event.materialization.asset_key.to_user_string() for event in result.get_asset_materialization_events()]
    assert names == ["orders", "orders", "order_items"]
    assert served.jobs_started() == 2


@pytest.mark.parametrize("fails", ["a blocking check", "code after the events"])
def test_who_re_executes_a_step_that_failed_over_its_result_gets_a_new_one(served: RunningSandbox, fails: str) -> None:
    workspace, broken = workspace_of(served), [True] * 4
    checks = check_specs("orders", min_rows=1000, blocking=True) if fails == "a blocking check" else None

    @dg.multi_asset(
        name="shop",
        specs=[spec_of(ORDERS)],
        check_specs=checks,
        can_subset=True,
        retry_policy=dg.RetryPolicy(max_retries=1),
    )
    def load(context: dg.AssetExecutionContext):
        yield from workspace.sync_and_poll(context)
        if checks is None and broken:
            broken.pop()
            raise RuntimeError("the code after it")

    job = dg.Definitions([load], executor=dg.in_process_executor).resolve_implicit_global_asset_job_def()
    served.script(CONNECTION, tables={ORDERS: 1})
    with dg.instance_for_test() as instance:
        first = run(job, instance)
        assert not first.success
        # A retry of the step, if the failure is one that Dagster retries, has the same job.
        assert served.jobs_started() == 1
        retried = instance.create_run_for_job(
            job,
            parent_run_id=first.run_id,
            root_run_id=first.run_id,
            tags={"dagster/retry_number": "1", "dagster/parent_run_id": first.run_id},
        )
        assert not run_of(job, retried, instance).success
        assert served.jobs_started() == 1
        served.script(CONNECTION, tables={ORDERS: 5000})
        assert run(job, instance, parent=retried.run_id).success
        assert served.jobs_started() == 2


def test_assets_downstream_of_good_tables_run_in_the_same_run(served: RunningSandbox) -> None:
    @dg.asset(deps=["orders"])
    def report() -> None: ...

    result = materialize(shop(workspace_of(served), ORDERS, ITEMS), report)
    assert result.success
    assert "report" in materialized(result)


def test_an_asset_of_the_users_own(served: RunningSandbox) -> None:
    @dg.asset(metadata=spec_of(ORDERS).metadata)
    def mine(context: dg.AssetExecutionContext, planasonix: PlanasonixWorkspace):
        yield from planasonix.sync_and_poll(context)

    result = materialize(mine, resources={"planasonix": workspace_of(served)})
    assert result.success
    assert materialized(result)["mine"]["dagster/table_name"] == ORDERS


def test_an_op_context_and_other_assets_of_the_same_op(served: RunningSandbox) -> None:
    @dg.multi_asset(specs=[spec_of(ORDERS), dg.AssetSpec("other")])
    def mixed(context: dg.OpExecutionContext):
        yield from workspace_of(served).sync_and_poll(context)
        yield dg.MaterializeResult("other")

    result = materialize(mixed)
    assert result.success
    assert materialized(result).keys() == {"orders", "other"}


def test_several_connections_of_one_op_get_a_request_each_in_order(served: RunningSandbox) -> None:
    specs = [
        spec_of("inventory.products", "conn_shop_inventory"),
        spec_of(ORDERS),
        spec_of("inventory.warehouses", "conn_shop_inventory"),
    ]
    served.script(CONNECTION, "failed", loaded_tables=[])
    result = materialize(shop(workspace_of(served), specs=specs))
    assert materialized(result).keys() == {"products", "warehouses"}
    assert [job["connection_id"] for job in served.jobs()] == ["conn_shop_inventory", CONNECTION]
    assert failure_of(result).user_failure_data.metadata["planasonix/failed_tables"].value == [ORDERS]


def test_warnings_are_told_and_the_step_is_good(served: RunningSandbox) -> None:
    served.script(CONNECTION, warnings=[{"code": "rows_skipped", "message": "12 rows of public.orders have no key"}])
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS))
    assert result.success
    assert not checked(result)["orders", "planasonix_warnings"]
    assert checked(result)["order_items", "planasonix_warnings"]
    assert materialized(result)["orders"]["planasonix/warnings"][0]["code"] == "rows_skipped"


def test_a_busy_connection_is_skipped_and_the_run_says_so(served: RunningSandbox) -> None:
    workspace = workspace_of(served, if_running="skip")
    served.script(CONNECTION, "stuck")
    workspace.get_client().connections.sync(CONNECTION)
    result = materialize(shop(workspace, ORDERS, ITEMS))
    assert result.success
    assert materialized(result) == {}
    (seen, _) = observed(result).values()
    assert seen.metadata["planasonix/skipped"].value == "busy"
    assert "was busy" in seen.description
    assert served.jobs_started() == 1


def test_a_required_output_is_never_taken_for_loaded(served: RunningSandbox) -> None:
    workspace = workspace_of(served, if_running="skip")
    served.script(CONNECTION, "stuck")
    workspace.get_client().connections.sync(CONNECTION)
    result = materialize(shop(workspace, ORDERS, op={"can_subset": False}))
    assert not result.success
    assert materialized(result) == {}
    assert "can_subset=True" in failure_of(result).user_failure_data.description


PAUSED = json.dumps({"error": {"code": "connection_paused", "message": "The connection is paused."}})


@pytest.mark.parametrize("status", [409, 422])
@pytest.mark.parametrize("on_paused", ["fail", "skip"])
def test_a_paused_connection_is_an_outcome_of_its_own(served: RunningSandbox, status: int, on_paused: str) -> None:
    served.fault("connections.sync", "error", status=status, body=PAUSED, times=None)
    retries = {"retry_policy": dg.RetryPolicy(max_retries=2)}
    result = materialize(shop(workspace_of(served, on_paused=on_paused), ORDERS, op=retries))
    assert materialized(result) == {}
    assert served.calls("connections.sync") == 1
    if on_paused == "skip":
        assert result.success
        assert observed(result)["orders"].metadata["planasonix/skipped"].value == "paused"
    else:
        assert "is paused in Planasonix" in failure_of(result).user_failure_data.description


def test_a_window_of_the_run_config_is_a_backfill_of_the_selected_tables(served: RunningSandbox) -> None:
    config = {"start_at": "2026-01-01T00:00:00+01:00", "end_at": "2026-01-08T00:00:00Z"}
    result = materialize(
        shop(workspace_of(served), ORDERS, ITEMS, REFUNDS),
        selection=["orders", "order_items"],
        run_config={"ops": {"shop": {"config": config}}},
    )
    assert result.success
    (body,) = backfills_of(served)
    assert (body["start_at"], body["end_at"]) == ("2025-12-31T23:00:00Z", "2026-01-08T00:00:00Z")
    assert body["tables"] == [ORDERS, ITEMS]
    told = materialized(result)
    assert told.keys() == {"orders", "order_items"}
    assert told["orders"]["planasonix/window_start"] == "2025-12-31T23:00:00Z"
    assert "dagster/partition_row_count" in told["orders"]


def test_the_run_config_may_name_fewer_tables(served: RunningSandbox) -> None:
    config = {"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-01-02T00:00:00Z", "tables": ["order_items"]}
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS), run_config={"ops": {"shop": {"config": config}}})
    assert result.success
    assert backfills_of(served)[0]["tables"] == [ITEMS]
    assert materialized(result).keys() == {"order_items"}


def test_two_assets_of_one_table_are_loaded_by_one_request(served: RunningSandbox) -> None:
    lake = dg.AssetSpec(["lake", "orders"], metadata=dict(spec_of(ORDERS).metadata))
    config = {"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-01-02T00:00:00Z", "tables": ["orders"]}
    result = materialize(
        shop(workspace_of(served), ORDERS, ITEMS, specs=[lake]), run_config={"ops": {"shop": {"config": config}}}
    )
    assert result.success
    assert backfills_of(served)[0]["tables"] == [ORDERS]
    told = materialized(result)
    assert told.keys() == {"orders", "lake/orders"}
    assert told["orders"] == told["lake/orders"]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"start_at": "2026-01-01T00:00:00Z"}, "end_at"),
        ({"end_at": "2026-01-01T00:00:00Z"}, "start_at"),
        ({"start_at": "2026-01-01T00:00:00", "end_at": "2026-01-02T00:00:00Z"}, "start_at"),
        ({"start_at": "2026-01-02T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"}, "end_at"),
        ({"tables": [ORDERS]}, "tables"),
        ({"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-01-02T00:00:00Z", "tables": ["public.x"]}, "tables"),
    ],
)
def test_wrong_run_config_is_refused_before_anything_is_sent(served: RunningSandbox, config: dict, field: str) -> None:
    retries = {"retry_policy": dg.RetryPolicy(max_retries=2)}
    result = materialize(
        shop(workspace_of(served), ORDERS, op=retries), run_config={"ops": {"shop": {"config": config}}}
    )
    assert not result.success
    assert field in failure_of(result).user_failure_data.description
    assert served.journal == []


def test_assets_without_our_metadata_are_an_error_that_says_how(served: RunningSandbox) -> None:
    @dg.asset
    def bare(context: dg.AssetExecutionContext):
        yield from workspace_of(served).sync_and_poll(context)

    message = failure_of(materialize(bare)).user_failure_data.description
    assert "planasonix/connection_id" in message
    assert "@planasonix_assets" in message


def test_a_plain_op_is_told_what_to_use(served: RunningSandbox) -> None:
    @dg.op
    def alone(context: dg.OpExecutionContext) -> None:
        list(workspace_of(served).sync_and_poll(context))

    @dg.job
    def job() -> None:
        alone()

    result = job.execute_in_process(raise_on_error=False)
    assert "get_client()" in failure_of(result).user_failure_data.description


def test_a_refusal_that_no_retry_mends_is_not_retried(served: RunningSandbox) -> None:
    retries = {"retry_policy": dg.RetryPolicy(max_retries=2)}
    specs = [spec_of("public.orders", "conn_nowhere")]
    result = materialize(shop(workspace_of(served), specs=specs, op=retries))
    assert not result.success
    assert served.calls("connections.sync") == 1


def test_the_checksum_is_the_data_version_by_wish(served: RunningSandbox) -> None:
    result = materialize(shop(workspace_of(served), ORDERS, data_version_from_checksum=True))
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.tags["dagster/data_version"] == materialized(result)["orders"]["planasonix/checksum"]


def test_the_key_stands_nowhere(served: RunningSandbox, capfd: pytest.CaptureFixture[str]) -> None:
    served.script(CONNECTION, "failed")
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS))
    assert not result.success
    text = "".join(map(str, result.all_events))
    captured = capfd.readouterr()
    assert KEY not in text + captured.out + captured.err
