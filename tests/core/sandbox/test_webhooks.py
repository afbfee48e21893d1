"""Subscriptions, and deliveries to a real receiver on loopback."""

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import get_args

import pytest

from planasonix.sandbox import Sandbox
from planasonix.sandbox.switches import Flaw

SECRET = "whsec_test"


class Receiver:
    def __init__(self):
        self.seen, self.statuses = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.seen.append((dict(self.headers), body))
                status = outer.statuses.pop(0) if outer.statuses else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", outer.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def events(self):
        return [json.loads(body) for _, body in self.seen]

    def wait_for(self, count, seconds=5):
        give_up = time.monotonic() + seconds
        while len(self.seen) < count:
            assert time.monotonic() < give_up, f"only {len(self.seen)} deliveries"
            time.sleep(0.005)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def subscribe(call, receiver, events=("job.succeeded", "job.failed", "backfill.completed"), url=None):
    body = {"url": url or receiver.url, "events": list(events), "secret": SECRET}
    status, answer = call.post("/api/v1/webhooks", body)
    assert status == 201
    return answer["data"]["id"]


@pytest.fixture
def quiet(make_sandbox):
    """A sandbox whose courier thread stays away: deliveries happen in the test's own thread, by `deliver`."""

    def make(profile="strict", **options):
        sandbox = make_sandbox(profile, **options)
        sandbox._courier.stop()
        return sandbox

    return make


def rows(call, hook):
    return call.get(f"/api/v1/webhooks/{hook}/deliveries")[1]["data"]


def test_life_of_a_subscription(call):
    status, made = call.post("/api/v1/webhooks", {"url": "http://127.0.0.1:1/x", "events": ["job.failed"]})
    hook, secret = made["data"]["id"], made["data"]["signing_secret"]
    assert (status, secret.startswith("whsec_")) == (201, True)
    path = f"/api/v1/webhooks/{hook}"
    assert "signing_secret" not in call.get(path)[1]["data"]
    _, changed = call.call("PUT", path, {"enabled": False})
    assert (changed["data"]["enabled"], changed["data"]["events"]) == (False, ["job.failed"])
    rotations = {call.post(f"{path}/rotate-secret")[1]["data"]["signing_secret"] for _ in range(2)}
    assert len(rotations | {secret}) == 3
    assert [row["id"] for row in call.get("/api/v1/webhooks")[1]["data"]] == [hook]
    assert call.call("DELETE", path) == (204, None)
    assert call.get(path)[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {"url": "ftp://x/y", "events": ["job.failed"]},
        {"url": "http://", "events": ["job.failed"]},
        {"url": "http://user:pw@host/", "events": ["job.failed"]},
        {"url": "http://h:99999/", "events": ["job.failed"]},
        {"url": "http://h/\r\nX: y", "events": ["job.failed"]},
        {"url": "http://h/", "events": []},
        {"url": "http://h/", "events": ["job.cancelled"]},
        {"url": "http://h/", "events": ["job.failed"], "secret": ""},
        {"events": ["job.failed"]},
    ],
)
def test_bad_subscriptions(call, body):
    assert call.post("/api/v1/webhooks", body)[0] == 400
    assert call.get("/api/v1/webhooks")[1]["data"] == []


def test_the_three_published_events_and_no_other(quiet, caller, receiver):
    sandbox = quiet()
    call = caller(sandbox)
    subscribe(call, receiver)
    sandbox.script("conn_hr_people", "cancelled")
    ids = [call.sync(each)[1]["id"] for each in ("conn_shop_orders", "conn_legacy_mainframe", "conn_hr_people")]
    _, backfill = call.backfill(end_at="2025-01-15T00:00:00Z")
    sandbox.advance(60)
    sandbox.deliver()
    events = receiver.events()
    found = {(event["type"], event.get("job_id") or event.get("backfill_id")) for event in events}
    shard = call.read_backfill(backfill["id"])["job_ids"][0]
    assert found == {
        ("job.succeeded", ids[0]),
        ("job.failed", ids[1]),
        ("job.succeeded", shard),
        ("backfill.completed", backfill["id"]),
    }
    for event in events:
        assert event["id"].startswith("evt_")
        assert set(event) - {"job_id", "backfill_id"} == {"id", "type", "timestamp", "data"}
        assert set(event["data"]) == {"status", "summary"}
    assert len({event["id"] for event in events}) == 4
    loaded = next(event for event in events if event.get("job_id") == ids[0])["data"]["summary"]["total_rows_synced"]
    assert loaded == call.job(ids[0])["metrics"]["rows_loaded"]


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("prefix", ["", "sha256="])
def test_body_signatures(quiet, caller, receiver, encoding, prefix):
    sandbox = quiet(signature_encoding=encoding, signature_prefix=prefix)
    call = caller(sandbox)
    hook = subscribe(call, receiver)
    call.post(f"/api/v1/webhooks/{hook}/test")
    sandbox.deliver()
    headers, body = receiver.seen[0]
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
    expected = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    assert headers["X-Planasonix-Signature"] == prefix + expected
    assert "X-Planasonix-Timestamp" not in headers


