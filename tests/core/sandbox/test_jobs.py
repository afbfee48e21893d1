"""The life of jobs and backfills on a manual clock."""

import re

import pytest

WARNING = {"code": "column_type_widened", "message": "wider"}


def test_a_sync_runs_through_its_states(call, sandbox):
    sandbox.script("conn_shop_orders", duration_seconds=10, queue_seconds=2)
    status, started = call.sync(body={"pipeline_id": "pl_1"})
    assert (status, started["status"], started["type"]) == (202, "queued", "connection_sync")
    sandbox.advance(1)
    assert call.job(started["id"])["status"] == "queued"
    sandbox.advance(6)
    running = call.job(started["id"])
    assert running["status"] == "running"
    assert 0 < running["metrics"]["rows_loaded"] <= running["metrics"]["rows_extracted"]
    assert running["finished_at"] is None
    sandbox.advance(5)
    ended = call.job(started["id"])
    assert (ended["status"], ended["duration_seconds"], ended["error"]) == ("succeeded", 10, None)
    assert ended["created_at"] == "2026-03-01T12:00:00Z"
    assert ended["started_at"] == "2026-03-01T12:00:02Z"
    assert ended["finished_at"] == "2026-03-01T12:00:12Z"


def test_results_only_after_the_end(call, sandbox):
    sandbox.script("conn_shop_orders", warnings=[WARNING])
    _, job = call.sync()
    status, body = call.get(f"/api/v1/jobs/{job['id']}/results")
    assert (status, body["error"]["code"]) == (409, "conflict")
    sandbox.advance(60)
    status, body = call.get(f"/api/v1/jobs/{job['id']}/results")
    assert status == 200
    tables = body["data"]["tables"]
    assert [table["name"] for table in tables][:2] == ["public.orders", "public.order_items"]
    assert "public.open_orders" not in [table["name"] for table in tables]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", table["checksum"]) for table in tables)
    assert body["data"]["warnings"] == [WARNING]
    assert sum(table["rows_loaded"] for table in tables) == call.job(job["id"])["metrics"]["rows_loaded"]


def test_same_seed_same_answers(make_sandbox, caller):
    answers = []
    for seed in (7, 7, 8):
        sandbox = make_sandbox(seed=seed)
        call = caller(sandbox)
        _, job = call.sync()
        sandbox.advance(60)
        answers.append(call.get(f"/api/v1/jobs/{job['id']}/results"))
    assert answers[0] == answers[1]
    assert answers[0] != answers[2]


@pytest.mark.parametrize(
    ("outcome", "word"), [("failed", "failed"), ("cancelled", "cancelled"), ("hibernated", "hibernated")]
)
def test_scripted_ends(call, sandbox, outcome, word):
    sandbox.script("conn_shop_orders", outcome)
    _, job = call.sync()
    sandbox.advance(60)
    ended = call.job(job["id"])
    assert (ended["status"], ended["finished_at"] is not None) == (word, True)
    assert (ended["error"] is not None) == (outcome == "failed")


def test_a_failed_job_without_error_object(call, sandbox):
    sandbox.script("conn_shop_orders", "failed", error=None)
    _, job = call.sync()
    sandbox.advance(60)
    assert call.job(job["id"])["error"] is None


def test_a_word_without_an_end(call, sandbox):
    sandbox.script("conn_shop_orders", "napping", ended=False)
    _, job = call.sync()
    sandbox.advance(60)
    assert (call.job(job["id"])["status"], call.job(job["id"])["finished_at"]) == ("napping", None)
    call.post(f"/api/v1/jobs/{job['id']}/cancel")
    sandbox.advance(60)
    assert call.job(job["id"])["status"] == "cancelled"


def test_a_stuck_job_runs_until_cancelled(call, sandbox):
    sandbox.script("conn_shop_orders", "stuck")
    _, job = call.sync()
    sandbox.advance(1_000_000)
    assert call.job(job["id"])["status"] == "running"
    sandbox.finish(job["id"])
    assert call.job(job["id"])["status"] == "succeeded"


