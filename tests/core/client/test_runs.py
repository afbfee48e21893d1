"""Pipelines and their runs through the client, blocking and async: start, look, list, cancel."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from planasonix.engine import Reply
from planasonix.errors import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PlanasonixError,
    TransportError,
)
from planasonix.models import Pipeline, PipelineRun
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox

DAILY = "pl_daily_revenue"


@pytest.fixture(params=["http", "in-process"])
def client(request, make_client, sandbox):
    """Overrides the one over HTTP alone."""
    if request.param == "http":
        return make_client(DEFAULT_API_KEY, sandbox.url)
    return make_client(DEFAULT_API_KEY, transport=sandbox.sandbox.transport())


class Answering:
    """A server that answers every call with the next of these replies, and remembers what was asked."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.asked = []

    def send(self, request, timeout_seconds):
        self.asked.append(request)
        status, content_type, body = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return Reply(
            status, {"content-type": content_type}, body if isinstance(body, bytes) else json.dumps(body).encode()
        )

    async def asend(self, request, timeout_seconds):
        return self.send(request, timeout_seconds)


def test_pipelines(client):
    listed = {pipeline.id: pipeline for pipeline in client.pipelines.list()}
    assert isinstance(listed[DAILY], Pipeline)
    assert [p.id for p in client.pipelines.list(search="attribution", project_id="prj_01", folder_id="fld_03")] == [
        "pl_ads_attribution"
    ]
    assert [p.id for p in client.pipelines.list(status="draft")] == ["pl_telemetry_rollup"]
    assert len(client.pipelines.list_page().rows) == len(listed)
    graph = client.pipelines.get(DAILY)
    assert [node.type for node in graph.nodes] == ["source.postgres", "transform.join", "destination.snowflake"]
    assert [(edge.source, edge.target) for edge in graph.edges] == [("n_source", "n_join"), ("n_join", "n_sink")]
    with pytest.raises(NotFoundError):
        client.pipelines.get("pl_unknown")


def test_start_and_look(client, sandbox):
    run = client.pipelines.run(DAILY, variables={"day": "2025-03-27"}, environment_id="env_prod", idempotency_key="k-1")
    assert isinstance(run, PipelineRun)
    assert (run.pipeline_id, run.status, run.phase) == (DAILY, "queued", "active")
    assert run.created_at == run.queued_at
    seen = sandbox.run(run.id)
    assert (seen["variables"], seen["environment_id"]) == ({"day": "2025-03-27"}, "env_prod")
    assert sandbox.journal[-1].idempotency_key == "k-1"
    sandbox.advance(60)
    run = client.runs.get(run.id)
    assert (run.status, run.pipeline_name, run.trigger.type) == ("succeeded", "daily_revenue", "manual")
    assert run.rows_written == run.metrics.rows_read > 0
    nodes = client.runs.nodes(run.id)
    assert [(node.node_id, node.phase) for node in nodes.nodes] == [
        ("n_source", "succeeded"),
        ("n_join", "succeeded"),
        ("n_sink", "succeeded"),
    ]
    assert nodes.nodes[0].metrics == {"rowsOut": run.rows_written}


def test_the_clients_environment_is_the_default_one(make_client, sandbox):
    client = make_client(DEFAULT_API_KEY, sandbox.url, environment="env_staging")
    run = client.pipelines.run(DAILY)
    other = client.pipelines.run(DAILY, environment_id="env_prod")
    assert [sandbox.run(each.id)["environment_id"] for each in (run, other)] == ["env_staging", "env_prod"]
    assert sandbox.run(run.id)["variables"] is None


def test_lists_and_their_filters(client, sandbox):
    first = client.pipelines.run(DAILY)
    sandbox.advance(86_400)
    rest = [client.pipelines.run("pl_crm_accounts") for _ in range(4)]
    sandbox.advance(60)
    assert {run.id for run in client.runs.list(limit=2)} == {first.id, *(run.id for run in rest)}
    assert [run.id for run in client.runs.list(pipeline_id=DAILY, status="succeeded")] == [first.id]
    started = client.runs.get(first.id).started_at
    assert [run.id for run in client.runs.list(until=started + timedelta(hours=1))] == [first.id]
    assert {run.id for run in client.runs.list(since=started + timedelta(hours=1))} == {run.id for run in rest}
    assert [[name for name, _ in entry.query] for entry in sandbox.journal[-2:]] == [["to"], ["from"]]
    page = client.runs.list_page(limit=3)
    assert len(page.rows) == 3
    assert page.cursor
    row = page.rows[0]
    assert (row.trigger.type, row.metrics, row.duration_seconds) == (
        "manual",
        None,
        client.runs.get(row.id).duration_seconds,
    )


