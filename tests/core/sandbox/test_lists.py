"""Lists: filters, limits, cursors, and the ways in which they can be awkward."""

from itertools import chain

import pytest


@pytest.fixture
def crowded(make_sandbox, caller):
    def make(count=12, **switches):
        sandbox = make_sandbox(busy="parallel", **switches)
        call = caller(sandbox)
        ids = []
        for index in range(count):
            ids.append(call.sync(("conn_shop_orders", "conn_hr_people")[index % 2])[1]["id"])
            sandbox.advance(1)
        return sandbox, call, ids[::-1]

    return make


def pages(call, path="/api/v1/jobs", most=50, **query):
    found, cursor = [], None
    for _ in range(most):
        status, body = call.get(path, cursor=cursor, **query)
        assert status == 200, body
        found.append([row["id"] for row in body["data"]])
        cursor = body["meta"]["page"]["cursor"]
        if cursor is None:
            return found
    raise AssertionError("the cursor never ends")


def listed(call, path="/api/v1/jobs", **query):
    return [*chain.from_iterable(pages(call, path, **query))]


def test_pages_are_newest_first_and_complete(crowded):
    _, call, ids = crowded()
    found = pages(call, limit=5)
    assert [len(page) for page in found] == [5, 5, 2]
    assert [*chain.from_iterable(found)] == ids


def test_new_jobs_do_not_shift_the_pages(crowded):
    _, call, ids = crowded()
    _, body = call.get("/api/v1/jobs", limit=6)
    call.sync("conn_crm_accounts")
    _, rest = call.get("/api/v1/jobs", limit=6, cursor=body["meta"]["page"]["cursor"])
    assert [row["id"] for row in body["data"] + rest["data"]] == ids


def test_filters(crowded):
    _, call, _ = crowded()
    call.sync("conn_billing_stripe", {"pipeline_id": "pl_9"})
    assert len(listed(call, connection_id="conn_hr_people")) == 6
    assert len(listed(call, pipeline_id="pl_9")) == 1
    assert listed(call, type="backfill") == []
    done = listed(call, status="succeeded")
    both = listed(call, status="succeeded", connection_id="conn_hr_people")
    assert done
    assert set(both) < set(done)
    assert all(call.job(job)["connection_id"] == "conn_hr_people" for job in both)


def test_since_and_until_are_inclusive_bounds_on_the_creation(crowded):
    _, call, ids = crowded()
    at = call.job(ids[5])["created_at"]
    assert listed(call, since=at) == ids[:6]
    assert listed(call, until=at) == ids[5:]
    assert listed(call, since=at, until=at) == [ids[5]]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "ten"},
        {"status": "queued,running"},
        {"status": "completed"},
        {"since": "yesterday"},
        {"since": "2026-03-01T12:00:00"},
        {"until": "2026-13-01T12:00:00Z"},
        {"cursor": "nonsense"},
        {"connection_id": ""},
    ],
)
def test_wrong_queries_are_refused(call, query):
    status, body = call.get("/api/v1/jobs", **query)
    assert (status, body["error"]["code"]) == (400, "invalid_request")
    assert body["error"]["details"][0]["field"] == next(iter(query))


def test_a_parameter_may_stand_once(call, sandbox):
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    reply = sandbox.handle("GET", "/api/v1/jobs", [("status", "queued"), ("status", "running")], headers)
    assert reply.status == 400


def test_a_limit_over_the_maximum_may_be_clamped(crowded):
    _, call, _ = crowded(page_limit_over="clamp", page_limit_max=5)
    _, body = call.get("/api/v1/jobs", limit=1000)
    assert (len(body["data"]), body["meta"]["page"]["limit"]) == (5, 5)


def test_a_cursor_belongs_to_its_filters(crowded):
    _, call, _ = crowded()
    _, body = call.get("/api/v1/jobs", limit=5)
    cursor = body["meta"]["page"]["cursor"]
    assert call.get("/api/v1/jobs", limit=5, cursor=cursor, status="queued")[0] == 400


def test_a_cursor_may_expire(crowded):
    sandbox, call, _ = crowded(cursor_ttl_seconds=30)
    _, body = call.get("/api/v1/jobs", limit=5)
    cursor = body["meta"]["page"]["cursor"]
    sandbox.advance(29)
    assert call.get("/api/v1/jobs", limit=5, cursor=cursor)[0] == 200
    sandbox.advance(1)
    status, body = call.get("/api/v1/jobs", limit=5, cursor=cursor)
    assert (status, body["error"]["details"][0]["issue"]) == (400, "expired")


def test_short_pages(crowded):
    _, call, ids = crowded(paging="short")
    found = pages(call, limit=5)
    assert [len(page) for page in found] == [2] * 6
    assert [*chain.from_iterable(found)] == ids


def test_a_trailing_cursor_leads_to_an_empty_last_page(crowded):
    _, call, _ = crowded(paging="trailing")
    found = pages(call, limit=100)
    assert [len(page) for page in found] == [12, 0]


def test_an_empty_page_in_the_middle(crowded):
    _, call, ids = crowded(paging="empty")
    found = pages(call, limit=5)
    assert [len(page) for page in found] == [5, 0, 5, 2]
    assert [*chain.from_iterable(found)] == ids


def test_a_repeating_cursor(crowded):
    _, call, _ = crowded(paging="repeat")
    _, first = call.get("/api/v1/jobs", limit=5)
    cursor = first["meta"]["page"]["cursor"]
    _, second = call.get("/api/v1/jobs", limit=5, cursor=cursor)
    assert second["meta"]["page"]["cursor"] == cursor


def test_a_stale_list(make_sandbox, caller):
    sandbox = make_sandbox(list_staleness_seconds=20)
    call = caller(sandbox)
    _, job = call.sync()
    sandbox.advance(10)
    assert call.job(job["id"])["status"] == "succeeded"
    assert call.get("/api/v1/jobs")[1]["data"] == []
    sandbox.advance(11)
    assert call.get("/api/v1/jobs", status="running")[1]["data"][0]["status"] == "running"
    sandbox.advance(20)
    assert call.get("/api/v1/jobs")[1]["data"][0]["status"] == "succeeded"


def test_backfills_have_pages_too(make_sandbox, caller):
    call = caller(make_sandbox(busy="parallel"))
    ids = [call.backfill()[1]["id"] for _ in range(5)][::-1]
    assert listed(call, "/api/v1/backfills", limit=2) == ids
    assert listed(call, "/api/v1/backfills", status="completed") == []


def test_a_page_of_ten_thousand_jobs_costs_a_page(make_sandbox, caller):
    sandbox = make_sandbox(busy="parallel")
    call = caller(sandbox)
    sandbox.script("*", tables={"t": 1})
    for _ in range(2_000):
        call.sync()
    looked_at = []
    shelf = sandbox._state.jobs.shelf
    plain = shelf._narrowest

    def counting(*args):
        for seq in plain(*args):
            looked_at.append(seq)
            yield seq

    shelf._narrowest = counting
    call.get("/api/v1/jobs", limit=100, status="queued")
    assert len(looked_at) <= 101
