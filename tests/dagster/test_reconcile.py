"""Reconcile: orphans are cancelled, unseen ends told once, and everything else is left alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix.attempt import Attempt
from dagster_planasonix.detached_cancel import build_planasonix_cancel_job
from dagster_planasonix.reconcile import Reconciled, build_planasonix_reconcile_job, reconcile
from dagster_planasonix.reconcile_source import DagsterSource
from dagster_planasonix.sensors.polling import build_planasonix_polling_sensor
from dagster_planasonix.targets import tables_of
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix.errors import ConfigurationError
from planasonix.runs import SyncRequest
from planasonix.sandbox import DEFAULT_API_KEY
from tests.dagster.sensing import INVENTORY, ORDERS, ORDERS_FAILED, Setting, assets_of, setting_with
from tests.dagster.steps import days, shop

DAILY = dg.DailyPartitionsDefinition("2026-01-01")


@pytest.fixture
def setting() -> Iterator[Setting]:
    with setting_with() as made:
        yield made


def lost_by_its_step(setting: Setting, connection_id: str = ORDERS, **settings: Any) -> str:
    """The id of a job whose step died right after the start."""
    workspace = setting.workspace.model_copy(update=settings)
    real = assets_of(workspace, connection_id)

    @dg.multi_asset(specs=list(real.specs), can_subset=True, name=f"dies_{connection_id}")
    def dies(context):  # Dagster reads annotations as objects, and here they are texts
        attempt = Attempt(context, workspace, asset_keys=list(tables_of(context)), connection_name="shop")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dagster_planasonix.attempt.wait_for_run", _dies)
            attempt.run(SyncRequest(connection_id))

    before = {job["id"] for job in setting.sandbox.jobs(connection_id)}
    setting.sandbox.script(connection_id, "stuck")
    assert not dg.materialize([dies], instance=setting.instance, raise_on_error=False).success
    [job_id] = {job["id"] for job in setting.sandbox.jobs(connection_id)} - before
    return job_id


def _dies(*args: Any, **options: Any) -> None:
    raise RuntimeError("the step's process is gone")


def reconciled(setting: Setting, *, apply: bool = True, assets: Any = None) -> Reconciled:
    watched = assets or [assets_of(setting.workspace), assets_of(setting.workspace, INVENTORY)]
    return reconcile(setting.instance, setting.workspace, watched, apply=apply, grace_seconds=0.0)


def test_an_unseen_good_end_is_told_once(setting: Setting) -> None:
    job_id = lost_by_its_step(setting)
    setting.sandbox.finish(job_id, "succeeded")
    dry = reconciled(setting, apply=False)
    assert dry.counts["materializations"] == 2
    assert setting.materializations("public.orders") == []
    first = reconciled(setting)
    assert (first.counts["ended_unseen"], first.counts["materializations"]) == (1, 2)
    second = reconciled(setting)
    assert second.events == []
    assert second.counts["settled"] == 1
    assert setting.job_ids("public.orders") == [job_id]
    assert setting.job_ids("public.customers") == [job_id]
    assert setting.status_check("public.orders") is True


def test_a_table_that_the_results_leave_out_is_what_it_is_to_a_step(setting: Setting) -> None:
    job_id = lost_by_its_step(setting)
    setting.results_name(ORDERS_FAILED)
    setting.sandbox.finish(job_id, "succeeded")
    reconciled(setting)
    assert setting.materializations("public.orders") == []
    assert setting.job_ids("public.customers") == [job_id]


def test_a_step_that_saw_the_end_and_died_before_it_told_is_completed(setting: Setting) -> None:
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=0.1)
    real = assets_of(setting.workspace)

    @dg.multi_asset(specs=list(real.specs), can_subset=True, name="dies_late")
    def dies_late(context):
        attempt = Attempt(context, setting.workspace, asset_keys=list(tables_of(context)))
        attempt.run(SyncRequest(ORDERS))
        yield dg.MaterializeResult("customers", metadata={"planasonix/job_id": setting.sandbox.jobs(ORDERS)[0]["id"]})
        raise RuntimeError("the step's process is gone")

    assert not dg.materialize([dies_late], instance=setting.instance, raise_on_error=False).success
    assert reconciled(setting).counts["materializations"] == 1
    assert reconciled(setting).counts["materializations"] == 0
    [job] = setting.sandbox.jobs(ORDERS)
    assert setting.job_ids("public.orders") == [job["id"]]
    assert setting.job_ids("public.customers") == [job["id"]]


def test_the_told_partitions_of_a_range_that_failed_are_not_read_again(setting: Setting) -> None:
    daily = dg.DailyPartitionsDefinition("2026-01-01")
    assets = assets_of(setting.workspace, partitions_def=daily)
    setting.sandbox.script(
        ORDERS,
        sequence=[
            *[{"duration_seconds": 0.1}] * 3,
            {"outcome": "failed", "loaded_tables": [], "duration_seconds": 0.1},
        ],
    )
    days = {"dagster/asset_partition_range_start": "2026-01-02", "dagster/asset_partition_range_end": "2026-01-05"}
    ended = dg.materialize([assets], tags=days, instance=setting.instance, raise_on_error=False)
    assert not ended.success
    assert len(setting.materializations("public.orders")) == 3
    before = setting.sandbox.calls()
    assert reconciled(setting, assets=[assets]).events == []
    assert setting.sandbox.calls() == before
    # What is missing is read, and told.
    setting.instance.wipe_assets([dg.AssetKey("orders")])
    again = [
        event for event in reconciled(setting, assets=[assets]).events if isinstance(event, dg.AssetMaterialization)
    ]
    assert {event.asset_key.to_user_string() for event in again} == {"orders"}
    assert {event.partition for event in again} == {"2026-01-02", "2026-01-03", "2026-01-04"}


def test_dynamic_partitions_that_nobody_saw_loaded_are_told(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.instance.add_dynamic_partitions("days", ["2026-01-05"])
    dynamic = dg.DynamicPartitionsDefinition(name="days")
    assets = assets_of(setting.workspace, partitions_def=dynamic)
    setting.sandbox.script(ORDERS, "succeeded", kind="backfill", duration_seconds=0.1)
    with monkeypatch.context() as patch:
        patch.setattr("dagster_planasonix.attempt.wait_for_run", _dies)
        ended = dg.materialize([assets], instance=setting.instance, partition_key="2026-01-05", raise_on_error=False)
    assert not ended.success
    [backfill] = setting.client.backfills.list_page().rows
    setting.sandbox.advance(60)
    assert setting.client.backfills.get(backfill.id).phase == "succeeded"
    assert reconciled(setting, assets=[assets]).counts["materializations"] == 2
    [told] = setting.materializations("public.orders")
    assert told.partition == "2026-01-05"
    assert reconciled(setting, assets=[assets]).events == []


def test_what_was_told_in_part_is_completed(setting: Setting) -> None:
    job_id = lost_by_its_step(setting)
    setting.sandbox.finish(job_id, "succeeded")
    told = dg.AssetMaterialization("orders", metadata={"planasonix/job_id": job_id})
    setting.instance.report_runless_asset_event(told)
    assert reconciled(setting).counts["materializations"] == 1
    assert setting.job_ids("public.orders") == [job_id]
    assert setting.job_ids("public.customers") == [job_id]


def test_stages_that_their_step_has_told_cost_no_call_and_are_not_told_again() -> None:
    with setting_with(speed=500) as setting:
        # The API's clock: what is asked for by our own must not be looked for in the future.
        setting.sandbox.advance(6 * 3_600)
        bad = {"outcome": "failed", "loaded_tables": []}
        setting.sandbox.script(ORDERS, sequence=[{"outcome": "succeeded"}, {"outcome": "succeeded"}, bad])
        workspace = setting.workspace
        partitioned = shop(workspace, "public.orders", partitions_def=DAILY)
        result = dg.materialize(
            [partitioned], instance=setting.instance, tags=days("2026-01-02", "2026-01-04"), raise_on_error=False
        )
        assert not result.success
        before = len(setting.sandbox.journal)
        assert reconciled(setting, assets=[partitioned]).events == []
        read = [entry.operation for entry in list(setting.sandbox.journal)[before:]]
        assert "jobs.results" not in read
        assert len(setting.materializations("orders")) == 2


def test_an_unseen_bad_end_is_a_failed_check(setting: Setting) -> None:
    job_id = lost_by_its_step(setting)
    setting.sandbox.finish(job_id, "failed")
    reconciled(setting)
    assert setting.materializations("public.customers") == []
    assert setting.status_check("public.customers") is False
    assert reconciled(setting).events == []


def test_specs_alone_give_the_checks_that_every_table_has(setting: Setting) -> None:
    job_id = lost_by_its_step(setting)
    setting.sandbox.finish(job_id, "failed")
    reconciled(setting, assets=list(assets_of(setting.workspace).specs))
    assert setting.status_check("public.customers") is False


def test_specs_under_other_keys_than_the_steps_are_named(setting: Setting) -> None:
    job_id = lost_by_its_step(setting)
    setting.sandbox.finish(job_id, "succeeded")
    renamed = [spec.replace_attributes(key=["lake", *spec.key.path]) for spec in assets_of(setting.workspace).specs]
    found = reconciled(setting, assets=renamed)
    assert found.events == []
    [line] = found.untold
    assert job_id in line
    assert "no asset given here bears such a key" in line
    assert reconciled(setting).counts["materializations"] == 2, "nothing was noted that hides it from the right keys"


def test_an_orphan_is_cancelled_only_with_apply(setting: Setting) -> None:
    job_id = lost_by_its_step(setting)
    dry = reconciled(setting, apply=False)
    assert (dry.counts["orphan"], dry.counts["to_cancel"], dry.counts["cancelled"]) == (1, 1, 0)
    assert setting.sandbox.counts()["cancels"] == 0
    assert "would cancel" in dry.table()
    assert reconciled(setting).counts["cancelled"] == 1
    assert setting.sandbox.job(job_id)["status"] in ("cancelling", "cancelled")
    reconciled(setting)
    assert setting.sandbox.counts()["cancels"] == 1


def test_foreign_jobs_and_those_that_were_to_go_on_are_left(setting: Setting) -> None:
    foreign = setting.running(INVENTORY)
    job_id = lost_by_its_step(setting, cancel_on_termination=False)
    found = reconciled(setting)
    assert found.counts.get("orphan", 0) == 0
    assert found.counts["left"] == 1
    assert setting.sandbox.counts()["cancels"] == 0
    assert setting.sandbox.job(job_id)["status"] in ("queued", "running")
    assert setting.sandbox.job(foreign)["status"] in ("queued", "running")


def test_a_run_group_in_which_a_run_goes_on_is_alive(setting: Setting) -> None:
    lost_by_its_step(setting)
    [record] = setting.instance.get_run_records()
    waiting = setting.instance.create_run_for_job(
        _nothing,
        parent_run_id=record.dagster_run.run_id,
        root_run_id=record.dagster_run.run_id,
        tags={"dagster/root_run_id": record.dagster_run.run_id, "dagster/parent_run_id": record.dagster_run.run_id},
    )
    assert not waiting.is_finished
    found = reconciled(setting)
    assert found.counts["left"] == 1
    assert setting.sandbox.counts()["cancels"] == 0


def test_a_retry_that_dagster_has_announced_is_waited_for(setting: Setting) -> None:
    lost_by_its_step(setting)
    [record] = setting.instance.get_run_records()
    setting.instance.add_run_tags(record.dagster_run.run_id, {"dagster/will_retry": "true"})
    assert reconciled(setting).counts["left"] == 1
    assert setting.sandbox.counts()["cancels"] == 0


def test_the_owner_is_asked_again_before_a_cancel(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    lost_by_its_step(setting)
    asked: list[str] = []

    def changed(self: DagsterSource, slot: str) -> None:
        asked.append(slot)

    monkeypatch.setattr(DagsterSource, "refresh", changed)
    found = reconciled(setting)
    assert len(asked) == 1
    assert found.counts["left"] == 1
    assert setting.sandbox.counts()["cancels"] == 0


def test_what_is_older_than_the_look_back_is_not_looked_at(setting: Setting) -> None:
    lost_by_its_step(setting)
    found = reconcile(
        setting.instance, setting.workspace, [assets_of(setting.workspace)], since_hours=0.0, grace_seconds=0.0
    )
    assert found.found.findings == ()


def test_a_detached_job_is_the_sensors_until_its_deadline(setting: Setting) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    setting.sandbox.script(ORDERS, "stuck")
    assert dg.materialize([assets], instance=setting.instance).success
    assert reconciled(setting).counts["left"] == 1
    assert setting.sandbox.counts()["cancels"] == 0


@pytest.mark.parametrize(("cancel_on_termination", "cancels"), [(True, 1), (False, 0)])
def test_a_detached_job_past_its_deadline_ends_unless_its_user_said_otherwise(
    cancel_on_termination: bool, cancels: int
) -> None:
    with setting_with({"timeout_seconds": 0.5, "cancel_on_termination": cancel_on_termination}) as setting:
        assets = assets_of(setting.workspace, execution="detached")
        setting.sandbox.script(ORDERS, "stuck")
        assert dg.materialize([assets], instance=setting.instance).success
        time.sleep(0.7)
        found = reconciled(setting)
        assert found.counts["cancelled"] == setting.sandbox.counts()["cancels"] == cancels
        assert found.counts.get("left", 0) == 1 - cancels


def test_the_job_reports_and_applies(setting: Setting) -> None:
    job_id = lost_by_its_step(setting)
    setting.sandbox.finish(job_id, "succeeded")
    job = build_planasonix_reconcile_job(setting.workspace, [assets_of(setting.workspace)], grace_seconds=0)
    dry = job.execute_in_process(instance=setting.instance)
    assert dry.output_for_node("planasonix_reconcile_op")["materializations"] == 2
    assert setting.materializations("public.orders") == []
    config = {"ops": {"planasonix_reconcile_op": {"config": {"apply": True}}}}
    done = job.execute_in_process(instance=setting.instance, run_config=config)
    assert done.output_for_node("planasonix_reconcile_op")["materializations"] == 2
    assert setting.job_ids("public.orders") == [job_id]
    again = job.execute_in_process(instance=setting.instance, run_config=config)
    assert again.output_for_node("planasonix_reconcile_op")["materializations"] == 0


def test_a_dry_run_with_an_orphan_says_how_to_cancel_it(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    lost_by_its_step(setting)
    job = build_planasonix_reconcile_job(setting.workspace, [assets_of(setting.workspace)], grace_seconds=0)
    hint = "Nothing was cancelled: launch again with config {apply: true}"
    assert job.execute_in_process(instance=setting.instance).success
    assert hint in capsys.readouterr().err
    config = {"ops": {"planasonix_reconcile_op": {"config": {"apply": True}}}}
    assert job.execute_in_process(instance=setting.instance, run_config=config).success
    assert hint not in capsys.readouterr().err
    assert setting.sandbox.counts()["cancels"] == 1


def test_the_definitions_of_a_project_load_together() -> None:
    workspace = PlanasonixWorkspace(api_key=DEFAULT_API_KEY)
    assets = [assets_of(workspace), assets_of(workspace, INVENTORY)]
    defs = dg.Definitions(
        assets=assets,
        jobs=[
            build_planasonix_reconcile_job(workspace, assets),
            build_planasonix_reconcile_job(workspace, assets, name="another", apply=True),
            build_planasonix_cancel_job(workspace),
        ],
        sensors=[build_planasonix_polling_sensor(workspace, assets)],
    )
    dg.Definitions.validate_loadable(defs)


def test_bad_arguments_name_their_field() -> None:
    workspace = PlanasonixWorkspace(api_key=DEFAULT_API_KEY)
    with pytest.raises(ConfigurationError, match="since_hours"):
        build_planasonix_reconcile_job(workspace, [assets_of(workspace)], since_hours=-1)
    with pytest.raises(ConfigurationError, match="assets"):
        build_planasonix_reconcile_job(workspace, [])


@dg.job
def _nothing() -> None: ...
