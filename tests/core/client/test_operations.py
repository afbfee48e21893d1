"""Every operation against the sandbox, blocking and async, over HTTP and in-process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from planasonix.engine import Reply
from planasonix.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    NotPublishedError,
    PagingError,
    RunFailedError,
)
from planasonix.models import Backfill, Job
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox

SHOP = "conn_shop_orders"
START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 15, tzinfo=UTC)


@pytest.fixture(params=["http", "in-process"])
def client(request, make_client, sandbox):
    """Overrides the one over HTTP alone."""
    if request.param == "http":
        return make_client(DEFAULT_API_KEY, sandbox.url)
    return make_client(DEFAULT_API_KEY, transport=sandbox.sandbox.transport())


@pytest.fixture
def ended(client, sandbox):
    """The job after its time."""

    def let_end(job):
        sandbox.advance(60)
        return client.jobs.get(job.id)

    return let_end


def test_sync_wait_results(client, sandbox):
    job = client.connections.sync(SHOP, priority="normal", metadata={"triggered_by": "test"})
    assert isinstance(job, Job)
    assert (job.type, job.status, job.connection_id) == ("connection_sync", "queued", SHOP)
    assert sandbox.sandbox.job(job.id)["metadata"] == {"triggered_by": "test"}
    done = client.jobs.wait(job.id, timeout=30)
    assert done.status == "succeeded"
    assert client.jobs.get(job.id).metrics.rows_loaded > 0
    results = client.jobs.results(job.id)
    assert results.tables[0].name == "public.orders"
    assert results.tables[0].rows_loaded > 0
    assert results.tables[0].checksum.startswith("sha256:")


def test_whose_data_a_key_reaches(client):
    organization = client.organization.get()
    assert (organization.id, organization.name, organization.plan) == ("org_01jq8acme", "Acme Analytics", "enterprise")


def test_results_before_the_end_are_a_conflict_and_not_repeated(client, sandbox):
    sandbox.script(SHOP, outcome="stuck")
    job = client.connections.sync(SHOP)
    with pytest.raises(ConflictError):
        client.jobs.results(job.id)
    assert sandbox.calls("jobs.results") == 1


def test_a_failed_job(client, sandbox):
    sandbox.script(SHOP, outcome="failed", duration_seconds=1)
    with pytest.raises(RunFailedError):
        client.jobs.wait(client.connections.sync(SHOP).id, timeout=30)


def test_cancel(client, sandbox):
    sandbox.script(SHOP, outcome="stuck")
    job = client.connections.sync(SHOP)
    assert client.jobs.cancel(job.id).phase in ("cancelling", "cancelled")
    assert client.jobs.cancel(job.id).phase in ("cancelling", "cancelled")
    assert sandbox.cancels() == 1


def test_warnings(client, ended):
    job = ended(client.connections.sync("conn_partner_sftp"))
    warning = client.jobs.results(job.id).warnings[0]
    assert warning.code
    assert warning.message


def test_list_jobs_over_many_pages(client, sandbox):
    sandbox.switch(busy="parallel")
    jobs = [client.connections.sync(SHOP) for _ in range(7)]
    assert {job.id for job in client.jobs.list(limit=3)} == {job.id for job in jobs}
    page = client.jobs.list_page(limit=3)
    assert len(page.rows) == 3
    assert {row.id for row in client.jobs.list_page(cursor=page.cursor, limit=3).rows}.isdisjoint(
        {row.id for row in page.rows}
    )
    with pytest.raises(PagingError):
        list(client.jobs.list(limit=3, max_pages=2))


@pytest.mark.parametrize("paging", ["short", "trailing", "empty"])
def test_odd_pages_are_followed_to_the_end(client, sandbox, paging):
    sandbox.switch(busy="parallel", paging=paging)
    jobs = {client.connections.sync(SHOP).id for _ in range(5)}
    assert {job.id for job in client.jobs.list(limit=2)} == jobs


def test_a_repeating_cursor_is_an_error(client, sandbox):
    sandbox.switch(busy="parallel", paging="repeat")
    for _ in range(5):
        client.connections.sync(SHOP)
    with pytest.raises(PagingError):
        list(client.jobs.list(limit=2))


def test_job_filters(client, sandbox, ended):
    job = ended(client.connections.sync(SHOP))
    other = ended(client.connections.sync("conn_partner_sftp"))
    assert [row.id for row in client.jobs.list(connection_id=SHOP)] == [job.id]
    assert {row.id for row in client.jobs.list(type="connection_sync", status="succeeded")} == {job.id, other.id}
    created = client.jobs.get(job.id).created_at
    east = timezone(timedelta(hours=9))
    assert job.id in {row.id for row in client.jobs.list(since=created.astimezone(east))}
    assert list(client.jobs.list(until=created - timedelta(days=1))) == []
    assert list(client.jobs.list(pipeline_id="pl_none")) == []
    since = dict(sandbox.journal[-3].query)["since"]
    assert since.endswith("Z")


def test_a_naive_time_is_refused(client, sandbox):
    with pytest.raises(ConfigurationError, match="since"):
        list(client.jobs.list(since=datetime(2025, 1, 1)))  # noqa: DTZ001
    with pytest.raises(ConfigurationError, match="start_at"):
        client.connections.backfill(SHOP, start_at=datetime(2025, 1, 1), end_at=END)  # noqa: DTZ001
    assert sandbox.calls() == 0


def test_backfill(client, sandbox):
    started = client.connections.backfill(
        SHOP, start_at=START, end_at=END, tables=("public.orders",), priority="low", metadata={"reason": "test"}
    )
    assert isinstance(started, Backfill)
    assert (started.start_at, started.end_at, started.tables) == (START, END, ["public.orders"])
    assert client.backfills.get(started.id).connection_id == SHOP
    done = client.backfills.wait(started.id, timeout=60)
    assert done.status == "completed"
    assert len(done.job_ids) == 2
    assert [row.id for row in client.backfills.list(connection_id=SHOP, status="completed", limit=10)] == [started.id]
    assert client.backfills.list_page().cursor is None


def test_backfill_arguments_are_checked_first(client, sandbox):
    for wrong in ({"start_at": END, "end_at": START}, {"start_at": START, "end_at": END, "tables": "public.orders"}):
        with pytest.raises(ConfigurationError):
            client.connections.backfill(SHOP, **wrong)
    assert sandbox.calls() == 0


def test_connections(client):
    listed = {connection.id: connection for connection in client.connections.list()}
    assert listed[SHOP].name == client.connections.get(SHOP).name
    assert {c.type for c in client.connections.list(type=listed[SHOP].type)} == {listed[SHOP].type}
    assert [c.id for c in client.connections.list(search=listed[SHOP].name)] == [SHOP]
    assert len(client.connections.list_page().rows) == len(listed)
    tables = client.connections.tables(SHOP)
    names = {table.name for table in tables.tables if not table.is_view}
    assert {"orders", "customers"} <= names
    assert "open_orders" not in names
    columns = client.connections.columns(SHOP, "orders", schema=tables.schema_name).columns
    assert columns[0].name
    with pytest.raises(NotFoundError):
        client.connections.get("conn_unknown")
    with pytest.raises(ConfigurationError, match="table"):
        client.connections.columns(SHOP, "")


def test_webhooks(client):
    made = client.webhooks.create("http://127.0.0.1:9/hook", ["job.succeeded"], secret="whsec_of_our_own_choice_123")
    assert made.signing_secret.get_secret_value() == "whsec_of_our_own_choice_123"
    assert client.webhooks.get(made.id).signing_secret is None
    assert [webhook.id for webhook in client.webhooks.list()] == [made.id]
    changed = client.webhooks.update(made.id, enabled=False)
    assert (changed.enabled, changed.url, changed.events) == (False, made.url, ["job.succeeded"])
    assert client.webhooks.update(made.id, events=("job.failed",)).enabled is False
    rotated = client.webhooks.rotate_secret(made.id)
    assert rotated.signing_secret.get_secret_value() != "whsec_of_our_own_choice_123"
    receipt = client.webhooks.test(made.id, "job.failed")
    assert receipt.delivery_id in {delivery.id for delivery in client.webhooks.deliveries(made.id)}
    assert client.webhooks.test(made.id).status
    client.webhooks.delete(made.id)
    with pytest.raises(NotFoundError):
        client.webhooks.delete(made.id)
    with pytest.raises(ConfigurationError, match="events"):
        client.webhooks.create("http://127.0.0.1:9/hook", "job.failed")


def test_openapi(client):
    document = client.openapi()
    assert "openapi" in document
    assert "/api/v1/jobs" in document


@pytest.mark.parametrize("bad", ["", "  ", "a/b", "..", "../x", ".", "a\\b", "a\nb", None, 5])
def test_bad_ids_are_refused_before_any_call(client, sandbox, bad):
    calls = [
        lambda: client.jobs.get(bad),
        lambda: client.jobs.cancel(bad),
        lambda: client.jobs.results(bad),
        lambda: client.jobs.wait(bad, timeout=1),
        lambda: client.backfills.get(bad),
        lambda: client.backfills.cancel(bad),
        lambda: client.backfills.wait(bad, timeout=1),
        lambda: client.connections.sync(bad),
        lambda: client.connections.backfill(bad, start_at=START, end_at=END),
        lambda: client.connections.tables(bad),
        lambda: client.webhooks.delete(bad),
        lambda: list(client.webhooks.deliveries(bad)),
        lambda: client.start("connections.sync", bad, None, "k"),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert caught.value.field.endswith("_id")
    assert sandbox.calls() == 0


def test_odd_but_legal_ids_arrive_as_they_are(client):
    with pytest.raises(NotFoundError):
        client.jobs.get("job ?#%41&ü")


def test_start_sends_exactly_these_bytes_and_this_key(client, sandbox):
    body = b'{"metadata": {"a":  1}}'
    reply = client.start("connections.sync", SHOP, body, "my-key")
    again = client.start("connections.sync", SHOP, body, "my-key")
    assert reply.run.id == again.run.id
    assert reply.attempts == 1
    assert sandbox.jobs_started() == 1
    entry = next(entry for entry in sandbox.journal if entry.operation == "connections.sync")
    assert entry.idempotency_key == "my-key"


@pytest.mark.parametrize("key", [" x", "ключ", "a\nb", "x" * 256])
def test_keys_that_no_header_can_carry(client, sandbox, key):
    with pytest.raises(ConfigurationError, match="idempotency_key"):
        client.connections.sync(SHOP, idempotency_key=key)
    assert sandbox.calls() == 0


def test_calls_without_a_key_get_different_ones(client, sandbox):
    sandbox.switch(busy="parallel")
    assert client.connections.sync(SHOP).id != client.connections.sync(SHOP).id
    keys = [entry.idempotency_key for entry in sandbox.journal]
    assert len(set(keys)) == 2
    assert all(keys)


def test_cancel_a_backfill(client, sandbox):
    sandbox.script(SHOP, outcome="stuck")
    backfill = client.connections.backfill(SHOP, start_at=START, end_at=START + timedelta(days=150))
    cancelled = client.backfills.cancel(backfill.id)
    assert sandbox.cancels() == len(cancelled.job_ids) == 5
    sandbox.advance(60)
    assert client.backfills.get(backfill.id).phase == "cancelled"


class GrowingBackfill:
    """A server whose backfill shows another job each time it is read."""

    def __init__(self, *rounds, status="running"):
        self.rounds = list(rounds)
        self.status = status
        self.cancelled = []

    def send(self, request, timeout_seconds):
        if request.operation == "jobs.cancel":
            self.cancelled.append(request.path.split("/")[-2])
            return Reply(200, {}, b'{"data": {"id": "j", "status": "cancelling"}}')
        job_ids = self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]
        body = {"data": {"id": "bf_1", "status": self.status, "job_ids": job_ids}}
        return Reply(200, {}, json.dumps(body).encode())

    async def asend(self, request, timeout_seconds):
        return self.send(request, timeout_seconds)


def test_jobs_that_appear_while_a_backfill_is_cancelled_are_cancelled_too(make_client):
    server = GrowingBackfill(["a"], ["a", "b"], ["a", "b", "c"])
    assert make_client("k", transport=server).backfills.cancel("bf_1").job_ids == ["a", "b", "c"]
    assert server.cancelled == ["a", "b", "c"]


def test_a_backfill_without_jobs_cannot_be_cancelled(make_client):
    with pytest.raises(NotPublishedError) as caught:
        make_client("k", transport=GrowingBackfill([])).backfills.cancel("bf_1")
    assert caught.value.setting == "routes['backfills.cancel']"


def test_a_backfill_that_has_ended_is_left_alone(make_client):
    server = GrowingBackfill(["a"], status="completed")
    assert make_client("k", transport=server).backfills.cancel("bf_1").status == "completed"
    assert server.cancelled == []


def test_a_named_route_that_does_not_exist(make_client, sandbox):
    client = make_client(
        DEFAULT_API_KEY, sandbox.url, routes={"backfills.cancel": "POST /api/v1/backfills/{backfill_id}/cancel"}
    )
    started = client.connections.backfill(SHOP, start_at=START, end_at=END)
    with pytest.raises(NotPublishedError):
        client.backfills.cancel(started.id)
    with pytest.raises(NotFoundError):
        client.backfills.cancel("bf_unknown")


def test_the_vendors_dialect_is_understood(make_client):
    sandbox = Sandbox("strict", speed=50.0, dialect="vendor")
    client = make_client(DEFAULT_API_KEY, transport=sandbox.transport())
    job = client.connections.sync(SHOP)
    sandbox.advance(60)
    assert client.jobs.get(job.id).phase == "succeeded"
    assert client.jobs.results(job.id).total_rows_loaded > 0
    assert [row.id for row in client.jobs.list()] == [job.id]
