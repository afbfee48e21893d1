"""Pipelines and their runs: life cycle, lists, logs, cancel, scripts."""

import pytest

from planasonix.sandbox import Sandbox

DAILY = "pl_daily_revenue"


@pytest.fixture
def start(call):
    """Starts a run and returns its id."""

    def start(pipeline_id=DAILY, body=None, **options):
        status, answer = call.post(f"/api/pipelines/{pipeline_id}/run", body, **options)
        assert status == 202, answer
        return answer["runId"]

    return start


@pytest.fixture
def read(call):
    def read(run_id, part=""):
        status, answer = call.get(f"/api/runs/{run_id}{part}")
        assert status == 200, answer
        return answer

    return read


def test_pipelines_and_their_graph(call):
    _, listed = call.get("/api/pipelines")
    assert listed["meta"]["total"] == len(listed["data"]) == 8
    assert [row["id"] for row in call.get("/api/pipelines", search="REVENUE", projectId="prj_01")[1]["data"]] == [
        DAILY,
        "pl_01hqxyz",
    ]
    assert [row["id"] for row in call.get("/api/pipelines", status="draft")[1]["data"]] == ["pl_telemetry_rollup"]
    assert [row["id"] for row in call.get("/api/pipelines", folderId="fld_03")[1]["data"]] == ["pl_ads_attribution"]
    _, graph = call.get("/api/pipelines/pl_ads_attribution")
    assert [(edge["source"], edge["target"]) for edge in graph["edges"]] == [
        ("n_google", "n_union"),
        ("n_meta", "n_union"),
        ("n_union", "n_sink"),
    ]
    assert graph["nodes"][0]["config"] == {"connectionId": "conn_ads_google", "table": "campaign_stats"}
    assert call.get("/api/pipelines/pl_none")[0] == 404
    assert call.post("/api/pipelines/pl_none/run")[0] == 404


def test_every_node_reads_from_a_seeded_connection(sandbox, call):
    connections = {row["id"] for row in call.get("/api/connections")[1]["data"]}
    for row in call.get("/api/pipelines")[1]["data"]:
        for node in call.get(f"/api/pipelines/{row['id']}")[1]["nodes"]:
            assert node["config"] == {} or node["config"]["connectionId"] in connections


def test_the_life_of_a_run(sandbox, start, read):
    sandbox.script(DAILY, duration_seconds=9, queue_seconds=1)
    run_id = start(body={"variables": {"day": "2025-03-27"}, "environmentId": "env_prod"})
    run = read(run_id)
    assert (run["status"], run["startedAt"], run["error"], run["metrics"]["rowsRead"]) == ("queued", None, None, 0)
    assert run["trigger"] == {"type": "manual", "scheduleId": None}
    sandbox.advance(5)
    run, nodes = read(run_id), read(run_id, "/nodes")["nodes"]
    assert (run["status"], run["finishedAt"], run["durationSeconds"]) == ("running", None, None)
    assert [node["status"] for node in nodes] == ["succeeded", "running", "queued"]
    assert [node["finishedAt"] is None for node in nodes] == [False, True, True]
    sandbox.advance(5)
    run, nodes = read(run_id), read(run_id, "/nodes")["nodes"]
    assert (run["status"], run["durationSeconds"]) == ("succeeded", 9)
    assert [node["status"] for node in nodes] == ["succeeded"] * 3
    rows = run["metrics"]["rowsWritten"]
    assert rows > 0
    assert [node["metrics"] for node in nodes] == [
        {"rowsOut": rows},
        {"rowsIn": rows, "rowsOut": rows},
        {"rowsIn": rows},
    ]
    seen = sandbox.run(run_id)
    assert (seen["variables"], seen["environment_id"]) == ({"day": "2025-03-27"}, "env_prod")
    assert [step["status"] for step in seen["history"]] == ["queued", "running", "succeeded"]
    assert sandbox.runs_started(DAILY) == sandbox.runs_started() == 1