def test_a_sequence_is_used_up_and_its_last_step_stays(call, sandbox):
    sandbox.script(
        "conn_shop_orders", sequence=[{"outcome": "failed"}, {"outcome": "succeeded"}], tables={"public.t": 3}
    )
    ends = []
    for _ in range(3):
        _, job = call.sync()
        sandbox.advance(60)
        ends.append(call.job(job["id"])["status"])
    assert ends == ["failed", "succeeded", "succeeded"]
    _, body = call.get(f"/api/v1/jobs/{job['id']}/results")
    assert [(t["name"], t["rows_loaded"]) for t in body["data"]["tables"]] == [("public.t", 3)]


def test_unknown_script_options_are_refused(sandbox):
    with pytest.raises(ValueError, match="unknown script option 'duration'"):
        sandbox.script("conn_shop_orders", duration=3)
    with pytest.raises(ValueError, match="kind must be"):
        sandbox.script("conn_shop_orders", kind="jobs")


def test_cancelling_takes_its_time_and_is_idempotent(call, sandbox):
    sandbox.script("conn_shop_orders", duration_seconds=100)
    _, job = call.sync()
    sandbox.advance(10)
    path = f"/api/v1/jobs/{job['id']}/cancel"
    status, first = call.post(path)
    assert (status, first["data"]["status"]) == (200, "cancelling")
    sandbox.advance(1)
    assert call.post(path)[1] == first
    sandbox.advance(2)
    assert call.post(path)[1]["data"] == {**first["data"], "status": "cancelled"}
    assert (sandbox.cancels(), sandbox.calls("jobs.cancel")) == (1, 3)
    _, done = call.sync("conn_hr_people")
    sandbox.advance(60)
    status, body = call.post(f"/api/v1/jobs/{done['id']}/cancel")
    assert (status, body["data"]["status"], body["data"]["cancel_requested_at"]) == (200, "succeeded", None)


def test_a_cancel_may_come_too_late(make_sandbox, caller):
    sandbox = make_sandbox(cancel_outcome="succeeded")
    call = caller(sandbox)
    _, job = call.sync()
    call.post(f"/api/v1/jobs/{job['id']}/cancel")
    sandbox.advance(10)
    assert call.job(job["id"])["status"] == "succeeded"


def test_the_seeded_troublemakers(call, sandbox):
    ends = {}
    for connection in ("conn_legacy_mainframe", "conn_partner_sftp", "conn_product_mongo", "conn_erp_sap"):
        ends[connection] = call.sync(connection)[1]["id"]
    sandbox.advance(30)
    assert call.job(ends["conn_legacy_mainframe"])["error"]["code"] == "source_authentication_failed"
    assert call.job(ends["conn_erp_sap"])["status"] == "running"
    _, body = call.get(f"/api/v1/jobs/{ends['conn_partner_sftp']}/results")
    assert len(body["data"]["warnings"]) == 2
    _, body = call.get(f"/api/v1/jobs/{ends['conn_product_mongo']}/results")
    assert body["data"]["status"] == "succeeded"
    assert "product.sessions" not in [table["name"] for table in body["data"]["tables"]]


def test_a_busy_connection_refuses_the_same_kind_only(call, sandbox):
    call.sync()
    status, error = call.sync()
    assert (status, error["code"]) == (409, "conflict")
    assert "existing_job_id" not in error
    assert call.backfill()[0] == 202
    assert call.backfill()[0] == 409
    sandbox.advance(600)
    assert call.sync()[0] == 202
    assert sandbox.jobs_started("conn_shop_orders") == 2


def test_a_busy_connection_may_queue(make_sandbox, caller):
    sandbox = make_sandbox(busy="queue")
    call = caller(sandbox)
    sandbox.script("conn_shop_orders", duration_seconds=10, queue_seconds=0)
    jobs = [call.sync()[1]["id"] for _ in range(3)]
    seen = []
    for _ in range(4):
        seen.append([call.job(job)["status"] for job in jobs])
        sandbox.advance(10.5)
    assert seen[0] == ["queued", "queued", "queued"] or seen[0] == ["running", "queued", "queued"]
    assert seen[1] == ["succeeded", "running", "queued"]
    assert seen[3] == ["succeeded", "succeeded", "succeeded"]


