"""A caller that speaks to a sandbox without any client code."""

import json
from datetime import UTC, datetime

import pytest

from planasonix.sandbox import DEFAULT_API_KEY, Sandbox, VirtualClock

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Caller:
    """Calls the one door: `get`, `post`, ... return (status, parsed body); `reply` keeps the last whole reply."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.reply = None

    def call(self, method, path, body=None, *, key=DEFAULT_API_KEY, headers=None, **query):
        sent = {"Authorization": f"Bearer {key}"} if key else {}
        sent |= headers or {}
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        pairs = [(name, str(value)) for name, value in query.items() if value is not None]
        self.reply = self.sandbox.handle(method, path, pairs, sent, raw)
        return self.reply.status, self.reply.json() if self.reply.body and self.reply.drop is None else None

    def get(self, path, **query):
        return self.call("GET", path, **query)

    def post(self, path, body=None, **options):
        return self.call("POST", path, body, **options)

    def sync(self, connection_id="conn_shop_orders", body=None, key=None):
        """Starts a sync and returns (status, job or error)."""
        headers = {"Idempotency-Key": key} if key else None
        status, answer = self.post(f"/api/v1/connections/{connection_id}/sync", body, headers=headers)
        return status, answer["data"]["job"] if status == 202 else answer["error"]

    def backfill(self, connection_id="conn_shop_orders", key=None, **changes):
        body = {"start_at": "2025-01-01T00:00:00Z", "end_at": "2025-03-01T00:00:00Z", **changes}
        headers = {"Idempotency-Key": key} if key else None
        status, answer = self.post(f"/api/v1/connections/{connection_id}/backfill", body, headers=headers)
        return status, answer["data"]["backfill"] if status == 202 else answer["error"]

    def job(self, job_id):
        status, answer = self.get(f"/api/v1/jobs/{job_id}")
        assert status == 200
        return answer["data"]

    def read_backfill(self, backfill_id):
        status, answer = self.get(f"/api/v1/backfills/{backfill_id}")
        assert status == 200
        return answer["data"]


@pytest.fixture
def make_sandbox():
    """Sandboxes on a manual clock that starts at a fixed instant; closed afterwards."""
    made = []

    def make(profile="strict", **options):
        options.setdefault("clock", VirtualClock.manual(START))
        made.append(Sandbox(profile, **options))
        return made[-1]

    yield make
    for sandbox in made:
        sandbox.close()


@pytest.fixture
def sandbox(make_sandbox):
    return make_sandbox()


@pytest.fixture
def call(sandbox):
    return Caller(sandbox)


@pytest.fixture
def caller():
    return Caller
