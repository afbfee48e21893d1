"""The inbox sensor: it tells what the polling sensor tells, of what events name, and nothing that they only claim."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix import build_planasonix_inbox_sensor
from planasonix.errors import AuthenticationError, ConfigurationError
from planasonix.runs.polled import hinted
from planasonix.webhooks import Arrival, Event, Inbox
from tests.dagster.sensing import INVENTORY, ORDERS, ORDERS_FAILED, TABLES, Setting, assets_of, setting_with


class Hearing(Setting):
    """One Dagster instance beside one tenant and one inbox."""

    url: str
    inbox: Inbox

    def listening(self, *assets: Any, **options: Any) -> dg.SensorDefinition:
        """A sensor that has had its first tick."""
        sensor = build_planasonix_inbox_sensor(
            self.workspace, assets or [assets_of(self.workspace)], inbox_url=self.url, **options
        )
        self.tick(sensor)
        return sensor

    def deliver(self, run_id: str, kind: Any = "job", **body: Any) -> None:
        """An event of this run's end, as a delivery tells it; `body` replaces parts of it."""
        told = {"type": f"{kind}.succeeded", f"{kind}_id": run_id, "connection_id": ORDERS, **body}
        kept = {name: value for name, value in told.items() if value is not None}
        self.inbox.add([Arrival.of(Event.parse(json.dumps(kept).encode()))])


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Hearing]:
    with setting_with() as made:
        made.__class__ = Hearing
        assert isinstance(made, Hearing)
        made.url = f"sqlite:///{tmp_path}/inbox.db"
        with Inbox.open(made.url) as made.inbox:
            yield made


def test_an_event_is_told_as_the_polling_sensor_tells_it(setting: Hearing) -> None:
    sensor = setting.listening()
    job_id = setting.synced()
    setting.deliver(job_id)
    events = setting.tick(sensor)
    assert setting.job_ids("public.orders") == setting.job_ids("public.customers") == [job_id]
    assert setting.status_check("public.orders") is True
    [materialization] = setting.materializations("public.orders")
    assert materialization.metadata["dagster/row_count"].value > 0
    assert materialization.metadata["planasonix/told_by"].value == "planasonix_inbox_sensor"

    with setting_with() as other:
        assets = [assets_of(other.workspace)]
        polling = other.sensor(assets)
        other.tick(polling)
        other.synced()
        names = [_shape(event) for event in other.tick(polling)]
    assert [_shape(event) for event in events] == names


def test_a_failed_run_is_observed_though_its_event_says_otherwise(setting: Hearing) -> None:
    sensor = setting.listening()
    setting.results_name(ORDERS_FAILED)
    setting.deliver(setting.synced(outcome="failed"))
    setting.tick(sensor)
    assert setting.materializations("public.orders") == []
    assert len(setting.observations("public.orders")) == 1
    assert setting.status_check("public.orders") is False


def test_what_was_delivered_before_the_first_tick_is_history(setting: Hearing) -> None:
    setting.deliver(setting.synced())
    sensor = setting.listening()
    assert setting.tick(sensor) == []


def test_an_idle_tick_asks_the_api_nothing(setting: Hearing) -> None:
    sensor = setting.listening()
    before = setting.sandbox.calls()
    setting.tick(sensor)
    assert setting.sandbox.calls() == before
    assert setting.skip_message == "No run has ended that nobody waits for."


@pytest.mark.parametrize("dies", ["early", "late"])
def test_a_tick_whose_cursor_is_lost_tells_nothing_twice(setting: Hearing, dies: str) -> None:
    sensor = setting.listening()
    jobs = [setting.synced() for _ in range(2)]
    for job_id in jobs:
        setting.deliver(job_id)
    setting.tick(sensor, dies=dies)
    setting.tick(sensor)
    setting.tick(sensor)
    for table in TABLES[ORDERS]:
        assert sorted(setting.job_ids(table)) == sorted(jobs)


def test_many_events_of_one_end_are_told_once(setting: Hearing) -> None:
    sensor = setting.listening()
    job_id = setting.synced()
    setting.deliver(job_id)
    setting.deliver(job_id, type="job.completed", data={"status": "completed"})
    setting.deliver(job_id, type="job.failed")
    setting.tick(sensor)
    setting.deliver(job_id, type="job.cancelled")
    before = setting.sandbox.calls()
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]
    assert setting.sandbox.calls() == before, "a run that was just told costs no call"