def test_what_is_sent_is_checked_first(call, sandbox):
    for body in ({"variables": []}, {"environmentId": ""}, {"environmentId": 5}, b"[", []):
        assert call.post(f"/api/pipelines/{DAILY}/run", body)[0] == 400
    assert sandbox.runs_started() == 0


def test_a_failed_run_names_its_node(sandbox, start, read):
    run_id = start("pl_mainframe_claims")
    sandbox.advance(60)
    assert read(run_id)["error"]["code"] == "source_authentication_failed"
    assert [node["status"] for node in read(run_id, "/nodes")["nodes"]] == ["failed", "canceled"]
    last = read(run_id, "/logs")["lines"][-1]
    assert (last["level"], last["nodeId"]) == ("error", "n_source")
    assert read(run_id)["metrics"]["rowsWritten"] == 0


def test_scripts_of_a_pipeline(sandbox, start, read):
    sandbox.script(DAILY, sequence=[{"outcome": "failed", "failed_node": "n_join"}, {"outcome": "cancelled"}, {}])
    ends = []
    for _ in range(3):
        run_id = start()
        sandbox.advance(60)
        nodes = [node["status"] for node in read(run_id, "/nodes")["nodes"]]
        ends.append((read(run_id)["status"], nodes))
    assert ends == [
        ("failed", ["succeeded", "failed", "canceled"]),
        ("canceled", ["succeeded", "succeeded", "canceled"]),
        ("succeeded", ["succeeded"] * 3),
    ]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("pl_daily_revenu", {}, "did you mean pl_daily_revenue"),
        (DAILY, {"failed_node": "n_jion"}, "did you mean n_join"),
        (DAILY, {"sequence": [{"failed_node": "x"}]}, "has no node 'x'"),
        (DAILY, {"kind": "sync"}, "never starts a sync"),
        ("conn_hr_people", {"kind": "run"}, "never starts a run"),
    ],
)
def test_a_script_that_could_strike_nothing_is_refused(sandbox, target, options, message):
    with pytest.raises(ValueError, match=message):
        sandbox.script(target, "failed", **options)


def test_a_script_for_all_runs_leaves_syncs_alone(sandbox, call, start, read):
    sandbox.script("*", "failed", kind="run")
    run_id = start("pl_crm_accounts")
    _, job = call.sync("conn_hr_people")
    sandbox.advance(60)
    assert (read(run_id)["status"], call.job(job["id"])["status"]) == ("failed", "succeeded")


def test_cancelling_is_cooperative(sandbox, call, start, read):
    run_id = start()
    sandbox.advance(1)
    for _ in range(2):
        status, answer = call.call("DELETE", f"/api/runs/{run_id}")
        assert (status, answer["status"]) == (200, "cancel_requested")
    # Only the answer to the cancel knows that word; the run goes on until it has stopped.
    assert read(run_id)["status"] == "running"
    sandbox.advance(10)
    assert read(run_id)["status"] == "canceled"
    assert sandbox.run_cancels() == sandbox.run_cancels(DAILY) == sandbox.counts()["run_cancels"] == 1
    assert call.call("DELETE", f"/api/runs/{run_id}")[0] == 409
    sandbox.switch(ended_run_cancel="400")
    assert call.call("DELETE", f"/api/runs/{run_id}")[0] == 400
    assert call.call("DELETE", "/api/runs/run_none")[0] == 404


def test_a_run_that_was_cancelled_in_the_queue_never_starts(sandbox, call, start, read):
    sandbox.script(DAILY, queue_seconds=5)
    run_id = start()
    call.call("DELETE", f"/api/runs/{run_id}")
    sandbox.advance(60)
    run = read(run_id)
    assert (run["status"], run["startedAt"], run["durationSeconds"]) == ("canceled", None, None)
    assert read(run_id, "/logs")["lines"] == []


