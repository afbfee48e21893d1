"""Several sweepers on one inbox: the API is asked by one of them, and by another one once that is gone."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from planasonix import Planasonix
from planasonix.errors import ConfigurationError
from planasonix.webhooks import Inbox, Sweeper

pytestmark = pytest.mark.planasonix_sandbox(speed=0, busy="parallel")

PROGRAM = """
import logging, sys
from planasonix import Planasonix
from planasonix.webhooks import Sweeper
logging.basicConfig(level=logging.INFO)
Sweeper(sys.argv[1], Planasonix, interval_seconds=float(sys.argv[2])).run()
"""


class Processes:
    def __init__(self) -> None:
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self, url: str, interval_seconds: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", PROGRAM, url, str(interval_seconds)]
        self._all.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        return self._all[-1]

    def close(self) -> None:
        for one in self._all:
            one.kill()
            one.wait()


@pytest.fixture
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    made.close()


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    give_up = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.02)
    return found


def holder_of(inbox: Inbox) -> tuple[int, int]:
    """Process id and token of who holds the lease; zeros for nobody."""
    with inbox._store.read() as connection:
        query = text("SELECT holder, token FROM planasonix_inbox_leases WHERE name = 'sweep' AND expires > 0")
        row = connection.execute(query).first()
    return (0, 0) if row is None else (int(row.holder.split(":")[1]), row.token)


def ended(inbox: Inbox) -> dict[str, str | None]:
    return {str(stored.event.object_id): stored.event.status for stored in inbox.read(0)}


@pytest.mark.parametrize("inbox_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.scenario)], indirect=True)
def test_four_processes_cost_as_much_as_one_and_the_lease_moves(
    planasonix_sandbox: Any, inbox_url: str, processes: Processes
) -> None:
    interval = 0.6
    with Inbox.open(inbox_url) as inbox, Planasonix() as client:
        started = {each.pid: each for each in (processes.start(inbox_url, interval) for _ in range(4))}
        first, token = until(lambda: holder_of(inbox) if inbox.note("sweep") else None)
        time.sleep(1.5)  # all four are at it
        jobs = client.connections.sync("conn_shop_orders").id, client.connections.sync("conn_hr_people").id
        before, began = planasonix_sandbox.calls(), time.monotonic()
        planasonix_sandbox.finish(jobs[0])
        planasonix_sandbox.finish(jobs[1], "cancelled")
        time.sleep(4 * interval)
        sweeps = (time.monotonic() - began) / interval + 1
        assert planasonix_sandbox.calls() - before <= 2 * sweeps + 6, "a page of jobs and one of backfills each"
        assert ended(inbox) == {jobs[0]: "succeeded", jobs[1]: "cancelled"}

        os.kill(first, signal.SIGKILL)
        killed = time.monotonic()
        started.pop(first).wait()
        second, token_after = until(lambda: holder_of(inbox) if holder_of(inbox)[0] != first else None)
        # Two intervals, and what a loaded machine adds.
        assert time.monotonic() - killed <= 2 * interval + 1.0
        assert second in started
        assert token_after > token
        third = client.connections.sync("conn_shop_orders").id
        planasonix_sandbox.finish(third, "failed")
        until(lambda: ended(inbox).get(third) == "failed")
        assert [stored.source for stored in inbox.read(0)] == ["sweep"] * 3


def test_a_sweep_is_not_taken_twice_in_an_interval(planasonix_sandbox: Any, inbox_url: str) -> None:
    """Short-lived processes, as `webhooks sweep --once` in a loop, cost no more than a long-lived one."""
    for number in range(3):
        with Sweeper(inbox_url, Planasonix) as sweeper:
            assert (sweeper.sweep_now() is None) == (number > 0)
    with Sweeper(inbox_url, Planasonix) as one, Sweeper(inbox_url, Planasonix) as other:
        one.sweep_now()
        assert (one.is_at_work, other.sweep_now(), other.is_at_work) == (True, None, False)


def test_a_holder_that_lost_its_lease_writes_no_cursor(planasonix_sandbox: Any, sqlite_url: str) -> None:
    """A process that was asleep for longer than its lease must not put its old place over the newer one."""
    from planasonix.webhooks.inbox import LeaseLost

    with Inbox.open(sqlite_url) as inbox:

        def late() -> Planasonix:
            with inbox._store.write() as connection:  # asleep for longer than the lease, in the middle of a sweep
                connection.execute(text("UPDATE planasonix_inbox_leases SET token = token + 1, holder = 'other'"))
            inbox.write_note("sweep", '{"other": "place"}')
            return Planasonix()

        inbox.write_note("sweep", "")
        with Sweeper(sqlite_url, late) as sweeper, pytest.raises(LeaseLost):
            sweeper.sweep_now()
        assert inbox.note("sweep") == '{"other": "place"}'


def test_an_outage_is_one_line_and_ends_by_itself(
    planasonix_sandbox: Any, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "planasonix.webhooks")
    sweeper = Sweeper(sqlite_url, Planasonix, interval_seconds=0.2)
    sweeper.start()
    try:
        with Inbox.open(sqlite_url) as inbox, Planasonix() as client:
            until(lambda: inbox.note("sweep"))
            job_id = client.connections.sync("conn_shop_orders").id
            planasonix_sandbox.fault("*", "error", status=503, times=8)
            planasonix_sandbox.finish(job_id)
            until(lambda: ended(inbox) == {job_id: "succeeded"})
            until(lambda: any("works again" in line for line in caplog.messages))
    finally:
        sweeper.stop()
    assert [line.split(",")[0] for line in caplog.messages if "a sweep failed" in line] == ["a sweep failed"]
    assert os.environ["PLANASONIX_API_KEY"] not in caplog.text


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True])
def test_an_interval_that_cannot_be_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Sweeper("sqlite:///x.db", Planasonix, interval_seconds=seconds)
    assert caught.value.field == "sweep_interval_seconds"


def test_an_inbox_that_was_put_back_is_told_again(planasonix_sandbox: Any, inbox_url: str) -> None:
    """What the running sweeper has told is no longer there, and nobody else would tell it."""
    with Inbox.open(inbox_url) as inbox, Sweeper(inbox_url, Planasonix, interval_seconds=0.02) as sweeper:
        client = Planasonix()
        sweeper.sweep_now()
        job = client.connections.sync("conn_shop_orders")
        time.sleep(0.05)
        sweeper.sweep_now()
        backup = inbox.note("sweep")
        assert backup is not None
        planasonix_sandbox.advance(600)
        time.sleep(0.05)
        sweeper.sweep_now()
        assert [row.event.object_id for row in inbox.read(0)] == [job.id]
        with inbox._store.write() as connection:
            for table in ("events", "keys"):
                connection.execute(text(f"DELETE FROM planasonix_inbox_{table}"))
            connection.execute(text("UPDATE planasonix_inbox_meta SET last_seq = 0"))
        inbox.write_note("sweep", backup)
        time.sleep(0.05)
        sweeper.sweep_now()
        assert [row.event.object_id for row in inbox.read(0)] == [job.id]
        client.close()
