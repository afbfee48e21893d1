"""Whoever sweeps prunes the inbox once a day, and what is removed does not come in anew."""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from planasonix import Planasonix
from planasonix.cli.webhooks_sweep import command
from planasonix.errors import ConfigurationError
from planasonix.webhooks import Arrival, Event, Inbox, Sweeper

NOW = datetime.now(UTC)
"""One for all: an event that comes again says the same time."""

pytestmark = pytest.mark.planasonix_sandbox(speed=0, busy="parallel")


def event(name: str, days_ago: float) -> Event:
    at = NOW - timedelta(days=days_ago)
    body = {"id": f"evt_{name}", "type": "job.succeeded", "job_id": f"job_{name}", "timestamp": at.isoformat()}
    return Event.parse(json.dumps(body).encode())


def fill(url: str, *ages: float) -> None:
    """One event for each age in days, stored that long ago."""
    for age in ages:
        with Inbox.open(url) as inbox:
            inbox._clock = lambda age=age: NOW - timedelta(days=age)
            inbox.add([Arrival.of(event(f"{age:g}", age))])


def stored(url: str) -> list[str]:
    with Inbox.open(url) as inbox:
        return [row.event.event_id for row in inbox.read(0)]


def sweep(url: str, **options: Any) -> None:
    with Sweeper(url, Planasonix, interval_seconds=0.01, **options) as sweeper:
        time.sleep(0.01)
        assert sweeper.sweep_now() is not None


def set_pruned_at(url: str, days_ago: float) -> None:
    with Inbox.open(url) as inbox:
        inbox.write_note("pruned at", str(time.time() - 86_400 * days_ago))


def test_it_prunes_once_a_day_and_reopens_no_replay(planasonix_sandbox: Any, inbox_url: str) -> None:
    fill(inbox_url, 70, 40, 31, 29)
    sweep(inbox_url)
    assert stored(inbox_url) == ["evt_29"]
    with Inbox.open(inbox_url) as inbox:
        again = inbox.add([Arrival.of(event(f"{age}", age)) for age in (70, 40, 31, 29)])
        assert [added.duplicate for added in again] == [True] * 4
    # Another process, the same day: it has been done.
    fill(inbox_url, 35)
    sweep(inbox_url)
    assert stored(inbox_url) == ["evt_29", "evt_35"]
    set_pruned_at(inbox_url, 1.01)
    sweep(inbox_url, name="another tenant")
    assert stored(inbox_url) == ["evt_29"]


def test_the_age_is_a_setting_and_none_keeps_all(planasonix_sandbox: Any, sqlite_url: str) -> None:
    fill(sqlite_url, 400, 8, 6)
    sweep(sqlite_url, keep_days=None)
    assert len(stored(sqlite_url)) == 3
    for days, left in (("0", 3), ("7", 1)):
        options = ["--once", "--interval", "0.01", "--inbox", sqlite_url, "--keep-days", days]
        assert CliRunner().invoke(command, options).exit_code == 0
        assert len(stored(sqlite_url)) == left


def test_a_consumer_that_is_behind_is_named(
    planasonix_sandbox: Any, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Inbox.open(sqlite_url) as inbox:
        inbox.subscribe("reports", start="beginning")
    fill(sqlite_url, 40)
    caplog.set_level(logging.INFO, "planasonix.webhooks")
    sweep(sqlite_url)
    assert "pruned 1 events and 0 dead letters" in caplog.messages
    assert "pruned what had not been read to the end by: reports" in caplog.messages


def test_a_prune_that_fails_keeps_no_sweep_from_its_work(
    planasonix_sandbox: Any, sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk of postgresql://me:hidden@h")

    monkeypatch.setattr(Inbox, "prune", fail)
    with Planasonix() as client:
        job_id = client.connections.sync("conn_shop_orders").id
    sweep(sqlite_url)
    planasonix_sandbox.finish(job_id)
    sweep(sqlite_url)
    assert stored(sqlite_url) == [f"ended:job:{job_id}:succeeded"]
    assert [line.split(",")[0] for line in caplog.messages] == ["the inbox was not pruned"]
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf"), True])
def test_an_age_that_cannot_be_is_refused(days: float) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Sweeper("sqlite:///x.db", Planasonix, keep_days=days)
    assert caught.value.field == "keep_days"