def test_a_cancel_that_comes_too_late(sandbox, call, start, read):
    sandbox.switch(cancel_outcome="succeeded")
    run_id = start()
    call.call("DELETE", f"/api/runs/{run_id}")
    sandbox.advance(60)
    assert read(run_id)["status"] == "succeeded"


def test_lists_and_their_filters(sandbox, call, start):
    first = start()
    sandbox.advance(86_400)
    second, third = start("pl_crm_accounts"), start()
    sandbox.advance(1)

    def ids(**query):
        status, answer = call.get("/api/runs", **query)
        assert status == 200, answer
        return [row["id"] for row in answer["data"]]

    assert ids() == [third, second, first]
    assert ids(pipelineId=DAILY) == [third, first]
    assert ids(status="succeeded") == [first]
    assert ids(status="running", pipelineId="pl_crm_accounts") == [second]
    assert ids(**{"from": "2026-03-02T00:00:00Z"}) == [third, second]
    assert ids(to="2026-03-02T00:00:00Z") == [first]
    assert ids(dateRange="2026-03-01..2026-03-01") == [first]
    assert ids(dateRange="2026-03-02T00:00:00Z..2026-03-03T00:00:00Z") == [third, second]
    for wrong in ("2026-03-01", "2026-02-30..2026-03-01", "a..b", "..", "2026-03-01.."):
        assert call.get("/api/runs", dateRange=wrong)[0] == 400
    assert call.get("/api/runs", status="cancelled")[0] == 400


def test_a_bound_leaves_out_what_is_still_queued(sandbox, call, start):
    sandbox.script(DAILY, queue_seconds=60)
    run_id = start()
    assert [row["id"] for row in call.get("/api/runs", status="queued")[1]["data"]] == [run_id]
    assert call.get("/api/runs", status="queued", **{"from": "2026-01-01T00:00:00Z"})[1]["data"] == []


def test_pages_of_runs(call, start):
    every = {start() for _ in range(7)}
    seen, cursor = [], None
    while True:
        _, answer = call.get("/api/runs", limit=3, cursor=cursor)
        seen += [row["id"] for row in answer["data"]]
        cursor = answer["meta"]["cursor"]
        if cursor is None:
            break
    assert len(seen) == 7
    assert set(seen) == every
    _, first = call.get("/api/runs", limit=3)
    assert call.get("/api/runs", limit=3, status="queued", cursor=first["meta"]["cursor"])[0] == 400


def test_a_stale_list_shows_runs_as_they_were(sandbox, call, start):
    sandbox.switch(list_staleness_seconds=10)
    run_id = start()
    assert call.get("/api/runs")[1]["data"] == []
    sandbox.advance(10.1)
    (row,) = call.get("/api/runs", status="queued")[1]["data"]
    assert (row["id"], row["status"], row["startedAt"], row["finishedAt"]) == (run_id, "queued", None, None)


def test_the_log_grows_and_can_be_followed(sandbox, call, start, read):
    sandbox.script(DAILY, duration_seconds=9, queue_seconds=0)
    run_id = start()
    sandbox.advance(4)
    part = read(run_id, "/logs")
    assert part["lines"][0]["message"] == "Started source.postgres"
    sandbox.advance(10)
    _, rest = call.get(f"/api/runs/{run_id}/logs", cursor=part["nextCursor"])
    whole = read(run_id, "/logs")["lines"]
    assert part["lines"] + rest["lines"] == whole
    assert len(whole) == 6
    _, of_sink = call.get(f"/api/runs/{run_id}/logs", nodeId="n_sink")
    assert {line["nodeId"] for line in of_sink["lines"]} == {"n_sink"}
    _, late = call.get(f"/api/runs/{run_id}/logs", since=whole[-1]["ts"])
    assert late["lines"] == whole[-1:]
    for wrong in ("x", "crs_run_other_0001", part["nextCursor"] + "x"):
        assert call.get(f"/api/runs/{run_id}/logs", cursor=wrong)[0] == 400


