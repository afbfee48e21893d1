"""Keys, scopes, limits, validation, idempotency: what a call has to get past."""

from email.utils import parsedate_to_datetime

import pytest


def error_of(answer):
    status, body = answer
    assert set(body["error"]) == {"code", "message", "details"}
    return status, body["error"]["code"]


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Basic plnx_live_sandbox", "plnx_live_sandbox"]
)
def test_a_key_is_needed(sandbox, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}
    reply = sandbox.handle("POST", "/api/v1/connections/conn_shop_orders/sync", (), headers)
    assert (reply.status, reply.json()["error"]["code"]) == (401, "unauthorized")
    assert sandbox.jobs_started() == 0


def test_scopes(make_sandbox, caller):
    call = caller(make_sandbox(api_keys={"all": None, "reader": ["pipelines:read"]}))
    assert call.get("/api/v1/jobs", key="reader")[0] == 200
    assert error_of(call.post("/api/v1/connections/conn_shop_orders/sync", key="reader")) == (403, "forbidden")
    assert call.post("/api/v1/connections/conn_shop_orders/sync", key="all")[0] == 202


def test_unknown_things_are_404_and_wrong_methods_405(call):
    for path in (
        "/api/v1/jobs/job_x",
        "/api/v1/backfills/bf_x",
        "/api/v1/webhooks/wh_x",
        "/api/connections/conn_x",
        "/api/v2/x",
    ):
        assert error_of(call.get(path)) == (404, "not_found")
    assert error_of(call.call("DELETE", "/api/v1/jobs")) == (405, "method_not_allowed")
    assert call.reply.headers["allow"] == "GET"
    assert call.get("/api/v1/jobs/a%2Fb")[0] == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"pipeline_id": NaN}', "body"),
        (b"[" * 100_000, "body"),
        (b" " * 2_000_000 + b"{}", "body"),
        (b"\xff\xfe", "body"),
        ({"pipeline_id": 3}, "pipeline_id"),
        ({"pipeline_id": ""}, "pipeline_id"),
        ({"pipeline_id": "x" * 256}, "pipeline_id"),
        ({"priority": "urgent"}, "priority"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"k": "x" * 20_000}}, "metadata"),
    ],
    ids=str,
)
def test_bad_bodies_are_refused_before_any_effect(call, sandbox, body, field):
    status, answer = call.post("/api/v1/connections/conn_shop_orders/sync", body)
    assert (status, answer["error"]["code"], answer["error"]["details"][0]["field"]) == (400, "invalid_request", field)
    assert sandbox.jobs_started() == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start_at": "2025-01-01"}, "start_at"),
        ({"start_at": "2025-01-01T00:00:00"}, "start_at"),
        ({"end_at": 5}, "end_at"),
        ({"end_at": "2025-01-01T00:00:00Z"}, "end_at"),
        ({"tables": []}, "tables"),
        ({"tables": "public.orders"}, "tables"),
        ({"tables": ["x" * 300]}, "tables"),
    ],
    ids=str,
)
def test_bad_windows(call, sandbox, changes, field):
    status, error = call.backfill(**changes)
    assert (status, error["details"][0]["field"]) == (400, field)
    assert sandbox.backfills_started() == 0


def test_offsets_become_utc(call):
    _, backfill = call.backfill(start_at="2025-01-01T01:00:00+01:00")
    assert backfill["start_at"] == "2025-01-01T00:00:00Z"


def test_a_replay_returns_the_saved_first_answer(call, sandbox):
    call.sync(key="k1")
    first = call.reply
    sandbox.advance(60)
    call.sync(key="k1")
    assert (call.reply.status, call.reply.body) == (first.status, first.body)
    assert (sandbox.jobs_started(), sandbox.calls("connections.sync")) == (1, 2)
    assert [entry.replayed for entry in sandbox.journal] == [False, True]


def test_a_live_replay_returns_the_present_state(make_sandbox, caller):
    sandbox = make_sandbox("rich")
    call = caller(sandbox)
    _, first = call.sync(key="k1")
    sandbox.advance(60)
    assert call.sync(key="k1") == (202, {**first, "status": "succeeded"})
    _, first = call.backfill(key="k2")
    sandbox.advance(60)
    assert call.backfill(key="k2")[1]["status"] == "completed"
    assert (sandbox.jobs_started(), sandbox.backfills_started()) == (1, 1)


@pytest.mark.parametrize(("profile", "code"), [("strict", "conflict"), ("rich", "idempotency_key_reuse")])
def test_the_same_key_with_another_body(make_sandbox, caller, profile, code):
    call = caller(make_sandbox(profile))
    call.sync(key="k1")
    status, error = call.sync(body={"priority": "low"}, key="k1")
    assert (status, error["code"]) == (409, code)
    assert "existing_job_id" not in error


def test_the_telling_busy_answer(make_sandbox, caller):
    call = caller(make_sandbox("rich"))
    _, job = call.sync()
    status, error = call.sync()
    assert (status, error["code"], error["existing_job_id"]) == (409, "connection_busy", job["id"])