def test_logs(client, sandbox):
    sandbox.script(DAILY, "failed", failed_node="n_join")
    run = client.pipelines.run(DAILY)
    sandbox.advance(60)
    logs = client.runs.logs(run.id)
    assert [(line.node_id, line.level) for line in logs.lines] == [
        ("n_source", "info"),
        ("n_source", "info"),
        ("n_join", "info"),
        ("n_join", "error"),
    ]
    assert logs.lines[0].ts.tzinfo is UTC
    assert client.runs.logs(run.id, cursor=logs.next_cursor).lines == []
    assert {line.node_id for line in client.runs.logs(run.id, node_id="n_join").lines} == {"n_join"}
    assert client.runs.logs(run.id, since=logs.lines[-1].ts).lines[-1].level == "error"
    sandbox.switch(run_logs="text")
    text = client.runs.logs(run.id)
    assert len(text.lines) == 4
    assert "Started source.postgres" in text.lines[0].message
    sandbox.switch(run_logs="url")
    assert client.runs.logs(run.id).url.startswith("https://logs.")


@pytest.mark.parametrize(
    ("content_type", "body", "lines", "url"),
    [
        ("text/plain", b"one\n\ntwo \xff\n", ["one", "", "two \ufffd"], None),
        ("text/plain", b"", [], None),
        ("text/plain", b"see https://logs.example.com/1\n", ["see https://logs.example.com/1"], None),
        ("application/json", "https://logs.example.com/1", [], "https://logs.example.com/1"),
        ("application/json", {"data": {"url": "https://logs.example.com/1"}}, [], "https://logs.example.com/1"),
        ("application/json", {"lines": None, "nextCursor": None}, [], None),
    ],
)
def test_logs_in_other_forms(make_client, content_type, body, lines, url):
    logs = make_client("k", transport=Answering((200, content_type, body))).runs.logs("run_1")
    assert [line.message for line in logs.lines] == lines
    assert logs.url == url


def test_a_page_of_a_proxy_is_no_log(make_client):
    server = Answering((200, "text/html", b"<html>"))
    with pytest.raises(InvalidResponseError):
        make_client("k", transport=server, max_tries=1).runs.logs("run_1")


def test_cancel(client, sandbox):
    sandbox.set_speed(0)  # a cancelled run is soon at its end: between two calls no time may pass
    sandbox.script(DAILY, outcome="stuck")
    run = client.pipelines.run(DAILY)
    for _ in range(2):
        assert client.runs.cancel(run.id).phase == "cancelling"
    sandbox.advance(60)
    for switch in ("409", "400"):
        sandbox.switch(ended_run_cancel=switch)
        assert client.runs.cancel(run.id).status == "canceled"
    assert sandbox.run_cancels() == 1
    with pytest.raises(NotFoundError):
        client.runs.cancel("run_unknown")


@pytest.mark.parametrize(("status", "error"), [(409, ConflictError), (400, InvalidRequestError)])
def test_a_refused_cancel_of_a_run_that_goes_on_is_an_error(client, sandbox, status, error):
    sandbox.script(DAILY, outcome="stuck")
    run = client.pipelines.run(DAILY)
    sandbox.fault("runs.cancel", status=status)
    with pytest.raises(error):
        client.runs.cancel(run.id)
    assert sandbox.run_cancels() == 0


def test_a_lost_answer_to_a_cancel(client, sandbox):
    sandbox.script(DAILY, outcome="stuck")
    run = client.pipelines.run(DAILY)
    sandbox.fault("runs.cancel", "drop")
    assert client.runs.cancel(run.id).phase in ("cancelling", "cancelled")
    assert (sandbox.run_cancels(), sandbox.calls("runs.cancel")) == (1, 2)


@pytest.mark.parametrize("kind", ["drop", "cut", "timeout", "502"])
def test_a_start_whose_answer_is_lost_is_not_repeated(make_client, sandbox, kind):
    client = make_client(DEFAULT_API_KEY, transport=sandbox.sandbox.transport(), timeout_seconds=0.05)
    sandbox.fault("pipelines.run", kind, where="after")
    with pytest.raises(PlanasonixError) as caught:
        client.pipelines.run(DAILY, idempotency_key="k")
    assert caught.value.outcome == "unknown"
    assert (sandbox.runs_started(), sandbox.calls("pipelines.run")) == (1, 1)
    assert len(list(client.runs.list(pipeline_id=DAILY))) == 1