def test_a_log_as_text_or_as_an_address(sandbox, call, start):
    run_id = start()
    sandbox.advance(60)
    for switch, begin in (("text", b"2026-03-01T12:00"), ("url", b"https://")):
        sandbox.switch(run_logs=switch)
        reply = sandbox.handle("GET", f"/api/runs/{run_id}/logs", (), {"Authorization": f"Bearer {sandbox.api_key}"})
        assert reply.headers["content-type"].startswith("text/plain")
        assert reply.body.startswith(begin)


@pytest.mark.parametrize(("profile", "runs"), [("strict", 2), ("rich", 1)])
def test_a_key_means_nothing_to_the_start_of_a_run_unless_the_tenant_is_kind(make_sandbox, caller, profile, runs):
    sandbox = make_sandbox(profile)
    call = caller(sandbox)
    for _ in range(2):
        status, answer = call.post(f"/api/pipelines/{DAILY}/run", headers={"Idempotency-Key": "k"})
        assert status == 202
        sandbox.advance(60)
    assert sandbox.runs_started() == runs
    assert [entry.idempotency_key for entry in sandbox.journal] == ["k", "k"]
    if profile == "rich":
        assert answer["status"] == "succeeded"


def test_the_backends_dialect(make_sandbox, caller):
    sandbox = make_sandbox(dialect="vendor")
    call = caller(sandbox)
    body = {"parameters": {"a": 1}, "variables": {"b": 2}}
    _, started = call.post("/api/pipelines/pl_mainframe_claims/run", body)
    assert started.keys() == {"success", "message", "runId"}
    assert sandbox.run(started["runId"])["variables"] == {"a": 1}
    assert call.get(f"/api/runs/{started['runId']}")[1]["status"] == "running"
    sandbox.advance(60)
    _, run = call.get(f"/api/runs/{started['runId']}")
    assert (run["status"], run["recordsWritten"], run["errorMessage"][:9]) == ("failed", 0, "SQL30082N")
    assert {"id", "name", "status"} == call.get("/api/pipelines")[1][0].keys()
    assert call.get("/api/runs")[1]["data"][0].keys() == {"id", "pipelineId", "status", "startedAt", "endedAt"}


def test_scopes(make_sandbox, caller):
    call = caller(make_sandbox(api_keys={"reader": ["pipelines:read"]}))
    assert call.call("GET", "/api/runs", key="reader")[0] == 200
    assert call.call("POST", f"/api/pipelines/{DAILY}/run", key="reader")[0] == 403


def test_finish_and_forget(sandbox, call, start, read):
    sandbox.script(DAILY, "stuck")
    run_id, other = start(), start()
    sandbox.advance(1)
    assert call.call("POST", f"/sandbox/runs/{run_id}/finish", {"outcome": "succeeded"}, key=None)[1]["is_terminal"]
    assert [node["status"] for node in read(run_id, "/nodes")["nodes"]] == ["succeeded"] * 3
    sandbox.finish(other, "failed")
    assert read(other)["status"] == "failed"
    sandbox.forget(run_id)
    assert call.get(f"/api/runs/{run_id}")[0] == 404
    assert [row["id"] for row in call.get("/api/runs")[1]["data"]] == [other]
    assert [row["id"] for row in sandbox.runs(DAILY)] == [run_id, other]
    assert call.call("GET", "/sandbox/runs", key=None, pipeline_id="pl_crm_accounts")[1] == {"runs": []}


def test_faults_strike_the_runs_of_one_pipeline(sandbox, call, start):
    run_id = start()
    sandbox.fault("runs.get", "500", connection_id="pl_crm_accounts", times=None)
    assert call.get(f"/api/runs/{run_id}")[0] == 200
    sandbox.fault("runs.get", "500", connection_id=DAILY)
    assert call.get(f"/api/runs/{run_id}")[0] == 500


def test_an_empty_tenant_has_no_pipelines():
    assert Sandbox(seed_tenant=False).state()["pipelines"] == []
