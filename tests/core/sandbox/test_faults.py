"""Faults, in process and over real sockets."""

import asyncio
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

from planasonix.sandbox import Sandbox

SYNC = "/api/v1/connections/conn_shop_orders/sync"


def request(sandbox, method="GET", path="/api/v1/jobs", body=None):
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    return SimpleNamespace(method=method, path=path, query=(), headers=headers, body=body)


@pytest.fixture(scope="module")
def running():
    # No journal or job outlives a test: each begins with a reset.
    with Sandbox(busy="parallel").serve() as served:
        yield served


@pytest.fixture
def http(running):
    running.reset()
    headers = {"Authorization": f"Bearer {running.api_key}"}
    with httpx.Client(base_url=running.url, headers=headers, timeout=5) as client:
        yield client


@pytest.mark.parametrize(
    ("kind", "options", "error", "in_process", "applied"),
    [
        ("reset", {}, (httpx.ReadError, httpx.RemoteProtocolError), ConnectionResetError, False),
        ("refused", {}, (httpx.ReadError, httpx.RemoteProtocolError), ConnectionRefusedError, False),
        ("drop", {}, httpx.RemoteProtocolError, ConnectionAbortedError, True),
        ("drop", {"where": "before"}, (httpx.ReadError, httpx.RemoteProtocolError), ConnectionResetError, False),
        ("cut", {}, httpx.RemoteProtocolError, ConnectionAbortedError, True),
        ("timeout", {}, httpx.ReadTimeout, TimeoutError, True),
        ("timeout", {"where": "before"}, httpx.ReadTimeout, TimeoutError, False),
        ("latency", {"seconds": 2}, httpx.ReadTimeout, TimeoutError, True),
    ],
)
def test_broken_connections(running, http, make_sandbox, kind, options, error, in_process, applied):
    running.fault("connections.sync", kind, **options)
    with pytest.raises(error):
        http.post(SYNC, timeout=0.3)
    assert running.jobs_started() == applied
    assert http.post(SYNC).status_code == 202
    sandbox = make_sandbox(busy="parallel")
    sandbox.fault("connections.sync", kind, **options)
    door = sandbox.transport()
    with pytest.raises(in_process) as caught:
        door.send(request(sandbox, "POST", SYNC), 0.3)
    assert isinstance(caught.value, ConnectionError)
    assert sandbox.jobs_started() == applied
    assert door.send(request(sandbox, "POST", SYNC), 0.3).status == 202


def test_a_cut_body_promises_more_than_it_sends(running, http):
    running.fault("jobs.list", "cut")
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        http.get("/api/v1/jobs")


@pytest.mark.parametrize(
    ("kind", "options", "status", "applied"),
    [
        ("error", {}, 503, False),
        ("error", {"status": 500}, 500, False),
        ("5xx", {"where": "after"}, 502, True),
        ("502", {"where": "after"}, 502, True),
        ("rate_limit", {}, 429, False),
    ],
)
def test_error_statuses(running, http, kind, options, status, applied):
    running.fault("connections.sync", kind, **options)
    answer = http.post(SYNC)
    assert (answer.status_code, running.jobs_started()) == (status, applied)
    assert set(answer.json()["error"]) == {"code", "message", "details"}
    assert "retry-after" not in answer.headers


def test_hints_and_foreign_bodies(running, http):
    running.fault("jobs.*", "rate_limit", retry_after=7, times=2)
    assert http.get("/api/v1/jobs").headers["retry-after"] == "7"
    assert http.get("/api/v1/jobs/x").status_code == 429
    running.fault("jobs.list", "error", retry_after="soon", body="<h1>Bad gateway</h1>")
    answer = http.get("/api/v1/jobs")
    assert (answer.headers["retry-after"], answer.headers["content-type"]) == ("soon", "text/html")
    running.fault("jobs.list", "rate_limit", retry_after=7, retry_after_format="date")
    assert http.get("/api/v1/jobs").headers["retry-after"].endswith(" GMT")
    with pytest.raises(ValueError, match="retry_after_format must be seconds or date"):
        running.fault("jobs.list", "rate_limit", retry_after=7, retry_after_format="days")


