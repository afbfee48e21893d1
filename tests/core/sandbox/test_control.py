"""Clock, journal, counts, and their twins over HTTP."""

import json
import time
from datetime import datetime

import pytest

from planasonix.sandbox import Sandbox, VirtualClock

CANARY = "plnx_live_canary_7f3a"


def test_the_clock_runs_at_its_speed_and_never_backwards():
    clock = VirtualClock(speed=1000)
    first, real = clock.time(), time.monotonic()
    while time.monotonic() - real < 0.02:
        pass
    assert clock.time() - first >= 20
    clock.set_speed(0)
    stopped = clock.time()
    assert clock.time() == stopped
    clock.advance(5)
    assert clock.time() == stopped + 5
    assert clock.now().utcoffset().total_seconds() == 0
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="aware"):
        VirtualClock(start=datetime.fromisoformat("2026-01-01T00:00:00"))


def test_a_fast_clock_finishes_jobs_by_itself(caller):
    sandbox = Sandbox(speed=10_000)
    call = caller(sandbox)
    _, job = call.sync()
    give_up = time.monotonic() + 5
    while call.job(job["id"])["status"] != "succeeded":
        assert time.monotonic() < give_up


def test_the_journal_tells_every_call(call, sandbox):
    call.sync(body={"metadata": {"dag": "d"}}, key="k1")
    call.get("/api/v1/jobs", status="queued")
    call.get("/nowhere")
    entries = sandbox.journal
    assert [entry.operation for entry in entries] == ["connections.sync", "jobs.list", "unknown"]
    first = entries[0]
    assert (first.seq, first.status, first.idempotency_key) == (1, 202, "k1")
    assert (first.body, first.at) == ({"metadata": {"dag": "d"}}, "2026-03-01T12:00:00Z")
    assert first.effect == {"job_started": sandbox.jobs()[0]["id"]}
    assert entries[1].query == [("status", "queued")]
    assert sandbox.calls() == 3


def test_no_secret_in_journal_state_or_repr(make_sandbox, caller):
    sandbox = make_sandbox(api_keys=(CANARY,))
    call = caller(sandbox)

    def post(path, body):
        return call.post(path, body, key=CANARY)[1]

    post("/api/v1/connections/conn_shop_orders/sync", {"metadata": {"note": f"key {CANARY}", "api_key": "hidden-1"}})
    hook = post(
        "/api/v1/webhooks", {"url": "http://127.0.0.1:9/x", "events": ["job.failed"], "secret": "whsec_hidden-2"}
    )
    rotated = post(f"/api/v1/webhooks/{hook['data']['id']}/rotate-secret", None)
    post("/api/connections", {"name": "n", "type": "t", "config": {"password": "hidden-3"}})
    post(f"/api/v1/connections/conn_shop_orders/sync/{CANARY}", None)
    call.get("/api/v1/jobs", key=CANARY, cursor=CANARY)
    seen = json.dumps([entry.to_dict() for entry in sandbox.journal]) + repr(sandbox) + repr(sandbox.journal)
    seen += repr(list(sandbox._state.webhooks.by_id.values())) + json.dumps(sandbox.state()["webhooks"])
    for secret in (CANARY, "hidden-1", "hidden-2", "hidden-3", rotated["data"]["signing_secret"]):
        assert secret not in seen
    assert hook["data"]["signing_secret"] == "whsec_hidden-2"
    connection = call.get("/api/connections", key=CANARY, search="n")[1]["data"][-1]["id"]
    assert call.get(f"/api/connections/{connection}", key=CANARY)[1]["config"] == {"password": "********"}


def test_reset_goes_back_to_the_beginning(call, sandbox):
    call.sync()
    sandbox.fault("jobs.list", times=None)
    sandbox.script("conn_shop_orders", "failed")
    sandbox.switch(busy="parallel")
    sandbox.reset()
    assert (sandbox.jobs(), sandbox.calls(), sandbox.switches.busy) == ([], 0, "409")
    _, job = call.sync()
    sandbox.advance(60)
    assert call.job(job["id"])["status"] == "succeeded"