@pytest.mark.parametrize("age", [0, 400])
def test_timestamped_signatures(quiet, caller, receiver, age):
    sandbox = quiet("rich", signature_age_seconds=age)
    call = caller(sandbox)
    hook = subscribe(call, receiver)
    call.post(f"/api/v1/webhooks/{hook}/test", {"event": "backfill.completed"})
    sandbox.deliver()
    headers, body = receiver.seen[0]
    stamp = headers["X-Planasonix-Timestamp"]
    digest = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Planasonix-Signature"] == f"v1={digest}"
    assert int(stamp) == int(sandbox.clock.time()) - age
    assert json.loads(body)["type"] == "backfill.completed"


def test_retries_with_growing_pauses(quiet, caller, receiver):
    sandbox = quiet(delivery_max_attempts=3, delivery_backoff_seconds=10)
    call = caller(sandbox)
    hook = subscribe(call, receiver)
    receiver.statuses = [500, 302, 503]
    _, queued = call.post(f"/api/v1/webhooks/{hook}/test")
    assert queued["data"]["status"] == "pending"
    assert sandbox.deliver() == 1
    assert rows(call, hook)[0]["status"] == "pending"
    sandbox.advance(9)
    assert sandbox.deliver() == 0
    sandbox.advance(1)
    assert sandbox.deliver() == 1
    sandbox.advance(19)
    assert sandbox.deliver() == 0
    sandbox.advance(1)
    assert sandbox.deliver() == 1
    assert len({body for _, body in receiver.seen}) == 1
    assert rows(call, hook) == [
        {
            "id": queued["data"]["delivery_id"],
            "event": "job.succeeded",
            "status": "failed",
            "http_status": 503,
            "attempt": 3,
            "last_error": "HTTP 503",
            "delivered_at": None,
        }
    ]
    assert call.get(f"/api/v1/webhooks/{hook}")[1]["data"]["failure_count_24h"] == 3
    sandbox.advance(86_400)
    assert call.get(f"/api/v1/webhooks/{hook}")[1]["data"]["failure_count_24h"] == 0
    assert sandbox.deliver() == 0


def test_a_second_attempt_can_arrive(quiet, caller, receiver):
    sandbox = quiet()
    call = caller(sandbox)
    hook = subscribe(call, receiver)
    receiver.statuses = [503]
    call.post(f"/api/v1/webhooks/{hook}/test")
    sandbox.deliver()
    sandbox.advance(2)
    sandbox.deliver()
    row = rows(call, hook)[0]
    assert (row["status"], row["attempt"], row["http_status"], "last_error" in row) == ("delivered", 2, 200, False)
    assert row["delivered_at"] == "2026-03-01T12:00:02Z"


def test_duplicates_and_reordering(quiet, caller, receiver):
    sandbox = quiet(delivery_duplicates=1)
    call = caller(sandbox)
    subscribe(call, receiver)
    call.sync()
    sandbox.advance(60)
    sandbox.deliver()
    first, second = receiver.events()
    assert first["id"] == second["id"]
    sandbox.switch(delivery_duplicates=0, delivery_reorder=True)
    receiver.seen.clear()
    sandbox.script("*", duration_seconds=1)
    jobs = []
    for connection in ("conn_hr_people", "conn_crm_accounts", "conn_ads_meta"):
        jobs.append(call.sync(connection)[1]["id"])
        sandbox.advance(3)
    sandbox.deliver()
    assert [event["job_id"] for event in receiver.events()] == [jobs[1], jobs[0]]
    sandbox.advance(10)
    sandbox.deliver()
    assert receiver.events()[-1]["job_id"] == jobs[2]


def test_late_and_repeated_byte_for_byte(quiet, caller, receiver):
    sandbox = quiet("rich", delivery_delay_seconds=30, delivery_replays=2)
    call = caller(sandbox)
    subscribe(call, receiver)
    call.sync()
    sandbox.finish(sandbox.jobs()[0]["id"])
    sandbox.advance(29)
    assert sandbox.deliver() == 0
    sandbox.advance(1)
    assert sandbox.deliver() == 1
    sandbox.advance(400)  # a signature made now would have another time
    assert sandbox.deliver() == 2
    assert receiver.seen[1:] == [receiver.seen[0]] * 2
    assert sandbox.deliver() == 0