def test_which_call_is_struck(call, sandbox):
    sandbox.fault("connections.sync", times=2, skip_first=1, connection_id="conn_hr_people")
    statuses = [call.sync("conn_hr_people")[0] for _ in range(4)]
    assert statuses == [202, 503, 503, 409]
    assert call.sync("conn_crm_accounts")[0] == 202
    assert [entry.fault for entry in sandbox.journal][:3] == [None, "error 503 before", "error 503 before"]


def test_chance_is_seeded(make_sandbox, caller):
    def draws(seed):
        sandbox = make_sandbox(seed=seed)
        sandbox.fault("jobs.list", probability=0.5, times=None)
        call = caller(sandbox)
        return [call.get("/api/v1/jobs")[0] for _ in range(40)]

    assert draws(1) == draws(1)
    assert set(draws(1)) == {200, 503}
    assert draws(1) != draws(2)


def test_a_saved_answer_survives_the_loss_of_the_first(call, sandbox):
    sandbox.fault("connections.sync", "drop")
    call.post(SYNC, headers={"Idempotency-Key": "k"})
    assert call.reply.drop == "after"
    status, job = call.sync(key="k")
    assert (status, sandbox.jobs_started(), sandbox.jobs()[0]["id"]) == (202, 1, job["id"])


def test_the_faults_of_one_connection_can_be_cleared(call, sandbox):
    sandbox.fault("connections.sync", times=None, connection_id="conn_shop_orders")
    sandbox.fault("jobs.list", times=None)
    sandbox.clear_faults("conn_shop_orders")
    assert call.post(SYNC)[0] == 202
    assert call.get("/api/v1/jobs")[0] == 503


def test_faults_can_be_cleared_and_must_make_sense(call, sandbox):
    sandbox.fault("jobs.list", times=None)
    sandbox.clear_faults()
    assert call.get("/api/v1/jobs")[0] == 200
    for options in ({"kind": "gremlin"}, {"where": "sideways"}, {"color": "red"}):
        with pytest.raises(ValueError, match=r"must be|unexpected keyword"):
            sandbox.fault("jobs.list", **options)


@pytest.mark.parametrize("unknown", ["zzz", "*", 5])
def test_a_fault_for_no_connection_is_refused(call, sandbox, unknown):
    with pytest.raises(ValueError, match=r"no connection or pipeline .* here: known are conn_01jq8"):
        sandbox.fault("connections.sync", connection_id=unknown)
    assert call.sync()[0] == 202
    sandbox.fault("connections.sync", connection_id=None)
    assert call.sync("conn_hr_people")[0] == 503


def test_the_asynchronous_door(make_sandbox):
    sandbox = make_sandbox()
    sandbox.fault("jobs.list", "latency", seconds=3)
    before = sandbox.clock.time()
    reply = asyncio.run(sandbox.transport().asend(request(sandbox), 10))
    # On a manual clock, waiting passes as virtual time.
    assert (reply.status, sandbox.clock.time() - before) == (200, 3)


@pytest.mark.parametrize(("kind", "options"), [("timeout", {}), ("latency", {"seconds": 60})])
def test_a_held_answer_does_not_hold_up_the_end(kind, options, caplog):
    sandbox = Sandbox()
    running = sandbox.serve()
    sandbox.fault("jobs.list", kind, **options)
    caught = []

    def ask():
        try:
            httpx.get(running.url + "/api/v1/jobs", headers={"Authorization": f"Bearer {running.api_key}"}, timeout=30)
        except httpx.TransportError as exc:
            caught.append(exc)

    asking = threading.Thread(target=ask)
    asking.start()
    give_up = time.monotonic() + 5
    while not sandbox.calls("jobs.list"):
        assert time.monotonic() < give_up
        time.sleep(0.005)
    began = time.monotonic()
    running.stop()
    asking.join(5)
    assert time.monotonic() - began < 0.9
    assert len(caught) == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url + "/sandbox/health")


def test_a_fault_spares_the_objects_that_it_is_told_to(make_sandbox):
    sandbox = make_sandbox(busy="parallel")
    door = sandbox.transport()
    for _ in range(2):
        door.send(request(sandbox, "POST", SYNC), 1)
    earlier, later = sorted(job["id"] for job in sandbox.jobs())
    sandbox.fault("jobs.get", "rate_limit", times=1, spared_ids=[earlier])
    asked = [door.send(request(sandbox, path=f"/api/v1/jobs/{each}"), 1) for each in (earlier, later, later)]
    answers = [reply.status for reply in asked]
    assert answers == [200, 429, 200]
