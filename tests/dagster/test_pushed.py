"""Steps beside an inbox: their waits end with an event, and what events start carries its chain on until it is cut."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix import planasonix_event_tags
from dagster_planasonix.causes import EVENT_TAG
from planasonix.errors import ConfigurationError
from planasonix.webhooks import Arrival, Event, Inbox, StoredEvent
from tests.dagster.sensing import ORDERS, Setting, assets_of, setting_with

SOON_SECONDS = 5.0


class Pushed(Setting):
    """One Dagster instance beside one tenant and one inbox."""

    inbox: Inbox

    def deliver(self, job_id: str) -> StoredEvent:
        body = {"id": f"evt_{job_id}", "type": "job.succeeded", "job_id": job_id, "data": {"note": "s3cret-of-a-body"}}
        self.inbox.add([Arrival.of(Event.parse(json.dumps(body).encode()))])
        return self.inbox.read(self.inbox.last_seq() - 1)[-1]

    def load(self, tags: dict[str, str], **options: Any) -> dg.ExecuteInProcessResult:
        assets = assets_of(self.workspace, **options)
        return dg.materialize([assets], instance=self.instance, tags=tags, raise_on_error=False)

    def jobs(self) -> list[Any]:
        """Oldest first."""
        return list(self.client.jobs.list(connection_id=ORDERS))[::-1]

    def depths(self) -> list[int]:
        """What the jobs carry, though this tenant sends nothing of it back."""
        return [self.sandbox.job(job.id)["metadata"]["planasonix_depth"] for job in self.jobs()]


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Pushed]:
    url = f"sqlite:///{tmp_path}/inbox.db"
    with setting_with({"inbox_url": url}, speed=20) as made, Inbox.open(url) as inbox:
        made.__class__ = Pushed
        assert isinstance(made, Pushed)
        made.inbox = inbox
        yield made


def finishing(setting: Pushed, *, delivers: bool) -> tuple[threading.Thread, list[float]]:
    """Ends the job that the step has started, after the step has seen it running; when that was."""
    at: list[float] = []

    def end() -> None:
        until = time.monotonic() + 60
        while setting.sandbox.calls("jobs.get") < 1 and time.monotonic() < until:
            time.sleep(0.02)
        [job] = setting.jobs()
        setting.sandbox.finish(job.id, "succeeded")
        at.append(time.monotonic())
        if delivers:
            setting.deliver(job.id)

    thread = threading.Thread(target=end)
    thread.start()
    return thread, at


def test_a_step_that_polls_every_ten_minutes_ends_with_the_event(setting: Pushed) -> None:
    setting.workspace = setting.workspace.model_copy(update={"poll_interval_seconds": 600.0})
    setting.sandbox.script(ORDERS, "stuck")
    thread, ended_at = finishing(setting, delivers=True)
    done = setting.load({})
    late = time.monotonic() - ended_at[0]
    thread.join()
    assert done.success
    assert late <= SOON_SECONDS
    assert len(setting.materializations("public.orders")) == 1


def test_without_a_working_inbox_a_step_polls_and_says_so_once(
    setting: Pushed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database " * 100)
    setting.workspace = setting.workspace.model_copy(
        update={"inbox_url": f"sqlite:///{broken}", "poll_interval_seconds": 0.5}
    )
    setting.sandbox.script(ORDERS, "stuck")
    thread, _ = finishing(setting, delivers=False)
    assert setting.load({}).success
    thread.join()
    assert sum("only polling" in record.getMessage() for record in caplog.records) == 1


def test_a_chain_of_runs_that_events_start_is_cut(setting: Pushed) -> None:
    """Webhook, run, sync, webhook: the fourth run starts nothing and is not retried."""
    tags = {"team": "loads"}
    for depth in (0, 1, 2, 3):
        assert setting.load(tags).success
        job = setting.jobs()[-1]
        assert setting.depths()[-1] == depth
        tags = planasonix_event_tags(setting.deliver(job.id))
        assert "s3cret-of-a-body" not in json.dumps(tags)
    done = setting.load(tags)
    assert not done.success
    assert len(setting.jobs()) == 4
    [failure] = [event for event in done.all_events if event.is_step_failure]
    assert "3 runs in a row were started by events" in str(failure.step_failure_data.error)


def test_what_dagster_was_told_of_a_load_tells_the_same_chain(setting: Pushed) -> None:
    assert setting.load({}).success
    first = setting.jobs()[-1]
    event = setting.deliver(first.id)
    by_event = planasonix_event_tags(event)
    by_materialization = planasonix_event_tags(setting.materializations("public.orders")[-1])
    assert setting.load(by_event).success
    assert setting.load(by_materialization).success
    assert setting.depths() == [0, 1, 1]
    second = setting.jobs()[1]
    setting.deliver(second.id)
    assert setting.load(planasonix_event_tags(setting.materializations("public.orders")[1])).success
    assert setting.depths()[-1] == 2, "known by the inbox, not by the materialization"


def test_a_detached_run_carries_its_chain_on(setting: Pushed) -> None:
    assert setting.load({}).success
    tags = planasonix_event_tags(setting.deliver(setting.jobs()[-1].id))
    assert setting.load(tags, execution="detached").success
    job = setting.jobs()[-1]
    assert setting.depths()[-1] == 1
    assert setting.sandbox.job(job.id)["metadata"]["caused_by_event"].startswith("evt_")
    act = setting.inbox.act_of_run("job", job.id)
    assert act is not None
    assert act.depth == 1


@pytest.mark.parametrize("text", ["no json", "[]", '[{"kind": "job"}]'])
def test_a_tag_that_cannot_be_read_starts_nothing(setting: Pushed, text: str) -> None:
    done = setting.load({EVENT_TAG: text})
    assert not done.success
    assert setting.jobs() == []
    [failure] = [event for event in done.all_events if event.is_step_failure]
    assert EVENT_TAG in str(failure.step_failure_data.error)


def test_an_event_of_no_run_gives_no_tags() -> None:
    with pytest.raises(ConfigurationError, match="names no job"):
        planasonix_event_tags(dg.AssetMaterialization("orders", metadata={"rows": 1}))