def test_beside_a_polling_sensor_a_job_is_told_once(setting: Hearing) -> None:
    assets = [assets_of(setting.workspace)]
    listening = setting.listening(*assets)
    inbox_cursor, setting.cursor = setting.cursor, None
    polling = setting.sensor(assets)
    setting.tick(polling)
    polling_cursor = setting.cursor
    first, second = setting.synced(), setting.synced()
    setting.deliver(first)
    setting.cursor = inbox_cursor
    setting.tick(listening)
    inbox_cursor, setting.cursor = setting.cursor, polling_cursor
    setting.tick(polling)
    setting.deliver(second)
    setting.cursor = inbox_cursor
    setting.tick(listening)
    assert sorted(setting.job_ids("public.orders")) == sorted([first, second])


def test_a_run_that_goes_on_is_not_told_and_its_hint_is_dropped(
    setting: Hearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = setting.listening()
    job_id = setting.running()
    setting.deliver(job_id)
    assert setting.tick(sensor) == []
    setting.sandbox.finish(job_id, "succeeded")
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id], "an event that came before the API knew"

    monkeypatch.setattr(hinted, "EARLY_SECONDS", 0.0)
    claimed = setting.running()
    setting.deliver(claimed)
    assert setting.tick(sensor) == []
    before = setting.sandbox.calls()
    assert setting.tick(sensor) == []
    assert setting.sandbox.calls() == before
    setting.sandbox.finish(claimed, "failed")
    setting.deliver(claimed, type="job.failed")
    told = setting.tick(sensor)
    named = {event.metadata["planasonix/job_id"].value for event in told if "planasonix/job_id" in event.metadata}
    assert named == {claimed}, "true now, though only claimed before"


def test_events_of_nothing_stop_no_other_event(setting: Hearing) -> None:
    sensor = setting.listening()
    setting.deliver("job_that_never_was")
    setting.deliver("job_of_nobody", connection_id=None)
    setting.deliver("job_elsewhere", connection_id="conn_nobody_watches")
    setting.deliver(setting.synced(INVENTORY), connection_id=INVENTORY)
    setting.deliver("x", type="schema.changed", job_id=None)
    setting.deliver(setting.running(INVENTORY), type="job.started", connection_id=INVENTORY)
    job_id = setting.synced()
    setting.deliver(job_id)
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]
    cursor = setting.cursor
    assert cursor is not None
    assert "job_that_never_was" in cursor
    # Tried five times, for two minutes at least; then nothing is said of it on the assets.
    _long_ago(setting)
    for _ in range(5):
        setting.tick(sensor)
    assert "job_that_never_was" not in json.dumps(json.loads(setting.cursor or "")["runs"]["places"][ORDERS]["open"])
    assert setting.observations("public.orders") == []


def test_a_run_whose_event_names_no_connection_is_found(setting: Hearing) -> None:
    sensor = setting.listening()
    mine, other = setting.synced(), setting.synced(INVENTORY)
    for job_id in (mine, other):
        setting.deliver(job_id, connection_id=None)
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [mine]
    assert setting.job_ids("inventory.products") == []


def test_a_backfill_is_told_once_and_its_jobs_are_not(setting: Hearing) -> None:
    sensor = setting.listening()
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    asked = setting.client.connections.backfill(ORDERS, start_at=start, end_at=end, tables=["public.orders"])
    setting.sandbox.advance(3600)
    shown = setting.client.backfills.wait(asked.id)
    for job in setting.client.jobs.list(connection_id=ORDERS):
        setting.deliver(job.id)
    setting.deliver(shown.id, "backfill", type="backfill.completed")
    setting.tick(sensor)
    [told] = setting.materializations("public.orders")
    assert told.metadata["planasonix/backfill_id"].value == shown.id
    assert setting.materializations("public.customers") == []


def test_a_step_tells_of_its_own_job(setting: Hearing) -> None:
    assets = assets_of(setting.workspace)
    sensor = setting.listening(assets)
    assert dg.materialize([assets], instance=setting.instance).success
    [job_id] = setting.job_ids("public.orders")
    setting.deliver(job_id)
    assert setting.tick(sensor) == []
    assert setting.job_ids("public.orders") == [job_id]


