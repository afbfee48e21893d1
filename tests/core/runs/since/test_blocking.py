"""Waiting in a thread for a run that somebody else starts."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.errors import AuthenticationError, WaitTimeoutError
from planasonix.runs import RunSince, wait_for_run_since
from planasonix.runs.since import blocking, judge, look
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox
from planasonix.watch import Interval
from planasonix.watch.patience import Patience

CONNECTION = "conn_shop_orders"
FAST = Interval(fixed_seconds=0.05)


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox()
    made.script(CONNECTION, "stuck")
    return made


@pytest.fixture
def client(sandbox: Sandbox) -> Planasonix:
    return Planasonix(DEFAULT_API_KEY, transport=sandbox.transport())


@pytest.fixture
def wish() -> RunSince:
    return RunSince("job", CONNECTION, datetime.now(UTC) - timedelta(seconds=2), "connection_sync")


def test_it_is_found_in_spite_of_bad_polls(sandbox: Sandbox, client: Planasonix, wish: RunSince) -> None:
    sandbox.fault("jobs.list", status=500, times=3)
    told: list[str] = []
    job = client.connections.sync(CONNECTION)
    timer = threading.Timer(1.0, sandbox.finish, (job.id,))
    timer.start()
    seen = wait_for_run_since(
        client, wish, timeout_seconds=30, interval=FAST, on_change=lambda run: told.append(str(run.status))
    )
    timer.join()
    assert seen.run is not None
    assert (seen.verdict, seen.run.id) == ("found", job.id)
    assert told[-1] == "succeeded"
    assert len(told) <= 3


def test_ends_with_words_that_nobody_published_are_read_once(
    sandbox: Sandbox, client: Planasonix, wish: RunSince, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "SETTLE_SECONDS", -3600.0)
    monkeypatch.setattr(look, "READS_AT_MOST", 3)
    sandbox.script(CONNECTION, "exploded", duration_seconds=0.0, queue_seconds=0.0)
    for _ in range(5):
        client.connections.sync(CONNECTION)
        sandbox.advance(60)
    seen = wait_for_run_since(client, wish, timeout_seconds=5, interval=FAST)
    assert (seen.verdict, sandbox.calls("jobs.get")) == ("failed", 5)


def test_its_time_is_up(client: Planasonix, wish: RunSince) -> None:
    with pytest.raises(WaitTimeoutError, match="none was seen") as caught:
        wait_for_run_since(client, wish, timeout_seconds=0.2, interval=FAST)
    assert caught.value.pending == []


def test_a_refusal_that_lasts_ends_it(sandbox: Sandbox, wish: RunSince, monkeypatch: pytest.MonkeyPatch) -> None:
    short: Any = lambda: Patience(missing_grace_seconds=0.3, auth_grace_seconds=0.3)  # noqa: E731
    monkeypatch.setattr(blocking, "Patience", short)
    refused = Planasonix("plnx_live_wrong", transport=sandbox.transport())
    with pytest.raises(AuthenticationError):
        wait_for_run_since(refused, wish, timeout_seconds=30, interval=FAST)
