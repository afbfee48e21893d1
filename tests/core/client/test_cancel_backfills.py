"""Cancelling a backfill: one shard that cannot be cancelled stops none of the others, and none waits long."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from planasonix.client.together import AsyncTogether, Together
from planasonix.engine import Reply
from planasonix.errors import ConflictError, NotFoundError, PermissionDeniedError, ServerError
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox

SHOP = "conn_shop_orders"
START = datetime(2025, 1, 1, tzinfo=UTC)
REFUSED = {404: NotFoundError, 409: ConflictError, 403: PermissionDeniedError, 500: ServerError}


def sharded(client, shards):
    return client.connections.backfill(SHOP, start_at=START, end_at=START + timedelta(days=shards))


@pytest.fixture
def sandbox():
    sandbox = Sandbox(backfill_shard_days=1, busy="parallel")
    sandbox.script(SHOP, outcome="stuck")
    return sandbox


@pytest.fixture
def client(make_client, sandbox):
    return make_client(DEFAULT_API_KEY, transport=sandbox.transport(), max_tries=1)


@pytest.mark.parametrize("status", REFUSED)
def test_one_shard_that_fails_stops_none_of_the_others(client, sandbox, status):
    backfill = sharded(client, 5)
    sandbox.fault("jobs.cancel", "error", times=1, status=status)
    with pytest.raises(REFUSED[status]) as caught:
        client.backfills.cancel(backfill.id)
    assert sandbox.calls("jobs.cancel") == 5
    assert sandbox.cancels() == 4
    assert "1 of the backfill's 5 jobs" in caught.value.hint


def test_many_shards_take_little_time(client, sandbox):
    backfill = sharded(client, 64)
    sandbox.fault("jobs.cancel", "latency", times=None, seconds=0.05)
    began = time.monotonic()
    client.backfills.cancel(backfill.id)
    assert sandbox.cancels() == 64
    assert time.monotonic() - began < 64 * 0.05 / 2


class Shards:
    """A server with three shards, of which the second refuses to be cancelled with `status`."""

    def __init__(self, status, *, job="running", backfill="running"):
        self.status, self.job, self.backfill = status, job, backfill
        self.cancelled = []

    def send(self, request, timeout_seconds):
        job_id = request.path.split("/")[-2]
        if request.operation == "backfills.get":
            status = self.backfill if self.cancelled else "running"
            return self.answer(200, {"id": "bf_1", "status": status, "job_ids": ["a", "b", "c"]})
        if request.operation == "jobs.get":
            return self.answer(200, {"id": "b", "status": self.job})
        self.cancelled.append(job_id)
        return self.answer(self.status if job_id == "b" else 200, {"id": job_id, "status": "cancelling"})

    async def asend(self, request, timeout_seconds):
        return self.send(request, timeout_seconds)

    @staticmethod
    def answer(status, data):
        return Reply(status, {}, json.dumps({"data": data}).encode())


@pytest.mark.parametrize("status", [404, 409])
@pytest.mark.parametrize("shown", [{"job": "succeeded"}, {"backfill": "cancelled"}])
def test_what_has_ended_needs_no_cancel(make_client, status, shown):
    server = Shards(status, **shown)
    assert make_client("k", transport=server).backfills.cancel("bf_1").job_ids == ["a", "b", "c"]
    assert sorted(server.cancelled) == ["a", "b", "c"]


def test_another_refusal_stays_one_although_the_job_has_ended(make_client):
    with pytest.raises(PermissionDeniedError):
        make_client("k", transport=Shards(403, job="succeeded")).backfills.cancel("bf_1")


class Crowd:
    """Counts who is inside at once."""

    def __init__(self):
        self.inside = self.most = 0
        self.lock = threading.Lock()

    def enter(self):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self):
        with self.lock:
            self.inside -= 1


def test_threads_at_a_time():
    crowd, meeting = Crowd(), threading.Barrier(3)

    def call(number):
        crowd.enter()
        meeting.wait(10)
        crowd.leave()
        return number

    assert Together(3).run([lambda n=n: call(n) for n in range(9)]) == [*range(9)]
    assert crowd.most == 3
    assert Together(3).run([]) == []


def test_tasks_at_a_time():
    crowd = Crowd()

    async def call(number):
        crowd.enter()
        await asyncio.sleep(0)
        crowd.leave()
        return number

    assert asyncio.run(AsyncTogether(3).run([lambda n=n: call(n) for n in range(9)])) == [*range(9)]
    assert crowd.most == 3


def test_a_failure_leaves_nothing_running():
    async def fail():
        raise KeyError("x")

    async def last():
        await asyncio.Event().wait()

    async def main():
        with pytest.raises(KeyError):
            await AsyncTogether(2).run([fail, last, last])
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1

    def fail_at_once():
        raise KeyError("x")

    with pytest.raises(KeyError):
        Together(1).run([fail_at_once, lambda: None])