def test_a_detached_run_is_completed_by_its_event(setting: Hearing) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    sensor = setting.listening(assets)
    setting.sandbox.script(ORDERS, "stuck")
    run = dg.materialize([assets], instance=setting.instance)
    [job] = setting.client.jobs.list(connection_id=ORDERS)
    before = setting.sandbox.calls()
    assert setting.tick(sensor) == []
    assert setting.sandbox.calls() == before, "it is not polled"
    setting.sandbox.finish(job.id, "succeeded")
    setting.deliver(job.id)
    setting.tick(sensor)
    [told] = setting.materializations("public.orders")
    assert told.metadata["planasonix/dagster_run_id"].value == run.run_id
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job.id]


def test_a_detached_run_that_ended_before_the_sensor_began_is_told(setting: Hearing) -> None:
    assets = assets_of(setting.workspace, execution="detached")
    setting.sandbox.script(ORDERS, "stuck")
    dg.materialize([assets], instance=setting.instance)
    [job] = setting.client.jobs.list(connection_id=ORDERS)
    setting.sandbox.finish(job.id, "succeeded")
    setting.listening(assets)
    assert setting.job_ids("public.orders") == [job.id]


def test_a_detached_run_past_its_deadline_is_cancelled_and_told(tmp_path: Path) -> None:
    with setting_with({"timeout_seconds": 0.5}) as setting:
        assets = assets_of(setting.workspace, execution="detached")
        url = f"sqlite:///{tmp_path}/inbox.db"
        sensor = build_planasonix_inbox_sensor(setting.workspace, [assets], inbox_url=url)
        setting.tick(sensor)
        setting.sandbox.script(ORDERS, "stuck")
        dg.materialize([assets], instance=setting.instance)
        time.sleep(0.6)
        setting.tick(sensor)
        for _ in range(50):
            if setting.observations("public.orders"):
                break
            time.sleep(0.1)
            setting.tick(sensor)
        [told] = setting.observations("public.orders")
        assert told.metadata["planasonix/cancelled_at_deadline"].value is True


def test_a_replayed_event_is_looked_at_again(setting: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = setting.listening()
    job_id = setting.synced()
    setting.deliver(job_id)
    setting.tick(sensor)
    [stored] = setting.inbox.read(0)
    before = setting.sandbox.calls()
    setting.inbox.replay([stored.seq], "somebody_else")
    setting.tick(sensor)
    assert setting.sandbox.calls() == before
    setting.inbox.replay([stored.seq], "planasonix_inbox_sensor")
    again = setting.tick(sensor)
    assert setting.sandbox.calls() > before
    assert all(isinstance(event, dg.AssetCheckEvaluation) for event in again), "the event log has the loads"
    assert setting.job_ids("public.orders") == [job_id]


def test_an_inbox_that_is_away_fails_no_tick_and_costs_no_event(setting: Hearing, tmp_path: Path) -> None:
    setting.listening()
    job_id = setting.synced()
    setting.deliver(job_id)
    setting.inbox.close()
    kept = {each: each.read_bytes() for each in tmp_path.glob("inbox.db*")}
    for each in kept:
        each.write_bytes(b"no database any more " * 100)
    # As after a restart of the code server.
    sensor = build_planasonix_inbox_sensor(setting.workspace, [assets_of(setting.workspace)], inbox_url=setting.url)
    assert setting.tick(sensor) == []
    assert "inbox cannot be reached" in setting.skip_message
    for each, content in kept.items():
        each.write_bytes(content)
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]


def test_another_inbox_is_read_from_its_begin(setting: Hearing, tmp_path: Path) -> None:
    sensor = setting.listening()
    for number in range(3):
        setting.deliver(f"job_{number}", connection_id="conn_nobody_watches")
    setting.tick(sensor)
    setting.url = f"sqlite:///{tmp_path}/other.db"
    other = build_planasonix_inbox_sensor(setting.workspace, [assets_of(setting.workspace)], inbox_url=setting.url)
    with Inbox.open(setting.url) as setting.inbox:
        job_id = setting.synced()
        setting.deliver(job_id)
        setting.tick(other)
    assert setting.job_ids("public.orders") == [job_id]


