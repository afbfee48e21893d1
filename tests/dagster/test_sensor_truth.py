"""What the sensor tells where assets share a table, sensors share an asset, or results stay unread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix.checks import check_specs
from dagster_planasonix.reconcile import reconcile
from dagster_planasonix.sensors.external import expected_tables, run_events
from dagster_planasonix.sensors.told import Told
from dagster_planasonix.sensors.watched import watched_of
from dagster_planasonix.targets import target_metadata
from planasonix.runs.polled import look
from planasonix.runs.polled.look import TRIES
from tests.dagster.outcomes import loaded, outcome
from tests.dagster.sensing import ORDERS, Setting, assets_of, setting_with

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
LAKE = dg.AssetSpec(["lake", "orders"], metadata=target_metadata(ORDERS, None, "public.orders"))


@pytest.fixture
def setting() -> Iterator[Setting]:
    with setting_with() as made:
        yield made


def loads(events: list[Any]) -> dict[str, dict[str, Any]]:
    """The metadata of the materializations, by asset. Each must be there once."""
    told = [event for event in events if isinstance(event, dg.AssetMaterialization)]
    assert len({event.asset_key for event in told}) == len(told)
    return {event.asset_key.to_user_string(): {n: v.value for n, v in event.metadata.items()} for event in told}


def backfilled(setting: Setting, outcome: str = "succeeded") -> str:
    """A backfill of one table that somebody else started, and that has ended."""
    setting.sandbox.script(ORDERS, outcome, kind="backfill", duration_seconds=0.1)
    made = setting.client.connections.backfill(ORDERS, start_at=START, end_at=START + DAY, tables=["public.orders"])
    for _ in range(200):
        if setting.client.backfills.get(made.id).phase in ("succeeded", "failed"):
            return made.id
        setting.sandbox.advance(2)
    raise AssertionError("the backfill goes on")


def test_a_foreign_sync_is_told_to_every_asset_of_a_table(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace), LAKE])
    setting.tick(sensor)
    setting.synced()
    told = loads(setting.tick(sensor))
    assert told.keys() == {"orders", "customers", "lake/orders"}
    assert told["orders"]["dagster/row_count"] == told["lake/orders"]["dagster/row_count"] > 0
    assert setting.status_check("public.orders") is True


def test_a_foreign_backfill_is_told_to_every_asset_of_the_table_that_it_names(setting: Setting) -> None:
    sensor = setting.sensor([assets_of(setting.workspace), LAKE])
    setting.tick(sensor)
    backfilled(setting)
    assert loads(setting.tick(sensor)).keys() == {"orders", "lake/orders"}


@pytest.mark.parametrize("days", [1, 3])
def test_the_rows_of_several_partitions_are_those_of_none(days: int) -> None:
    daily = dg.DailyPartitionsDefinition("2026-01-01")
    spec = dg.AssetSpec("orders", metadata=target_metadata(ORDERS, None, "public.orders"), partitions_def=daily)

    @dg.multi_asset(specs=[spec], check_specs=check_specs("orders", max_rows=150), can_subset=True)
    def load(): ...

    ended = replace(
        outcome(kind="backfill", connection_id=ORDERS),
        tables=(loaded("public.orders", 300),),
        window_start=START.isoformat(),
        window_end=(START + days * DAY).isoformat(),
    )
    events = run_events(ended, watched_of([load]))
    assert len([event for event in events if isinstance(event, dg.AssetMaterialization)]) == days
    [rows] = [event for event in events if isinstance(event, dg.AssetCheckEvaluation) and "rows" in event.check_name]
    assert not rows.passed
    if days == 1:
        assert str(rows.description).startswith("Loaded 300 rows")
        assert rows.severity is dg.AssetCheckSeverity.ERROR
    else:
        assert rows.description == "The number of rows is not known for 1 of 1 loads."
        assert rows.severity is dg.AssetCheckSeverity.WARN
        assert "planasonix/rows_loaded" not in rows.metadata


def test_a_backfill_whose_name_fits_two_tables_says_so(setting: Setting) -> None:
    specs = [dg.AssetSpec(name, metadata=target_metadata(ORDERS, None, f"{name}.orders")) for name in ("new", "old")]
    watched = watched_of(specs)
    assert expected_tables(watched, ORDERS, asked_tables=["orders", "new.orders"]) == ("new.orders",)
    ended = outcome(kind="backfill", connection_id=ORDERS)
    for tables in ((loaded("orders", 3),), ()):
        events = run_events(replace(ended, tables=tables), watched, asked_tables=["orders"])
        assert loads(events) == {}
        said = [str(event.description) for event in events if isinstance(event, dg.AssetObservation)]
        assert len(said) == 2
        assert all(text.startswith("Whether Planasonix backfill job_1 loaded this table is not known") for text in said)


def test_a_detached_job_is_told_where_another_asset_is_the_same_table(setting: Setting) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    sensor = setting.sensor([LAKE, assets])
    setting.tick(sensor)
    setting.sandbox.script(ORDERS, "stuck")
    assert dg.materialize([assets], instance=setting.instance).success
    [job] = setting.sandbox.jobs(ORDERS)
    setting.sandbox.finish(job["id"], "succeeded")
    assert loads(setting.tick(sensor)).keys() == {"orders", "customers"}, "the step was to load these"


def test_sensors_that_share_assets_tell_a_job_once(setting: Setting) -> None:
    """Two code locations, each with its own order of assets and its own cursor."""
    by_name = {spec.key.path[-1]: spec for spec in assets_of(setting.workspace).specs}
    sensors = [
        setting.sensor([by_name["orders"]], name="one"),
        setting.sensor([LAKE, by_name["orders"], by_name["customers"]], name="other"),
    ]
    cursors: list[str | None] = [None, None]

    def tick() -> list[list[Any]]:
        ticks: list[list[Any]] = []
        for number, sensor in enumerate(sensors):
            setting.cursor = cursors[number]
            ticks.append(setting.tick(sensor))
            cursors[number] = setting.cursor
        return ticks

    tick()
    job_id = setting.synced()
    one, other = tick()
    assert loads(one).keys() == {"orders"}
    assert loads(other).keys() == {"lake/orders", "customers"}
    assert setting.job_ids("public.orders") == [job_id]


def test_each_asset_is_asked_for_what_it_was_told() -> None:
    def event(name: str, job_id: str = "job_1") -> dg.AssetMaterialization:
        return dg.AssetMaterialization(name, metadata={"planasonix/job_id": job_id})

    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(event("b"))
        instance.report_runless_asset_event(event("c", "job_2"))
        told = Told(instance, "job", "job_1", datetime.now(UTC).timestamp())
        events = [event(name) for name in "abc"]
        for by_sensors in (True, False):
            assert [one.asset_key.path for one in told.untold(events, by_sensors=by_sensors)] == [["a"], ["c"]]


@pytest.mark.parametrize("ended", ["succeeded", "failed"])
def test_results_that_stay_unread_concern_the_tables_of_the_backfill_alone(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    sensor = setting.sensor([assets_of(setting.workspace)])
    setting.tick(sensor)
    backfilled(setting, ended)
    events = _given_up(setting, sensor, monkeypatch)
    assert {event.asset_key.to_user_string() for event in events} == {"orders"}
    assert loads(events) == {}
    assert setting.status_check("public.orders") is False


def test_results_of_a_detached_job_that_stay_unread_are_its_end(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    sensor = setting.sensor([assets])
    setting.tick(sensor)
    setting.sandbox.script(ORDERS, "stuck")
    result = dg.materialize([assets], instance=setting.instance, selection=["orders"])
    [job] = setting.sandbox.jobs(ORDERS)
    setting.sandbox.finish(job["id"], "succeeded")
    told, closing = [
        event for event in _given_up(setting, sensor, monkeypatch) if isinstance(event, dg.AssetObservation)
    ]
    assert told.asset_key == dg.AssetKey("orders")
    assert "not all results could be read" in str(told.description)
    assert told.metadata["planasonix/dagster_run_id"].value == result.run_id
    assert "succeeded" in str(closing.description)
    assert closing.asset_key.path[-1] == "started_jobs"
    left = reconcile(setting.instance, setting.workspace, [assets], apply=True, grace_seconds=0.0)
    assert left.events == []


def _given_up(setting: Setting, sensor: dg.SensorDefinition, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(look, "TRIED_SECONDS", 0.0)
    setting.sandbox.fault("jobs.results", status=500, times=None)
    ticks = [setting.tick(sensor) for _ in range(TRIES + 1)]
    [events] = [events for events in ticks if events]
    return events