@pytest.mark.parametrize("flaw", get_args(Flaw))
@pytest.mark.parametrize("scheme", ["body", "timestamped"])
def test_flaws_beside_genuine_events_and_instead_of_them(quiet, caller, receiver, scheme, flaw):
    sandbox = quiet(signature_scheme=scheme, delivery_flaw=flaw, delivery_flaw_place="beside", busy="parallel")
    call = caller(sandbox)
    subscribe(call, receiver)
    job_id = call.sync()[1]["id"]
    sandbox.finish(job_id)
    sandbox.deliver()
    genuine = receiver.seen[-1]
    assert _is_genuine(*genuine)
    assert [json.loads(genuine[1])[name] for name in ("type", "job_id")] == ["job.succeeded", job_id]
    sandbox.switch(delivery_flaw_place="instead")
    sandbox.finish(call.sync()[1]["id"])
    receiver.seen.reverse()
    sandbox.deliver()
    flawed = [receiver.seen[-1]] if flaw == "none" else [receiver.seen[1], receiver.seen[-1]]
    assert len(receiver.seen) == 1 + len(flawed)
    for headers, body in flawed:
        assert _is_genuine(headers, body) == (flaw not in ("unsigned", "forged", "altered"))
        assert (len(body) > 1_048_576) == (flaw == "oversized")
    if scheme == "timestamped" and flaw == "stale":
        assert int(flawed[0][0]["X-Planasonix-Timestamp"]) == int(sandbox.clock.time()) - 3_600
    told = {row["flaw"] for row in sandbox.state()["deliveries"]}
    assert told == {"none", flaw}


def _is_genuine(headers, body):
    stamp, said = headers.get("X-Planasonix-Timestamp"), headers.get("X-Planasonix-Signature", "")
    signed = body if stamp is None else stamp.encode() + b"." + body
    return said.removeprefix("v1=") == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def test_events_can_get_lost(quiet, caller, receiver):
    sandbox = quiet(deliveries_enabled=False)
    call = caller(sandbox)
    subscribe(call, receiver)
    call.sync()
    sandbox.advance(60)
    assert sandbox.deliver() == 0


@pytest.mark.parametrize(
    "target", ["http://10.0.0.1/x", "http://example.invalid/x", "http://127.0.0.1.example.invalid/"]
)
def test_only_loopback_is_reached(quiet, caller, receiver, target, monkeypatch):
    monkeypatch.setattr("http.client.HTTPConnection.connect", lambda self: pytest.fail("connected"))
    sandbox = quiet()
    call = caller(sandbox)
    hook = subscribe(call, receiver, url=target)
    call.post(f"/api/v1/webhooks/{hook}/test")
    sandbox.deliver()
    row = rows(call, hook)[0]
    assert (row["status"], row["attempt"], row["http_status"]) == ("failed", 1, None)
    assert "not allowed" in row["last_error"]


def test_disabled_and_deleted_subscriptions_get_nothing(quiet, caller, receiver):
    sandbox = quiet()
    call = caller(sandbox)
    hook = subscribe(call, receiver)
    call.call("PUT", f"/api/v1/webhooks/{hook}", {"enabled": False})
    call.sync()
    sandbox.advance(60)
    assert sandbox.deliver() == 0
    call.post(f"/api/v1/webhooks/{hook}/test")
    call.call("DELETE", f"/api/v1/webhooks/{hook}")
    assert sandbox.deliver() == 0
    assert receiver.seen == []


def test_an_unreachable_receiver_is_an_error_not_an_exception(quiet, caller, receiver):
    sandbox = quiet(delivery_max_attempts=1)
    call = caller(sandbox)
    hook = subscribe(call, receiver, url="http://127.0.0.1:1/x")
    call.post(f"/api/v1/webhooks/{hook}/test")
    sandbox.deliver()
    assert "refused" in rows(call, hook)[0]["last_error"]


def test_the_courier_delivers_without_any_call(receiver, caller):
    sandbox = Sandbox(speed=50)
    try:
        call = caller(sandbox)
        subscribe(call, receiver)
        receiver.statuses = [503]
        call.sync()
        receiver.wait_for(2)
        assert [event["type"] for event in receiver.events()] == ["job.succeeded"] * 2
    finally:
        sandbox.close()


def test_the_courier_follows_a_manual_clock(receiver, call, sandbox):
    subscribe(call, receiver)
    call.sync()
    sandbox.advance(60)
    receiver.wait_for(1)