def test_the_same_handles_over_http(call, sandbox):
    def control(method, path, body=None, **query):
        status, answer = call.call(method, f"/sandbox/{path}", body, key=None, **query)
        assert status == 200, answer
        return answer

    assert control("GET", "health")["status"] == "ok"
    control("PUT", "connections/conn_shop_orders/script", {"sequence": [{"outcome": "failed"}], "duration_seconds": 9})
    control("POST", "faults", {"operation": "jobs.get", "kind": "error", "status": 504})
    _, job = call.sync(body={"metadata": {"dag": "d"}})
    assert call.get(f"/api/v1/jobs/{job['id']}")[0] == 504
    assert control("GET", "faults")["faults"][0]["struck"] == 1
    control("DELETE", "faults")
    assert control("GET", "faults")["faults"] == []
    control("POST", "clock/advance", {"seconds": 60})
    assert control("GET", f"jobs/{job['id']}")["status"] == "failed"
    assert control("GET", "jobs")["jobs"][0]["metadata"] == {"dag": "d"}
    state = control("GET", "state", limit=5)
    assert (state["jobs"][0]["id"], state["totals"]["jobs"], len(state["connections"])) == (job["id"], 1, 21)
    assert control("GET", "counts", connection_id="conn_shop_orders")["jobs_started"] == 1
    assert control("GET", "counts", connection_id="conn_hr_people")["jobs_started"] == 0
    entries = control("GET", "journal", operation="jobs.get")["entries"]
    assert [entry["fault"] for entry in entries] == ["error 504 before"]
    assert control("GET", "journal", since_seq=entries[-1]["seq"])["entries"] == []
    assert control("PATCH", "switches", {"busy": "queue"})["busy"] == "queue"
    _, backfill = call.backfill()
    assert control("GET", f"backfills/{backfill['id']}")["status"] == "running"
    _, second = call.sync("conn_hr_people")
    assert control("POST", f"jobs/{second['id']}/finish", {"outcome": "failed"})["status"] == "failed"
    control("POST", f"jobs/{second['id']}/forget")
    assert call.get(f"/api/v1/jobs/{second['id']}")[0] == 404
    assert control("PUT", "clock/speed", {"speed": 5}) == {"speed": 5.0}
    control("POST", "reset")
    assert control("GET", "counts")["calls"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/sandbox/faults", {"operation": "jobs.get", "kind": "gremlin"}, 400),
        ("POST", "/sandbox/faults", b"[]", 400),
        ("POST", "/sandbox/faults", b"{", 400),
        ("POST", "/sandbox/faults", {}, 400),
        ("PUT", "/sandbox/connections/conn_hr_people/script", {"outcom": "failed"}, 400),
        ("POST", "/sandbox/clock/advance", {"seconds": -1}, 400),
        ("POST", "/sandbox/clock/advance", {}, 400),
        ("PATCH", "/sandbox/switches", {"busy": "maybe"}, 400),
        ("GET", "/sandbox/jobs/none", None, 404),
        ("GET", "/sandbox/nothing", None, 404),
        ("POST", "/sandbox/connections/conn_shop_orders/script", {}, 404),
    ],
)
def test_wrong_control_calls_are_refused(call, method, path, body, expected):
    status, answer = call.call(method, path, body, key=None)
    assert status == expected, answer
    assert answer["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("POST", "faults", {}, "'operation'"),
        ("POST", "faults", {"kind": "drop"}, "'operation'"),
        ("POST", "faults", {"operation": 5}, "operation"),
        ("POST", "faults", {"operation": "jobs.get", "kind": 503}, "kind"),
        ("POST", "faults", {"operation": "job.get"}, "did you mean jobs.get"),
        ("POST", "faults", {"operation": "jobs.*", "connection_id": "conn_hr_peple"}, "did you mean conn_hr_people"),
        ("POST", "faults", {"operation": "jobs.get", "connection_id": ["x"]}, "known are conn_01jq8"),
        ("PUT", "connections/conn_shop_order/script", {"outcome": "failed"}, "did you mean conn_shop_orders"),
        ("PUT", "connections/conn_hr_people/script", {"connection_id": "c"}, "connection_id"),
        ("POST", "clock/advance", {}, "'seconds'"),
        ("POST", "clock/advance", {"seconds": "soon"}, "seconds"),
        ("PUT", "clock/speed", {"sped": 3}, "'speed'"),
    ],
)
def test_a_refusal_names_the_field_and_what_was_meant(call, method, path, body, named):
    status, answer = call.call(method, f"/sandbox/{path}", body, key=None)
    assert status == 400
    assert named in answer["error"]["message"]
    assert "positional" not in answer["error"]["message"]


