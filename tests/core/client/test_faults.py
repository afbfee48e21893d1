"""Lost answers, cut bodies, limits and errors: what reaches the server, and what reaches the caller."""

from __future__ import annotations

import pickle
import threading
import time
from datetime import datetime

import pytest

from planasonix import Planasonix
from planasonix.engine import Retrying
from planasonix.errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PlanasonixError,
    RateLimitError,
    ServerError,
    TransportError,
)
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox

SHOP = "conn_shop_orders"
AFTER_THE_EFFECT = ["drop", "cut", "error"]


# The journal cuts its times to milliseconds.
ONE_SECOND = 0.999


def moments(sandbox, operation):
    """When an operation was called, in real epoch seconds."""
    entries = [entry for entry in sandbox.journal if entry.operation == operation]
    return sorted(datetime.fromisoformat(entry.real_at).timestamp() for entry in entries)


@pytest.fixture
def client(make_client, sandbox):
    return make_client(DEFAULT_API_KEY, sandbox.url, max_tries=4)


@pytest.mark.parametrize("kind", AFTER_THE_EFFECT)
@pytest.mark.parametrize("idempotency_key", [None, "given"])
def test_a_lost_answer_never_starts_a_second_job(client, sandbox, kind, idempotency_key):
    sandbox.fault("connections.sync", kind, times=2, where="after")
    job = client.connections.sync(SHOP, metadata={"n": 1}, idempotency_key=idempotency_key)
    assert sandbox.jobs_started() == 1
    assert sandbox.calls("connections.sync") == 3
    assert client.jobs.get(job.id).connection_id == SHOP
    sent = [entry for entry in sandbox.journal if entry.operation == "connections.sync"]
    assert len({(entry.idempotency_key, str(entry.body)) for entry in sent}) == 1


@pytest.mark.parametrize("kind", ["reset", "error", "rate_limit"])
def test_a_fault_before_the_effect_is_repaired(client, sandbox, kind):
    sandbox.fault("connections.sync", kind, times=2, where="before")
    client.connections.sync(SHOP)
    assert sandbox.jobs_started() == 1


@pytest.mark.parametrize("kind", AFTER_THE_EFFECT)
def test_retry_unknown_false_leaves_the_decision_to_the_caller(client, sandbox, kind):
    sandbox.fault("connections.sync", kind, times=1, where="after")
    with pytest.raises(PlanasonixError) as caught:
        client.start("connections.sync", SHOP, b"{}", "k", retry_unknown=False)
    assert caught.value.outcome == "unknown"
    assert sandbox.calls("connections.sync") == 1
    assert client.start("connections.sync", SHOP, b"{}", "k").attempts == 1
    assert sandbox.jobs_started() == 1


def test_retry_unknown_false_still_repeats_what_was_refused(client, sandbox):
    sandbox.fault("connections.sync", "rate_limit", times=1)
    assert client.start("connections.sync", SHOP, b"{}", "k", retry_unknown=False).attempts == 2


def test_a_server_that_ignores_keys_gets_no_second_post(make_client, sandbox):
    sandbox.switch(idempotency="ignored", busy="parallel")
    sandbox.fault("connections.sync", "drop", times=1)
    client = make_client(DEFAULT_API_KEY, sandbox.url, idempotency="ignored")
    with pytest.raises(TransportError) as caught:
        client.connections.sync(SHOP)
    assert caught.value.outcome == "unknown"
    assert sandbox.jobs_started() == 1


def test_the_name_of_the_key_header(make_client, sandbox):
    sandbox.switch(idempotency_header="X-Request-Key")
    client = make_client(DEFAULT_API_KEY, sandbox.url, idempotency_header="X-Request-Key")
    sandbox.fault("connections.sync", "drop", times=1)
    client.connections.sync(SHOP)
    assert sandbox.jobs_started() == 1


@pytest.mark.parametrize("kind", ["drop", "cut", "error", "reset"])
def test_reads_and_cancels_survive_faults(client, sandbox, kind):
    sandbox.script(SHOP, outcome="stuck")
    job = client.connections.sync(SHOP)
    for operation in ("jobs.get", "jobs.list", "jobs.cancel"):
        sandbox.fault(operation, kind, times=1)
    assert client.jobs.get(job.id).id == job.id
    assert [row.id for row in client.jobs.list()] == [job.id]
    assert client.jobs.cancel(job.id).id == job.id
    assert sandbox.cancels() == 1


def test_a_deletion_whose_answer_was_lost_is_a_deletion(client, sandbox):
    webhook = client.webhooks.create("http://127.0.0.1:9/x", ["job.failed"])
    sandbox.fault("webhooks.delete", "drop", times=1)
    client.webhooks.delete(webhook.id)
    assert sandbox.calls("webhooks.delete") == 2


