"""Detached runs: seconds long, completed by the sensor, refused where their partitions would seem missing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix.detached_cancel import build_planasonix_cancel_job
from dagster_planasonix.ledger import started_runs
from dagster_planasonix.reconcile import reconcile
from planasonix.runs.polled import look
from planasonix.runs.polled.look import TRIES
from tests.dagster.sensing import INVENTORY, ORDERS, Setting, assets_of, setting_with

DAILY = dg.DailyPartitionsDefinition("2026-01-01")


@pytest.fixture
def setting() -> Iterator[Setting]:
    with setting_with() as made:
        yield made


def submitted(setting: Setting, assets: dg.AssetsDefinition, **options: Any) -> str:
    """The id of the run; its job goes on until a test ends it."""
    setting.sandbox.script(ORDERS, "stuck")
    result = dg.materialize([assets], instance=setting.instance, **options)
    assert result.success
    return result.run_id


def test_the_run_ends_at_once_and_the_sensor_completes_it(setting: Setting) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    run_id = submitted(setting, assets)
    [job] = setting.sandbox.jobs(ORDERS)
    assert setting.materializations("public.orders") == []
    assert setting.tick(sensor) == []
    setting.sandbox.finish(job["id"], "succeeded")
    setting.tick(sensor)
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job["id"]]
    [told] = setting.materializations("public.orders")
    assert told.metadata["planasonix/dagster_run_id"].value == run_id
    assert setting.status_check("public.orders") is True
    [entry] = started_runs(setting.instance).values()
    assert entry.record is not None
    assert entry.record.ended_as == "succeeded"


def test_the_log_says_who_tells_of_the_end(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    submitted(setting, assets_of(setting.workspace, execution="detached"))
    said = capsys.readouterr().err
    assert "goes on without this run. Its end is told by the polling sensor: switch it on under Automation" in said


def test_only_the_selected_assets_are_told(setting: Setting) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    submitted(setting, assets, selection=["orders"])
    [job] = setting.sandbox.jobs(ORDERS)
    setting.sandbox.finish(job["id"], "succeeded")
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job["id"]]
    assert setting.materializations("public.customers") == []


def test_one_that_ended_before_the_sensor_was_first_on_is_told(setting: Setting) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    submitted(setting, assets)
    [job] = setting.sandbox.jobs(ORDERS)
    setting.sandbox.finish(job["id"], "succeeded")
    time.sleep(2)
    setting.tick(setting.sensor([assets]))
    assert setting.job_ids("public.orders") == [job["id"]]


def test_one_older_than_the_look_back_is_told(setting: Setting) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    submitted(setting, assets)
    [job] = setting.sandbox.jobs(ORDERS)
    setting.sandbox.finish(job["id"], "succeeded")
    time.sleep(4)  # bounds of lists are rounded to seconds
    sensor = setting.sensor([assets], first_look_back_seconds=1, overlap_seconds=1)
    setting.tick(sensor, dies="late")
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job["id"]]
    # And a cursor that is reset repeats nothing: the ledger has its end.
    setting.cursor = None
    assert setting.tick(sensor) == []


def test_the_deadline_of_one_older_than_the_look_back_is_kept() -> None:
    with setting_with({"timeout_seconds": 4.0}) as setting:
        assets = assets_of(setting.workspace, execution="detached")
        submitted(setting, assets)
        time.sleep(4.2)
        setting.tick(setting.sensor([assets], first_look_back_seconds=1, overlap_seconds=1))
        assert setting.sandbox.counts()["cancels"] == 1


def test_a_partition_is_backfilled_and_told_as_that_partition(setting: Setting) -> None:
    assets = assets_of(setting.workspace, execution="detached", partitions_def=DAILY)
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    setting.sandbox.script(ORDERS, "succeeded", kind="backfill", duration_seconds=0.1)
    assert dg.materialize([assets], instance=setting.instance, partition_key="2026-01-05").success
    _tick_until_told(setting, sensor)
    [told] = setting.materializations("public.orders")
    assert told.partition == "2026-01-05"
    assert "dagster/partition_row_count" in told.metadata


def test_a_dynamic_partition_is_told_as_that_partition(setting: Setting) -> None:
    setting.instance.add_dynamic_partitions("days", ["2026-01-05", "2026-01-06"])
    assets = assets_of(
        setting.workspace, execution="detached", partitions_def=dg.DynamicPartitionsDefinition(name="days")
    )
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    setting.sandbox.script(ORDERS, "succeeded", kind="backfill", duration_seconds=0.1)
    assert dg.materialize([assets], instance=setting.instance, partition_key="2026-01-05").success
    _tick_until_told(setting, sensor)
    [told] = setting.materializations("public.orders")
    assert told.partition == "2026-01-05"
    assert "dagster/partition_row_count" in told.metadata


PAUSED = json.dumps({"error": {"code": "connection_paused", "message": "The connection is paused."}})


@pytest.mark.parametrize("status", [403, 409, 422])
@pytest.mark.parametrize("on_paused", ["fail", "skip"])
def test_a_paused_connection_is_the_same_outcome_as_where_the_run_waits(status: int, on_paused: str) -> None:
    with setting_with({"on_paused": on_paused}) as setting:
        setting.sandbox.fault("connections.sync", "error", status=status, body=PAUSED, times=None)
        assets = assets_of(setting.workspace, execution="detached")
        result = dg.materialize([assets], instance=setting.instance, raise_on_error=False)
        assert setting.sandbox.calls("connections.sync") == 1
        if on_paused == "skip":
            assert result.success
            [seen] = setting.observations("public.orders")
            assert seen.metadata["planasonix/skipped"].value == "paused"
        else:
            [event] = [event for event in result.all_events if event.is_step_failure]
            assert "is paused in Planasonix" in event.step_failure_data.user_failure_data.description
            assert setting.observations("public.orders") == []


def test_a_paused_connection_is_skipped_for_the_partition() -> None:
    with setting_with({"on_paused": "skip"}) as setting:
        setting.sandbox.fault("connections.backfill", "error", status=409, body=PAUSED, times=None)
        assets = assets_of(setting.workspace, execution="detached", partitions_def=DAILY)
        assert dg.materialize([assets], instance=setting.instance, partition_key="2026-01-05").success
        [seen] = setting.observations("public.orders")
        assert seen.partition == "2026-01-05"


def test_a_busy_connection_is_skipped_with_an_observation() -> None:
    with setting_with({"if_running": "skip"}) as setting:
        setting.running()
        assets = assets_of(setting.workspace, execution="detached")
        assert dg.materialize([assets], instance=setting.instance).success
        [seen] = setting.observations("public.orders")
        assert seen.metadata["planasonix/skipped"].value == "busy"


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_a_bad_end_is_a_failed_check(setting: Setting, ended: str) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    submitted(setting, assets)
    [job] = setting.sandbox.jobs(ORDERS)
    setting.sandbox.finish(job["id"], ended)
    setting.tick(sensor)
    assert setting.materializations("public.customers") == []
    assert setting.status_check("public.customers") is False


def test_the_deadline_is_the_sensors() -> None:
    with setting_with({"timeout_seconds": 1.0}, cancel_seconds=0.1) as setting:
        assets = assets_of(setting.workspace, execution="detached")
        sensor = setting.sensor([assets])
        setting.tick(sensor)
        submitted(setting, assets)
        time.sleep(1.2)
        setting.tick(sensor)
        assert setting.sandbox.counts()["cancels"] == 1
        _tick_until_told(setting, sensor)
        assert setting.sandbox.counts()["cancels"] == 1
        [seen] = setting.observations("public.customers")
        assert seen.metadata["planasonix/cancelled_at_deadline"].value is True
        assert setting.status_check("public.customers") is False


def test_a_deadline_cancels_nothing_where_that_is_switched_off() -> None:
    with setting_with({"timeout_seconds": 0.5, "cancel_on_termination": False}) as setting:
        assets = assets_of(setting.workspace, execution="detached")
        sensor = setting.sensor([assets])
        setting.tick(sensor)
        submitted(setting, assets)
        time.sleep(0.7)
        setting.tick(sensor)
        assert setting.sandbox.counts()["cancels"] == 0


def test_a_deadline_cancels_nothing_of_a_step_whose_own_workspace_says_so() -> None:
    with setting_with({"timeout_seconds": 0.5}) as setting:
        own = setting.workspace.model_copy(update={"cancel_on_termination": False})
        assets = assets_of(own, execution="detached")
        sensor = setting.sensor([assets])
        setting.tick(sensor)
        submitted(setting, assets)
        time.sleep(0.7)
        setting.tick(sensor)
        assert "goes on" in setting.skip_message
        assert setting.sandbox.counts()["cancels"] == 0


def gone(setting: Setting) -> None:
    """From now on the API shows no job."""
    setting.sandbox.fault("jobs.get", status=404, times=None)
    setting.sandbox.fault(
        "jobs.list", "error", status=200, body=json.dumps({"data": [], "next_cursor": None}), times=None
    )


def test_one_that_cannot_be_read_is_given_up_for_its_assets_and_reconcile_tells_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(look, "TRIED_SECONDS", 0.0)
    with setting_with({"timeout_seconds": 1.0}) as setting:
        assets = assets_of(setting.workspace, execution="detached")
        sensor = setting.sensor([assets])
        setting.tick(sensor)
        run_id = submitted(setting, assets, selection=["customers"])
        [job] = setting.sandbox.jobs(ORDERS)
        setting.tick(sensor)
        gone(setting)
        time.sleep(1.0)
        for _ in range(TRIES + 1):
            setting.tick(sensor)
        assert setting.observations("public.orders") == []
        assert setting.status_check("public.orders") is None
        [told] = setting.observations("public.customers")
        assert "Whether it ended, and what it loaded, is not known" in str(told.description)
        assert "run reconcile" in str(told.description)
        assert told.metadata["planasonix/dagster_run_id"].value == run_id
        assert str(told.metadata["planasonix/job_url"].value).endswith(job["id"])
        assert setting.status_check("public.customers") is False
        setting.sandbox.clear_faults()
        setting.sandbox.finish(job["id"], "succeeded")
        reconcile(setting.instance, setting.workspace, [assets], apply=True, grace_seconds=0.0)
        assert setting.job_ids("public.customers") == [job["id"]]
        assert setting.status_check("public.customers") is True


def test_one_that_cannot_be_read_for_a_while_keeps_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "TRIED_SECONDS", 0.0)
    with setting_with({"timeout_seconds": 5.0}) as setting:
        assets = assets_of(setting.workspace, execution="detached")
        sensor = setting.sensor([assets])
        setting.tick(sensor)
        began = time.monotonic()
        submitted(setting, assets)
        setting.tick(sensor)
        gone(setting)
        for _ in range(TRIES + 1):
            setting.tick(sensor)
        assert time.monotonic() - began < 5.0, "too slow a machine to show it"
        setting.sandbox.clear_faults()
        assert setting.observations("public.orders") == []
        time.sleep(max(0.0, began + 6.0 - time.monotonic()))
        setting.tick(sensor)
        assert setting.sandbox.counts()["cancels"] == 1


@pytest.mark.parametrize(
    "tags",
    [
        {"dagster/asset_partition_range_start": "2026-01-05", "dagster/asset_partition_range_end": "2026-01-07"},
        {"dagster/partition": "2026-01-05", "dagster/backfill": "a_backfill"},
    ],
)
def test_backfills_and_ranges_are_refused_before_anything_is_started(setting: Setting, tags: dict[str, str]) -> None:
    assets = assets_of(setting.workspace, execution="detached", partitions_def=DAILY)
    result = dg.materialize(
        [assets],
        instance=setting.instance,
        tags=tags,
        partition_key=tags.get("dagster/partition"),
        raise_on_error=False,
    )
    assert not result.success
    assert "cannot be part of" in str(result.failure_data_for_node("conn_shop_orders"))
    assert setting.client.backfills.list_page().rows == ()


def test_running_detached_jobs_share_lists(setting: Setting) -> None:
    both = [assets_of(setting.workspace, each, execution="detached") for each in (ORDERS, INVENTORY)]
    sensor = setting.sensor(both)
    setting.tick(sensor)
    setting.sandbox.script(INVENTORY, "stuck")
    for assets in both:
        submitted(setting, assets)
    before = len(list(setting.sandbox.journal))
    setting.tick(sensor)
    asked = [entry.operation for entry in list(setting.sandbox.journal)[before:]]
    assert "jobs.get" not in asked
    assert len(asked) <= 4


def test_the_cancel_job_cancels_what_dagster_started_and_nothing_else(setting: Setting) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    submitted(setting, assets)
    [own] = setting.sandbox.jobs(ORDERS)
    foreign = setting.running(INVENTORY)
    job = build_planasonix_cancel_job(setting.workspace)
    config = {"ops": {"planasonix_cancel_op": {"config": {"ids": [foreign, own["id"]]}}}}
    result = job.execute_in_process(run_config=config, instance=setting.instance, raise_on_error=False)
    assert not result.success
    assert foreign in str(result.failure_data_for_node("planasonix_cancel_op"))
    assert setting.sandbox.job(own["id"])["status"] in ("cancelling", "cancelled")
    assert setting.sandbox.job(foreign)["status"] in ("queued", "running")


def cancelled(setting: Setting, *ids: str) -> dg.ExecuteInProcessResult:
    config = {"ops": {"planasonix_cancel_op": {"config": {"ids": list(ids)}}}}
    job = build_planasonix_cancel_job(setting.workspace)
    return job.execute_in_process(run_config=config, instance=setting.instance, raise_on_error=False)


def test_a_cancel_that_the_api_refuses_fails_the_run(setting: Setting) -> None:
    submitted(setting, assets_of(setting.workspace, execution="detached"))
    [job] = setting.sandbox.jobs(ORDERS)
    setting.sandbox.fault("jobs.cancel", status=403)
    result = cancelled(setting, job["id"])
    assert not result.success
    assert "403" in str(result.failure_data_for_node("planasonix_cancel_op"))
    assert setting.sandbox.job(job["id"])["status"] in ("queued", "running")
    setting.sandbox.clear_faults()
    assert cancelled(setting, job["id"]).success
    assert setting.sandbox.job(job["id"])["status"] in ("cancelling", "cancelled")


def test_the_cancel_job_leaves_what_a_run_only_waited_for_and_says_so(setting: Setting) -> None:
    foreign = setting.running(ORDERS)
    workspace = setting.workspace.model_copy(update={"if_running": "attach"})
    assert dg.materialize([assets_of(workspace, execution="detached")], instance=setting.instance).success
    result = cancelled(setting, foreign)
    assert not result.success
    assert "that a step of the last thirty days started" in str(result.failure_data_for_node("planasonix_cancel_op"))
    assert setting.sandbox.counts()["cancels"] == 0


def _tick_until_told(setting: Setting, sensor: dg.SensorDefinition) -> None:
    for _ in range(100):
        setting.tick(sensor)
        if setting.status_check("public.orders") is not None:
            return
        time.sleep(0.1)
    raise AssertionError("its end was never told")