@pytest.mark.parametrize("path", ["/sandbox", "/sandbox/"])
def test_the_control_api_lists_itself(call, path):
    status, listed = call.call("GET", path, key=None)
    assert status == 200
    missing = call.call("GET", "/sandbox/nothing", key=None)[1]
    assert missing["routes"] == listed["routes"]
    assert missing["error"]["code"] == "not_found"
    assert all(row["does"] and "\n" not in row["does"] for row in listed["routes"])
    names = [row["route"] for row in listed["routes"]]
    assert len(set(names)) == len(names)
    assert "PUT /sandbox/connections/{id}/script" in names


def test_what_the_list_shows_works_as_it_stands(call):
    ids = {
        "connections": "conn_shop_orders",
        "jobs": call.sync()[1]["id"],
        "backfills": call.backfill("conn_hr_people")[1]["id"],
        "pipelines": "pl_daily_revenue",
        "runs": call.post("/api/pipelines/pl_daily_revenue/run")[1]["runId"],
    }
    for row in call.call("GET", "/sandbox/", key=None)[1]["routes"]:
        method, path = row["route"].split()
        path = path.replace("{id}", ids.get(path.split("/")[2], ""))
        status, answer = call.call(method, path, row.get("body"), key=None)
        assert status == 200, (row, answer)


def test_a_script_for_no_connection_is_refused(sandbox, make_sandbox):
    with pytest.raises(ValueError, match=r"'conn_shop_order' here: did you mean conn_shop_orders"):
        sandbox.script("conn_shop_order", "failed")
    with pytest.raises(ValueError, match="known are conn_01jq8"):
        sandbox.script("zzz", "failed")
    with pytest.raises(ValueError, match="none is known"):
        make_sandbox(seed_tenant=False).script("conn_shop_orders", "failed")
    sandbox.script("*", "napping")


@pytest.mark.parametrize(
    ("pattern", "near"), [("jobs.gett", "jobs.get"), ("connection.*", "connections"), ("q", "known are")]
)
def test_a_fault_that_can_strike_nothing_is_refused(sandbox, pattern, near):
    with pytest.raises(ValueError, match=near):
        sandbox.fault(pattern)
    assert sandbox.state()["faults"] == []
    for known in ("*", "jobs.*", "connections.[sb]*", "webhooks.test"):
        sandbox.fault(known)


def test_the_tenant(call):
    _, listed = call.get("/api/connections")
    assert (listed["meta"]["total"], len(listed["data"])) == (21, 21)
    types = {row["type"] for row in listed["data"]}
    assert {"snowflake", "s3", "postgres", "databricks"} <= types
    _, found = call.get("/api/connections", type="s3", search="LAKE")
    assert [row["id"] for row in found["data"]] == ["conn_marketing_lake"]
    _, tables = call.get("/api/connections/conn_shop_orders/tables")
    assert {row["type"] for row in tables["tables"]} == {"TABLE", "VIEW"}
    _, same = call.get("/api/connections/tables", connectionId="conn_shop_orders")
    assert same == tables
    assert call.get("/api/connections/conn_shop_orders/columns")[0] == 400
    assert call.get("/api/connections/conn_shop_orders/columns", table="nope")[0] == 404
    assert call.get("/api/connections/conn_shop_orders/files")[0] == 400
    assert call.post("/api/connections/databricks/discover", {"connectionId": "conn_shop_orders"})[0] == 400


def test_connections_can_be_made_changed_and_removed(call, sandbox):
    status, made = call.post("/api/connections", {"name": "new", "type": "postgres", "config": {"host": "h"}})
    assert status == 201
    path = f"/api/connections/{made['id']}"
    assert call.call("PUT", path, {"name": "renamed"})[1]["name"] == "renamed"
    assert call.get(path)[1]["config"] == {"host": "h"}
    assert call.sync(made["id"])[0] == 202
    assert call.call("DELETE", path)[0] == 409
    sandbox.advance(60)
    assert call.call("DELETE", path)[1]["ok"] is True
    assert call.get(path)[0] == 404