def test_a_page_of_a_proxy_counts_as_a_lost_answer(client, sandbox):
    sandbox.fault("jobs.list", "error", times=1, status=200, body="<html>Please log in</html>")
    assert list(client.jobs.list()) == []
    assert sandbox.calls("jobs.list") == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, InvalidRequestError),
    ],
)
def test_refusals_are_raised_at_once(client, sandbox, status, kind):
    sandbox.fault("connections.sync", "error", times=None, status=status)
    with pytest.raises(kind) as caught:
        client.connections.sync(SHOP)
    error = caught.value
    assert (error.status_code, error.outcome, len(error.attempts)) == (status, "refused", 1)
    assert error.hint
    assert pickle.loads(pickle.dumps(error)).status_code == status
    assert sandbox.calls("connections.sync") == 1


def test_a_path_that_the_server_does_not_know(make_client, sandbox):
    client = make_client(DEFAULT_API_KEY, sandbox.url, path_prefixes={"orchestration": "/v7"})
    with pytest.raises(NotFoundError) as caught:
        list(client.jobs.list())
    assert caught.value.hint.startswith("No id was involved")
    assert "path_prefixes" in caught.value.hint
    with pytest.raises(NotFoundError, match="Check the id"):
        client.jobs.get("job_unknown")


def test_a_wrong_key(make_client, sandbox):
    with pytest.raises(AuthenticationError):
        make_client("plnx_live_wrong", sandbox.url).jobs.get("job_1")


def test_a_lasting_outage_carries_its_history(client, sandbox):
    sandbox.fault("jobs.get", "error", times=None)
    with pytest.raises(ServerError) as caught:
        client.jobs.get("job_1")
    assert [attempt.status for attempt in caught.value.attempts] == [503] * 4


def test_request_ids_are_reported(client, sandbox):
    sandbox.switch(request_id_header=True)
    with pytest.raises(NotFoundError) as caught:
        client.jobs.get("job_unknown")
    assert caught.value.request_id
    assert f"[request {caught.value.request_id}]" in str(caught.value)
    assert caught.value.attempts[0].request_id == caught.value.request_id


@pytest.mark.parametrize("shape", ["seconds", "date"])
def test_retry_after_is_obeyed(client, sandbox, shape):
    sandbox.switch(retry_after_format=shape)
    sandbox.fault("jobs.list", "rate_limit", times=1, retry_after=1)
    list(client.jobs.list())
    first, second = moments(sandbox, "jobs.list")
    # A date has whole seconds only: from the middle of one second to the next is shorter than asked for.
    assert second - first >= (ONE_SECOND if shape == "seconds" else 0.0)


def test_a_pause_holds_for_all_threads_and_clients_of_the_credential(sandbox):
    """One caller is told to wait; nobody else with that key asks before the time is over."""
    one, other = (Planasonix(DEFAULT_API_KEY, sandbox.url) for _ in range(2))
    sandbox.fault("jobs.get", "rate_limit", times=1, retry_after=1)
    told = threading.Event()
    copy = one.with_options(on_event=lambda event: told.set() if isinstance(event, Retrying) else None, max_tries=2)

    def ask(client):
        with pytest.raises(NotFoundError):
            client.jobs.get("job_unknown")

    first = threading.Thread(target=ask, args=(copy,))
    first.start()
    assert told.wait(10)
    others = [threading.Thread(target=ask, args=(client,)) for client in (one, other) for _ in range(3)]
    for thread in others:
        thread.start()
    for thread in (first, *others):
        thread.join()
    asked = moments(sandbox, "jobs.get")
    assert len(asked) == 8
    assert asked[1] - asked[0] >= ONE_SECOND
    one.close()
    other.close()


def test_a_limited_server_refuses_nobody(make_client, sandbox):
    """With rate headers the client slows down before the server has to say so."""
    sandbox.switch(rate_limit=10, rate_headers=True, rate_window_seconds=50.0)  # one second of real time
    client = make_client(DEFAULT_API_KEY, sandbox.url)
    for _ in range(15):
        client.connections.get(SHOP)
    assert {entry.status for entry in sandbox.journal} == {200}


def test_a_deadline_ends_a_storm(make_client):
    sandbox = Sandbox()
    sandbox.fault("jobs.get", "rate_limit", times=None, retry_after=30)
    client = make_client(DEFAULT_API_KEY, transport=sandbox.transport(), deadline_seconds=2)
    began = time.monotonic()
    with pytest.raises(RateLimitError):
        client.jobs.get("job_1")
    with pytest.raises(TransportError) as caught:
        client.jobs.get("job_1")
    assert caught.value.outcome == "not_sent"
    assert time.monotonic() - began < 2.5
    assert sandbox.calls("jobs.get") == 1