def test_a_refusal_is_not_saved_under_its_key(call, sandbox):
    call.sync()
    assert call.sync(key="k")[0] == 409
    sandbox.advance(60)
    assert call.sync(key="k")[0] == 202


def test_keys_expire_belong_to_a_header_and_may_be_ignored(make_sandbox, caller):
    sandbox = make_sandbox(busy="parallel", idempotency_ttl_seconds=100)
    call = caller(sandbox)
    call.sync(key="k")
    sandbox.advance(99)
    call.sync(key="k")
    assert sandbox.jobs_started() == 1
    sandbox.advance(1)
    call.sync(key="k")
    assert sandbox.jobs_started() == 2
    sandbox.switch(idempotency_header="X-Request-Key")
    call.sync(key="k")
    assert sandbox.jobs_started() == 3
    sandbox.switch(idempotency_header="Idempotency-Key", idempotency="ignored")
    call.sync(key="k")
    assert sandbox.jobs_started() == 4


def test_keys_of_two_callers_do_not_meet(make_sandbox, caller):
    sandbox = make_sandbox(api_keys=("a", "b"), busy="parallel")
    call = caller(sandbox)
    for key in ("a", "b"):
        call.post("/api/v1/connections/conn_shop_orders/sync", key=key, headers={"Idempotency-Key": "k"})
    assert sandbox.jobs_started() == 2


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_rate_limit_holds_and_its_hint_is_enough(make_sandbox, caller, form):
    sandbox = make_sandbox(rate_limit=3, rate_window_seconds=60, rate_headers=True, retry_after_format=form)
    call = caller(sandbox)
    assert [call.get("/api/v1/jobs")[0] for _ in range(3)] == [200] * 3
    assert call.reply.headers["x-ratelimit-remaining"] == "0"
    sandbox.advance(20)
    assert error_of(call.get("/api/v1/jobs")) == (429, "rate_limited")
    hint = call.reply.headers["retry-after"]
    at = parsedate_to_datetime(hint).timestamp() if form == "date" else sandbox.clock.time() + int(hint)
    wait = at - sandbox.clock.time()
    assert wait == 40
    assert int(call.reply.headers["x-ratelimit-reset"]) == sandbox.clock.time() + 40
    sandbox.advance(wait)
    assert call.get("/api/v1/jobs")[0] == 200


def test_strict_adds_no_header_that_is_not_documented(call):
    call.get("/api/v1/jobs")
    assert set(call.reply.headers) == {"content-type"}


def test_rich_shows_what_strict_hides(make_sandbox, caller):
    metadata = {"dag_run_id": "r1"}
    for profile, shown in (("strict", False), ("rich", True)):
        sandbox = make_sandbox(profile)
        call = caller(sandbox)
        _, job = call.sync(body={"metadata": metadata})
        assert (call.job(job["id"]).get("metadata") == metadata) is shown
        assert ("x-request-id" in call.reply.headers) is shown
        assert (call.get(f"/api/v1/jobs/{job['id']}/results")[0] == 200) is shown
        assert sandbox.job(job["id"])["metadata"] == metadata


def test_rich_results_say_which_table_failed(make_sandbox, caller):
    sandbox = make_sandbox("rich")
    call = caller(sandbox)
    sandbox.script("conn_shop_orders", "failed", loaded_tables=["public.orders"])
    _, job = call.sync()
    sandbox.advance(60)
    _, body = call.get(f"/api/v1/jobs/{job['id']}/results")
    states = {table["name"]: table["status"] for table in body["data"]["tables"]}
    assert states["public.orders"] == "succeeded"
    assert states["public.refunds"] == "failed"


def test_the_vendor_dialect(make_sandbox, caller):
    sandbox = make_sandbox(dialect="vendor", telling_conflicts=True)
    call = caller(sandbox)
    status, body = call.post("/api/v1/connections/conn_shop_orders/sync")
    assert (status, body["status"]) == (202, "queued")
    conflict, error = call.post("/api/v1/connections/conn_shop_orders/sync")
    assert (conflict, error["existing_job_id"], isinstance(error["error"], str)) == (409, body["job_id"], True)
    sandbox.advance(60)
    assert call.get(f"/api/v1/jobs/{body['job_id']}")[1]["status"] == "completed"
    _, page = call.get("/api/v1/jobs")
    assert (page["total"], page["jobs"][0]["job_id"]) == (1, body["job_id"])
    _, results = call.get(f"/api/v1/jobs/{body['job_id']}/results")
    assert results["summary"]["total_rows_synced"] == sum(row["rows_loaded"] for row in results["streams"])


@pytest.mark.parametrize("options", [{"profile": "kind"}, {"busy": "maybe"}, {"nonsense": 1}])
def test_wrong_options_are_named(make_sandbox, options):
    with pytest.raises(ValueError, match=r"must be one of|unknown switch"):
        make_sandbox(**options)
