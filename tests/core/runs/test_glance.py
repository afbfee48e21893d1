"""Which of many runs have ended, without a call for each."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from planasonix import Planasonix
from planasonix.errors import AuthenticationError
from planasonix.runs import RunHandle
from planasonix.runs.glance import ended_among
from planasonix.sandbox import Sandbox
from planasonix.watch import Kind

MANY = 40


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(speed=0)


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Planasonix]:
    with Planasonix("plnx_live_sandbox", transport=sandbox.transport()) as client:
        yield client


def handle(run_id: str, kind: Kind = "job", target_id: str = "conn_shop_orders") -> RunHandle:
    now = time.time()
    return RunHandle(kind, run_id, target_id, owned=True, created_at=now, deadline_at=now + 60, intent="")


def test_many_running_jobs_cost_pages_and_the_ended_ones_a_read_each(client: Planasonix, sandbox: Sandbox) -> None:
    handles = [handle(client.connections.sync(one.id).id, target_id=one.id) for one in client.connections.list()][:MANY]
    assert len(handles) >= 15
    ended, gone = handles[3], handles[5]
    sandbox.finish(ended.id)
    sandbox.forget(gone.id)
    lists, reads = sandbox.calls("jobs.list"), sandbox.calls("jobs.get")
    found = ended_among(client, handles, missing=True)
    assert set(found) == {("job", ended.id), ("job", gone.id)}
    assert found["job", gone.id] is None
    assert (sandbox.calls("jobs.list") - lists, sandbox.calls("jobs.get") - reads) == (2, 2)


def test_a_few_are_read_and_not_listed(client: Planasonix, sandbox: Sandbox) -> None:
    job = client.connections.sync("conn_shop_orders")
    backfill = client.connections.backfill(
        "conn_shop_inventory", start_at="2026-01-01T00:00Z", end_at="2026-01-02T00:00Z"
    )
    both = [handle(job.id), handle(backfill.id, "backfill", "conn_shop_inventory")]
    assert ended_among(client, both) == {}
    sandbox.finish(job.id, "failed")
    assert set(ended_among(client, both)) == {("job", job.id)}
    assert sandbox.calls("jobs.list") == 0


def test_a_run_of_another_connection_is_not_the_one_and_what_cannot_be_read_is_left_out(
    client: Planasonix, sandbox: Sandbox
) -> None:
    job = client.connections.sync("conn_shop_orders")
    sandbox.finish(job.id)
    assert ended_among(client, [handle(job.id, target_id="conn_shop_inventory")]) == {}
    assert ended_among(client, [handle("job_unknown")]) == {}
    sandbox.fault("jobs.get", "error", times=20)
    hasty = client.with_options(max_tries=1)
    assert ended_among(hasty, [handle(job.id)]) == {}


def test_a_refused_key_is_told(sandbox: Sandbox) -> None:
    with (
        Planasonix("plnx_live_another", transport=sandbox.transport()) as client,
        pytest.raises(AuthenticationError),
    ):
        ended_among(client, [handle("job_1")])