def test_cancelling_the_one_in_line_does_not_start_it(make_sandbox, caller):
    sandbox = make_sandbox(busy="queue")
    call = caller(sandbox)
    sandbox.script("conn_shop_orders", duration_seconds=10, queue_seconds=0)
    first, second, third = (call.sync()[1]["id"] for _ in range(3))
    sandbox.advance(9.5)
    call.post(f"/api/v1/jobs/{second}/cancel")
    sandbox.advance(1)
    assert call.job(second)["status"] == "cancelling"
    sandbox.advance(2)
    assert (call.job(first)["status"], call.job(second)["started_at"]) == ("succeeded", None)
    assert call.job(third)["status"] == "running"


def test_a_backfill_is_cut_into_jobs_and_adds_up(call, sandbox):
    sandbox.script("conn_shop_orders", duration_seconds=10, queue_seconds=0, kind="backfill")
    status, started = call.backfill(tables=["public.orders"])
    assert (status, started["status"], started["progress_percent"]) == (202, "running", 0)
    sandbox.advance(5)
    running = call.read_backfill(started["id"])
    assert (running["progress_percent"], len(running["job_ids"])) == (50, 2)
    assert running["rows_processed"] > 0
    sandbox.advance(10)
    ended = call.read_backfill(started["id"])
    assert (ended["status"], ended["progress_percent"]) == ("completed", 100)
    assert ended["updated_at"] == "2026-03-01T12:00:10Z"
    jobs = [call.job(job) for job in ended["job_ids"]]
    assert {job["type"] for job in jobs} == {"backfill"}
    assert sum(job["metrics"]["rows_loaded"] for job in jobs) == ended["rows_processed"]
    assert (sandbox.backfills_started(), sandbox.jobs_started()) == (1, 0)


def test_cancelling_every_job_cancels_the_backfill(call, sandbox):
    sandbox.script("conn_shop_orders", duration_seconds=100)
    _, backfill = call.backfill()
    sandbox.advance(5)
    for job in call.read_backfill(backfill["id"])["job_ids"]:
        call.post(f"/api/v1/jobs/{job}/cancel")
    assert call.read_backfill(backfill["id"])["status"] == "running"
    sandbox.advance(5)
    assert call.read_backfill(backfill["id"])["status"] == "cancelled"


def test_one_failed_job_fails_the_backfill_and_what_had_not_begun_is_not_begun(make_sandbox, caller):
    sandbox = make_sandbox(backfill_concurrency=1)
    call = caller(sandbox)
    sandbox.script("conn_shop_orders", "failed", shard=1, duration_seconds=10, queue_seconds=0)
    _, backfill = call.backfill(end_at="2025-05-01T00:00:00Z")
    sandbox.advance(600)
    ended = call.read_backfill(backfill["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "source_unavailable")
    assert [call.job(job)["status"] for job in ended["job_ids"]] == ["succeeded", "failed", "cancelled", "cancelled"]
    assert 0 < ended["progress_percent"] < 100


def test_lost_and_unknown_tables_of_a_backfill(call, sandbox, make_sandbox, caller):
    sandbox.script("conn_shop_orders", lost_tables=["public.refunds"])
    _, backfill = call.backfill(tables=["public.orders", "public.refunds", "public.ordesr"])
    sandbox.advance(60)
    job = call.read_backfill(backfill["id"])["job_ids"][0]
    _, body = call.get(f"/api/v1/jobs/{job}/results")
    assert [table["name"] for table in body["data"]["tables"]] == ["public.orders"]
    assert body["data"]["warnings"][0]["code"] == "table_not_found"
    strict = caller(make_sandbox(unknown_tables="reject"))
    assert strict.backfill(tables=["public.ordesr"])[0] == 400


def test_a_forgotten_job_is_gone(call, sandbox):
    _, job = call.sync()
    sandbox.forget(job["id"])
    assert call.get(f"/api/v1/jobs/{job['id']}")[0] == 404
    assert call.get("/api/v1/jobs")[1]["data"] == []