def test_an_api_that_is_away_loses_no_event(setting: Hearing) -> None:
    sensor = setting.listening()
    job_id = setting.synced()
    setting.deliver(job_id)
    setting.sandbox.fault("jobs.get", "error", status=503, times=None)
    assert setting.tick(sensor) == []
    assert "1 could not be told yet" in setting.skip_message
    setting.sandbox.clear_faults()
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]


def test_a_refused_key_fails_the_tick(setting: Hearing) -> None:
    sensor = setting.listening()
    setting.deliver(setting.synced())
    setting.sandbox.fault("jobs.get", "error", status=401, times=None)
    with pytest.raises(AuthenticationError):
        setting.tick(sensor)


def test_no_more_is_heard_than_can_be_told(setting: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hinted, "HEARD_AT_MOST", 2)
    sensor = setting.listening()
    jobs = [setting.synced() for _ in range(5)]
    for job_id in jobs:
        setting.deliver(job_id)
    told: list[int] = []
    for _ in range(3):
        setting.tick(sensor)
        told.append(len(setting.job_ids("public.orders")))
    assert told == [2, 4, 5]
    assert sorted(setting.job_ids("public.orders")) == sorted(jobs)


def test_with_a_sweep_it_needs_no_webhook(setting: Hearing) -> None:
    sensor = setting.listening(sweep=True, minimum_interval_seconds=1, sweep_interval_seconds=1)
    job_id = setting.synced()
    time.sleep(1.0)
    setting.tick(sensor)
    assert setting.job_ids("public.orders") == [job_id]
    assert [stored.source for stored in setting.inbox.read(0)] == ["sweep"]
    # The delivery that comes after all is no second event.
    setting.deliver(job_id)
    assert setting.inbox.last_seq() == 1


def test_the_inbox_comes_from_the_workspace_or_the_environment(
    setting: Hearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = [assets_of(setting.workspace)]
    nowhere = build_planasonix_inbox_sensor(setting.workspace, assets)
    monkeypatch.delenv("PLANASONIX_INBOX_URL", raising=False)
    with pytest.raises(ConfigurationError, match="PLANASONIX_INBOX_URL"):
        setting.tick(nowhere)
    monkeypatch.setenv("PLANASONIX_INBOX_URL", setting.url)
    setting.tick(nowhere)
    named = build_planasonix_inbox_sensor(setting.workspace, assets, inbox_url=dg.EnvVar("NO_SUCH_INBOX"))
    with pytest.raises(ConfigurationError, match="NO_SUCH_INBOX"):
        setting.tick(named)
    workspace = setting.workspace.model_copy(update={"inbox_url": "postgresql://me:s3cret-word@db/inbox"})
    assert "s3cret-word" not in repr(workspace)


def test_a_webhook_is_made_once_and_only_its_id_is_returned(setting: Hearing) -> None:
    url = "https://etl.example.com/planasonix/webhooks"
    made = setting.workspace.ensure_webhook(url, secret="whsec_0123456789abcdef")
    assert setting.workspace.ensure_webhook(url, secret="whsec_fedcba9876543210") == made
    assert [one.id for one in setting.client.webhooks.list()] == [made]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"minimum_interval_seconds": 0}, "minimum_interval_seconds"),
        ({"seconds_per_tick": True}, "seconds_per_tick"),
        ({"sweep": True, "sweep_interval_seconds": 2}, "sweep_interval_seconds"),
    ],
)
def test_bad_arguments_are_named(setting: Hearing, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build_planasonix_inbox_sensor(setting.workspace, [assets_of(setting.workspace)], **options)
    assert caught.value.field == field


def test_a_damaged_cursor_is_named(setting: Hearing) -> None:
    sensor = setting.listening()
    setting.cursor = '{"version": 99}'
    with pytest.raises(ConfigurationError, match="version is 99"):
        setting.tick(sensor)


def _shape(event: Any) -> tuple[str, str, str]:
    return type(event).__name__, event.asset_key.to_user_string(), getattr(event, "check_name", "")


def _long_ago(setting: Hearing) -> None:
    """As if what fails had begun to fail an hour ago."""
    data = json.loads(setting.cursor or "")
    for place in data["runs"]["places"].values():
        for one in place["open"]:
            one[6] = None if one[6] is None else one[6] - 3600
    setting.cursor = json.dumps(data)
