"""The polling sensor, against the sandbox over HTTP and an instance in memory."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix.sensors import cursor_text, external
from dagster_planasonix.sensors import listener as listening
from dagster_planasonix.sensors.cursor_text import packed, unpacked
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix.errors import ConfigurationError, PlanasonixError
from planasonix.runs import PollCursor
from planasonix.runs.polled import look
from planasonix.runs.polled.cursor import Place
from planasonix.runs.polled.look import TRIES
from planasonix.sandbox import DEFAULT_API_KEY
from tests.dagster.sensing import INVENTORY, ORDERS, ORDERS_FAILED, Setting, assets_of, setting_with

DAY = timedelta(days=1)
DAILY = dg.DailyPartitionsDefinition("2026-01-01")


@pytest.fixture
def setting() -> Iterator[Setting]:
    with setting_with() as made:
        yield made


def test_a_foreign_job_gives_what_a_step_would_have_given_and_once(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace)])
    setting.synced()
    time.sleep(2)  # the API's clock is known by the second: what ended in the last one may count as new
    assert setting.tick(sensor) == [], "the first tick replayed history"
    job_id = setting.synced()
    setting.tick(sensor)
    assert job_id in setting.skip_message
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]
    assert setting.job_ids("public.customers") == [job_id]
    [told] = setting.materializations("public.orders")
    shown = {name: value.value for name, value in told.metadata.items()}
    assert shown["dagster/row_count"] > 0
    assert shown["planasonix/told_by"] == "planasonix_polling_sensor"
    assert shown["planasonix/started_elsewhere"] is True
    assert str(shown["planasonix/job_url"]).endswith(job_id)
    assert setting.status_check("public.orders") is True


def test_one_that_goes_on_gives_nothing_until_it_ends(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace)])
    job_id = setting.running()
    assert setting.tick(sensor) == []
    assert setting.tick(sensor) == []
    setting.sandbox.finish(job_id, "succeeded")
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_one_that_ended_badly_gives_observations_and_a_failed_check(setting: Setting, outcome: str) -> None:
    sensor = setting.sensor([assets_of(setting.workspace, "conn_legacy_mainframe")])
    setting.tick(sensor)
    setting.synced("conn_legacy_mainframe", outcome)
    setting.tick(sensor)
    assert setting.materializations("core.policies") == []
    assert len(setting.observations("core.policies")) == 1
    assert setting.status_check("core.policies") is False


def test_a_table_that_the_results_leave_out_is_what_it_is_to_a_step(setting: Setting) -> None:
    """A failed table makes the job a failed one, and says nothing of a table that had no change."""
    sensor = setting.sensor([assets_of(setting.workspace)])
    setting.tick(sensor)
    setting.results_name(ORDERS_FAILED)
    job_id = setting.synced()
    setting.tick(sensor)
    assert setting.materializations("public.orders") == []
    [told] = setting.materializations("public.customers")
    assert told.metadata["planasonix/job_id"].value == job_id
    assert told.metadata["planasonix/table_state"].value == "no_change"


def test_what_a_step_waits_for_is_left_to_the_step(setting: Setting) -> None:
    assets = assets_of(setting.workspace)
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=0.1)
    assert dg.materialize([assets], instance=setting.instance).success
    assert setting.tick(sensor) == []
    assert len(setting.materializations("public.orders")) == 1


def test_a_foreign_job_that_a_step_waits_for_is_told_by_one_of_them(setting: Setting) -> None:
    workspace = setting.workspace.model_copy(update={"if_running": "attach"})
    assets = assets_of(workspace)
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    job_id = setting.running()
    ticks: list[list[Any]] = []

    def finish() -> None:
        # Before the step waits for it, its end would let the step start a job of its own.
        until = time.monotonic() + 60.0
        while setting.sandbox.calls("jobs.get") < 3 and time.monotonic() < until:
            time.sleep(0.05)
        setting.sandbox.finish(job_id, "succeeded")
        ticks.append(setting.tick(sensor))

    finisher = threading.Thread(target=finish)
    finisher.start()
    assert dg.materialize([assets], instance=setting.instance).success
    finisher.join()
    ticks.append(setting.tick(sensor))
    assert setting.job_ids("public.orders") == [job_id]
    assert setting.job_ids("public.customers") == [job_id]


def test_a_start_whose_answer_is_outstanding_may_be_the_job(setting: Setting) -> None:
    """The step died between its POST and the answer: the next try of the step will find the job."""
    assets = assets_of(setting.workspace)
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=0.1)
    setting.sandbox.fault("connections.sync", kind="drop", times=1)
    setting.sandbox.fault("jobs.list", status=403, times=1)
    assert not dg.materialize([assets], instance=setting.instance, raise_on_error=False).success
    setting.sandbox.clear_faults()
    assert len(setting.sandbox.jobs(ORDERS)) == 1
    assert setting.tick(sensor) == []
    other = setting.synced(INVENTORY)
    assert setting.tick(sensor) == []
    assert other not in setting.skip_message


@pytest.mark.parametrize("dies", ["early", "late"])
def test_a_daemon_that_dies_before_the_cursor_is_stored_repeats_nothing(setting: Setting, dies: str) -> None:
    sensor = setting.sensor([assets_of(setting.workspace), assets_of(setting.workspace, INVENTORY)])
    setting.tick(sensor)
    jobs = setting.synced(ORDERS), setting.synced(INVENTORY)
    setting.tick(sensor, dies=dies)
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [jobs[0]]
    assert setting.job_ids("public.customers") == [jobs[0]]
    assert setting.job_ids("inventory.products") == [jobs[1]]
    assert [setting.status_check(each) for each in ("public.orders", "public.customers")] == [True, True]


def test_an_odd_record_is_skipped_told_of_and_not_lost(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = setting.sensor([assets_of(setting.workspace), assets_of(setting.workspace, INVENTORY)])
    setting.tick(sensor)
    odd, good = setting.synced(ORDERS), setting.synced(INVENTORY)
    whole = listening.outcome_of

    def fails_for_one(client: Any, handle: Any, **options: Any) -> Any:
        if handle.id == odd:
            raise KeyError("a field that nobody foresaw")
        return whole(client, handle, **options)

    monkeypatch.setattr(listening, "outcome_of", fails_for_one)
    monkeypatch.setattr(look, "TRIED_SECONDS", 0.0)
    for _ in range(TRIES + 1):
        setting.tick(sensor)
    assert setting.job_ids("inventory.products") == [good]
    assert setting.materializations("public.orders") == []
    for table in ("public.orders", "public.customers"):
        [told] = setting.observations(table)
        assert odd in str(told.description)
        assert "nobody foresaw" in str(told.description)
        assert "reconcile" not in str(told.description), "reconcile knows only what Dagster started"
        assert "planasonix/job_id" not in told.metadata
        assert told.metadata["planasonix/not_told_job_id"].value == odd
        assert setting.status_check(table) is False


def test_results_that_cannot_be_read_now_are_read_in_a_later_tick(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace)])
    setting.tick(sensor)
    job_id = setting.synced()
    setting.sandbox.fault("jobs.results", status=503, times=2)
    assert setting.tick(sensor) == []
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]


def test_an_api_that_answers_nothing_fails_the_tick_and_keeps_the_cursor(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace)])
    setting.tick(sensor)
    cursor = setting.cursor
    setting.sandbox.fault("*", status=503, times=100)
    with pytest.raises(PlanasonixError) as raised:
        setting.tick(sensor)
    assert DEFAULT_API_KEY not in f"{raised.value!r} {raised.value}"
    assert setting.cursor == cursor


def test_a_refusal_that_names_a_time_is_obeyed_within_the_tick(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace)])
    setting.tick(sensor)
    job_id = setting.synced()
    setting.sandbox.fault("*", "rate_limit", retry_after=1, times=2)
    began = time.monotonic()
    setting.tick(sensor)
    assert time.monotonic() - began >= 1.0
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]


def test_a_foreign_backfill_loads_the_partitions_within_its_window(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace, partitions_def=DAILY)])
    setting.tick(sensor)
    start = datetime(2026, 1, 5, 12, tzinfo=UTC)
    setting.sandbox.script(ORDERS, "succeeded", kind="backfill", duration_seconds=0.1)
    setting.client.connections.backfill(ORDERS, start_at=start, end_at=start + 3 * DAY, tables=["public.orders"])
    _tick_until(setting, sensor, "public.orders", 2)
    told = setting.materializations("public.orders")
    assert [one.partition for one in told] == ["2026-01-06", "2026-01-07"]
    assert all("dagster/partition_row_count" not in one.metadata for one in told)
    assert all("planasonix/rows_loaded_in_window" in one.metadata for one in told)
    assert setting.materializations("public.customers") == [], "the backfill did not name this table"


def test_a_foreign_backfill_of_one_partition_tells_its_rows(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace, partitions_def=DAILY)])
    setting.tick(sensor)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    setting.sandbox.script(ORDERS, "succeeded", kind="backfill", duration_seconds=0.1)
    setting.client.connections.backfill(ORDERS, start_at=start, end_at=start + DAY)
    _tick_until(setting, sensor, "public.orders", 1)
    [told] = setting.materializations("public.orders")
    assert told.partition == "2026-01-05"
    assert int(told.metadata["dagster/partition_row_count"].value) > 0  # type: ignore[arg-type]


def test_a_foreign_backfill_loads_dynamic_partitions_too(setting: Setting) -> None:
    setting.instance.add_dynamic_partitions("days", ["2026-01-05", "2026-01-06", "2026-01-09"])
    dynamic = dg.DynamicPartitionsDefinition(name="days")
    sensor = setting.sensor([assets_of(setting.workspace, partitions_def=dynamic)])
    setting.tick(sensor)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    setting.sandbox.script(ORDERS, "succeeded", kind="backfill", duration_seconds=0.1)
    setting.client.connections.backfill(ORDERS, start_at=start, end_at=start + 3 * DAY)
    _tick_until(setting, sensor, "public.orders", 2)
    assert [one.partition for one in setting.materializations("public.orders")] == ["2026-01-05", "2026-01-06"]


def test_a_foreign_sync_of_partitioned_assets_is_only_observed(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace, partitions_def=DAILY)])
    setting.tick(sensor)
    setting.synced()
    setting.tick(sensor)
    assert setting.materializations("public.orders") == []
    [seen] = setting.observations("public.orders")
    assert "Which partitions" in str(seen.description)


def test_a_backfill_too_big_for_one_tick_is_told_by_later_ones() -> None:
    with setting_with(backfill_shard_days=1, speed=1_000) as setting:
        sensor = setting.sensor([assets_of(setting.workspace)], seconds_per_tick=2)
        setting.tick(sensor)
        start = datetime(2026, 1, 5, tzinfo=UTC)
        backfill = setting.client.connections.backfill(ORDERS, start_at=start, end_at=start + 10 * DAY)
        _until_ended(setting, backfill.id)
        setting.sandbox.fault("jobs.results", kind="latency", seconds=0.3, times=100)
        cursor = setting.cursor
        assert setting.tick(sensor) == [], "ten answers of 0.3 seconds were awaited in a tick of two seconds"
        assert setting.cursor != cursor
        for _ in range(TRIES - 1):
            setting.tick(sensor)
        [told] = setting.materializations("public.orders")
        assert told.metadata["planasonix/backfill_id"].value == backfill.id
        assert "planasonix/warnings" not in told.metadata
        read = [entry for entry in setting.sandbox.journal if entry.operation == "jobs.results"]
        assert len(read) == 10, "what one tick has read was read again"


def test_a_tick_ends_soon_after_its_time_however_slow_the_answer(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_BEYOND_SECONDS", 0.5)
    sensor = setting.sensor([assets_of(setting.workspace)], seconds_per_tick=1)
    setting.tick(sensor)
    job_id = setting.synced()
    setting.sandbox.fault("jobs.results", kind="latency", seconds=8, times=None)
    began = time.monotonic()
    assert setting.tick(sensor) == []
    assert time.monotonic() - began < 7.0
    setting.sandbox.clear_faults()
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]


def test_a_tick_takes_no_more_runs_than_one_message_holds(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = setting.sensor([assets_of(setting.workspace), assets_of(setting.workspace, INVENTORY)])
    setting.tick(sensor)
    jobs = {"public.orders": setting.synced(ORDERS), "inventory.products": setting.synced(INVENTORY)}
    monkeypatch.setattr(listening, "_EVENTS_OF_A_TICK", 1)
    setting.tick(sensor)
    assert "1 are left to the next tick" in setting.skip_message
    assert sum(len(setting.materializations(table)) for table in jobs) == 1
    setting.tick(sensor)
    assert {table: setting.job_ids(table) for table in jobs} == {table: [job] for table, job in jobs.items()}


def test_more_partitions_than_one_message_holds_are_observed(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = setting.sensor([assets_of(setting.workspace, partitions_def=DAILY)])
    setting.tick(sensor)
    monkeypatch.setattr(external, "EVENTS_AT_MOST", 5)  # of two assets: two partitions each
    setting.sandbox.script(ORDERS, "succeeded", kind="backfill", duration_seconds=0.1)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    for days in (2, 3):
        ended = setting.client.connections.backfill(ORDERS, start_at=start, end_at=start + days * DAY)
        _until_ended(setting, ended.id)
        setting.tick(sensor)
    assert [one.partition for one in setting.materializations("public.customers")] == ["2026-01-05", "2026-01-06"]
    [seen] = setting.observations("public.customers")
    assert "3 partitions lie within this window" in str(seen.description)


def test_an_api_whose_clock_is_hours_ahead_is_told_once() -> None:
    with setting_with() as setting:
        setting.sandbox.advance(6 * 3_600)
        sensor = setting.sensor([assets_of(setting.workspace)])
        setting.tick(sensor)
        job_id = setting.synced()
        setting.tick(sensor, dies="late")
        setting.tick(sensor)
        assert setting.job_ids("public.orders") == [job_id]


def test_the_cursor_of_many_connections_is_packed_and_read_again() -> None:
    places = {f"conn_{hashlib.sha256(bytes([i % 256, i // 256])).hexdigest()[:26]}": i for i in range(500)}
    whole = PollCursor({name: Place(1.7e9 + i, {"job": 1.7e9 + i, "backfill": 1.7e9}) for name, i in places.items()})
    text = packed(whole.to_text())
    assert len(text) < 32_000 < 64_000 < len(whole.to_text())
    assert unpacked(text) == whole.to_text()
    assert packed(PollCursor().to_text()) == PollCursor().to_text()
    with pytest.raises(ConfigurationError, match="Reset the sensor's cursor"):
        unpacked(text[:-20])


def test_a_packed_cursor_is_what_the_sensor_stores_and_reads(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_text, "_SHORT", 10)
    sensor = setting.sensor([assets_of(setting.workspace)])
    setting.tick(sensor)
    assert setting.cursor is not None
    assert setting.cursor.startswith("zlib:")
    job_id = setting.synced()
    setting.tick(sensor)
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]


def test_downstream_is_triggered(setting: Setting) -> None:
    assets = assets_of(setting.workspace)

    @dg.asset(deps=["orders"], automation_condition=dg.AutomationCondition.eager())
    def report() -> None: ...

    defs = dg.Definitions(assets=[assets, report])
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    before = dg.evaluate_automation_conditions(defs, setting.instance)
    setting.synced()
    setting.tick(sensor)
    after = dg.evaluate_automation_conditions(defs, setting.instance, cursor=before.cursor)
    assert after.total_requested == 1


def test_a_cursor_of_another_version_fails_the_tick_with_a_way_out(setting: Setting) -> None:
    setting.cursor = '{"version": 99}'
    with pytest.raises(ConfigurationError, match="reset the cursor"):
        setting.tick(setting.sensor([assets_of(setting.workspace)]))


@pytest.mark.parametrize(
    ("options", "field"),
    [({"seconds_per_tick": 0}, "seconds_per_tick"), ({"minimum_interval_seconds": -1}, "minimum_interval_seconds")],
)
def test_bad_arguments_name_their_field(options: dict[str, Any], field: str) -> None:
    workspace = PlanasonixWorkspace(api_key=DEFAULT_API_KEY)
    with pytest.raises(ConfigurationError, match=field):
        Setting.sensor(_Only(workspace), [assets_of(workspace)], **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="assets"):
        Setting.sensor(_Only(workspace), [dg.AssetSpec("not_ours")])  # type: ignore[arg-type]


def test_names_and_options_reach_the_definition() -> None:
    workspace = PlanasonixWorkspace(api_key=DEFAULT_API_KEY)
    sensor = Setting.sensor(
        _Only(workspace),  # type: ignore[arg-type]
        [assets_of(workspace)],
        name="shop-orders sensor",
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        tags={"team": "data"},
    )
    assert sensor.name.startswith("shop_orders_sensor_")
    assert sensor.minimum_interval_seconds == 15
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.tags["team"] == "data"


class _Only:
    """No sandbox, no instance: for what is decided when definitions are loaded."""

    def __init__(self, workspace: PlanasonixWorkspace) -> None:
        self.workspace = workspace


def _until_ended(setting: Setting, backfill_id: str) -> None:
    for _ in range(300):
        if setting.client.backfills.get(backfill_id).phase == "succeeded":
            return
        time.sleep(0.1)
    raise AssertionError("the backfill goes on")


def _tick_until(setting: Setting, sensor: dg.SensorDefinition, table: str, number: int) -> None:
    for _ in range(200):
        setting.tick(sensor)
        if len(setting.materializations(table)) >= number:
            return
        setting.sandbox.advance(2)
    raise AssertionError(f"{table} has {len(setting.materializations(table))} materializations")