@pytest.mark.parametrize("kind", ["refused", "429"])
def test_a_start_that_certainly_did_nothing_is_repeated(make_client, sandbox, kind):
    client = make_client(DEFAULT_API_KEY, transport=sandbox.sandbox.transport())
    sandbox.fault("pipelines.run", kind, retry_after=0)
    run = client.pipelines.run(DAILY)
    assert (sandbox.runs_started(), sandbox.calls("pipelines.run")) == (1, 2)
    assert client.runs.get(run.id).pipeline_id == DAILY


@pytest.mark.parametrize("replay", ["saved", "live"])
def test_where_keys_are_said_to_be_honoured_a_start_is_repeated_under_the_same_one(make_client, sandbox, replay):
    sandbox.switch(run_idempotency="honoured", idempotency_replay=replay)
    client = make_client(DEFAULT_API_KEY, transport=sandbox.sandbox.transport(), run_idempotency="honoured")
    sandbox.fault("pipelines.run", "drop")
    run = client.pipelines.run(DAILY)
    assert (sandbox.runs_started(), sandbox.calls("pipelines.run")) == (1, 2)
    keys = {entry.idempotency_key for entry in sandbox.journal}
    assert len(keys) == 1
    assert run.id == sandbox.runs()[0]["id"]


@pytest.mark.parametrize("told", [{"idempotency": "honoured"}, {"run_idempotency": "ignored"}])
def test_where_keys_of_runs_are_not_said_to_be_honoured_no_start_is_repeated(make_client, sandbox, told):
    client = make_client(DEFAULT_API_KEY, transport=sandbox.sandbox.transport(), **told)
    sandbox.fault("pipelines.run", "drop")
    with pytest.raises(TransportError):
        client.pipelines.run(DAILY)
    assert (sandbox.runs_started(), sandbox.calls("pipelines.run")) == (1, 1)


@pytest.mark.parametrize("bad", ["", "  ", "a/b", "..", "../x", ".", "a\\b", "a\nb", None, 5])
def test_bad_ids_are_refused_before_any_call(client, sandbox, bad):
    calls = [
        lambda: client.pipelines.get(bad),
        lambda: client.pipelines.run(bad),
        lambda: client.runs.get(bad),
        lambda: client.runs.nodes(bad),
        lambda: client.runs.logs(bad),
        lambda: client.runs.cancel(bad),
        lambda: client.runs.wait(bad, timeout=1),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert caught.value.field.endswith("_id")
    assert sandbox.calls() == 0


def test_arguments_are_checked_first(client, sandbox, make_client):
    for arguments, field in (
        ({"variables": {"a": float("inf")}}, "variables"),
        ({"environment_id": ""}, "environment_id"),
        ({"idempotency_key": " k"}, "idempotency_key"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            client.pipelines.run(DAILY, **arguments)
        assert caught.value.field == field
    with pytest.raises(ConfigurationError, match="from"):
        list(client.runs.list(since=datetime(2025, 1, 1)))  # noqa: DTZ001
    with pytest.raises(ConfigurationError, match="run_variables_field"):
        make_client("k", run_variables_field="params")
    assert sandbox.calls() == 0


@pytest.mark.parametrize("bad", ["../../admin", "a/b", "run\n1"])
def test_a_run_id_that_could_lead_elsewhere_is_no_answer(make_client, bad):
    server = Answering((200, "application/json", {"runId": bad, "status": "queued"}))
    with pytest.raises(InvalidResponseError):
        make_client("k", transport=server).pipelines.run(DAILY)


def test_the_backends_dialect(make_client):
    sandbox = Sandbox("strict", speed=50.0, dialect="vendor")
    client = make_client(DEFAULT_API_KEY, transport=sandbox.transport(), run_variables_field="parameters")
    run = client.pipelines.run("pl_mainframe_claims", variables={"a": 1})
    assert sandbox.run(run.id)["variables"] == {"a": 1}
    assert run.phase == "active"
    good = client.pipelines.run(DAILY)
    sandbox.advance(60)
    ended = client.runs.get(run.id)
    assert (ended.phase, ended.error.text[:9], ended.rows_written) == ("failed", "SQL30082N", 0)
    assert client.runs.wait(good.id, timeout=10).rows_written > 0
    assert {each.id: each.phase for each in client.runs.list()} == {run.id: "failed", good.id: "succeeded"}
    assert len(list(client.pipelines.list())) == 8


def test_other_paths(make_client):
    server = Answering((200, "application/json", {"runId": "run_1"}))
    client = make_client(
        "k",
        transport=server,
        path_prefixes={"pipelines": "/v1/api"},
        routes={"pipelines.run": "POST /hooks/{pipeline_id}"},
    )
    client.runs.get("run_1")
    client.pipelines.run("pl_1")
    assert [request.path for request in server.asked] == ["/v1/api/runs/run_1", "/hooks/pl_1"]
