"""Every documented body of the emulated pages against what the sandbox really answers, row by row."""

import json
import re
from importlib.resources import files

import pytest

from planasonix.sandbox import Sandbox

SAMPLES = json.loads(files("planasonix.sandbox").joinpath("samples.json").read_text(encoding="utf-8"))
PAGES = ("orchestration-api", "introduction", "connections", "runs")
# Of the page of pipelines, what is needed to run one.
OF_PIPELINES = {("GET", "/api/pipelines"), ("POST", "/api/pipelines/{id}/run")}
OF_SETTINGS = {("GET", "/api/organization")}


def is_emulated(row):
    some = {"pipelines": OF_PIPELINES, "user-settings": OF_SETTINGS}.get(row["page"], ())
    return row["page"] in PAGES or (row["method"], row["path"]) in some


ROWS = [(index, row) for index, row in enumerate(SAMPLES) if is_emulated(row)]
CALLS = [(index, row) for index, row in ROWS if row["path"]]
SHAPES = [(index, row) for index, row in ROWS if not row["path"]]

# What the samples show with a value and the sandbox may show as null: not started yet, not scheduled, never delivered.
NULLABLE = {
    ("GET", "/api/v1/jobs"): {"data.0.started_at", "data.0.pipeline_id", "meta.page.cursor"},
    ("GET", "/api/v1/backfills"): {"meta.page.cursor"},
    ("GET", "/api/v1/jobs/{jobId}"): {"data.pipeline_id", "data.started_at"},
    ("GET", "/api/v1/webhooks/{id}"): {"data.last_delivery_at"},
    ("GET", "/api/runs"): {"meta.cursor"},
    ("GET", "/api/runs/{id}"): {"trigger.scheduleId"},
}


def ids(rows):
    return [f"{index}-{row['method']}-{row['path']}-{row['kind']}" for index, row in rows]


@pytest.fixture
def prepared(make_sandbox, caller):
    """A sandbox in which every documented body has something to show, and the ids that stand in the paths."""
    sandbox = make_sandbox(delivery_max_attempts=3, delivery_hosts=("api.internal.example.com",))
    call = caller(sandbox)
    warning = {"code": "column_type_widened", "message": "Column discount_pct was widened"}
    sandbox.script("conn_shop_orders", warnings=[warning], duration_seconds=10, queue_seconds=2)
    _, job = call.sync(body={"pipeline_id": "pl_01hqxyz"})
    _, backfill = call.backfill()
    _, hook = call.post(
        "/api/v1/webhooks", {"url": "http://127.0.0.1:9/hook", "events": ["job.succeeded", "job.failed"]}
    )
    sandbox.advance(5)
    params = {
        "connectionId": "conn_billing_stripe",
        "jobId": job["id"],
        "backfillId": backfill["id"],
        "id": hook["data"]["id"],
    }
    return call, params


def shape_differences(expected, actual, path="", nullable=frozenset()):
    """Where keys or JSON types differ. Null is a difference unless the sample says null or the path is nullable."""
    if expected is None or (actual is None and re.sub(r"\.\d+", ".0", path) in nullable):
        return []
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{path}: object expected, got {actual!r}"]
        found = [f"{path}.{key}: missing" for key in expected.keys() - actual.keys()]
        found += [f"{path}.{key}: not documented" for key in actual.keys() - expected.keys()]
        for key in expected.keys() & actual.keys():
            found += shape_differences(expected[key], actual[key], f"{path}.{key}".lstrip("."), nullable)
        return found
    if isinstance(expected, list):
        if not isinstance(actual, list) or (expected and not actual):
            return [f"{path}: a filled list expected, got {actual!r}"]
        found = []
        for index, item in enumerate(actual):
            if expected and isinstance(expected[0], dict):
                # A list may document several shapes of row; each row has to fit one of them.
                options = [shape_differences(each, item, f"{path}.{index}", nullable) for each in expected]
                found += min(options, key=len)
            elif expected and isinstance(expected[0], list):
                # A row of cells: any scalar, one per column.
                if not isinstance(item, list) or any(isinstance(cell, (dict, list)) for cell in item):
                    found.append(f"{path}.{index}: a row of scalars expected, got {item!r}")
            elif expected:
                found += shape_differences(expected[0], item, f"{path}.{index}", nullable)
        return found
    if isinstance(expected, bool) or isinstance(actual, bool):
        return [] if type(expected) is type(actual) else [f"{path}: {expected!r} against {actual!r}"]
    if isinstance(expected, (int, float)) and isinstance(actual, (int, float)):
        return []
    return [] if type(expected) is type(actual) else [f"{path}: {expected!r} against {actual!r}"]


def request_body(method, path):
    for row in SAMPLES:
        if (row["method"], row["path"], row["kind"]) == (method, path, "request"):
            return row["body"]
    return {
        ("POST", "/api/connections"): {
            "name": "staging_postgres",
            "type": "postgres",
            "credentialId": "cred_01hqabc",
            "config": {"host": "db.internal.acme.com", "port": 5432, "database": "staging", "sslMode": "require"},
        },
        ("POST", "/api/connections/test"): {"type": "postgres", "config": {"host": "db"}},
        ("POST", "/api/connections/test-query"): {"connectionId": "conn_analytics_wh", "sql": "SELECT 1"},
        ("POST", "/api/connections/databricks/discover"): {"connectionId": "conn_lakehouse_dbx"},
    }.get((method, path))


def answer(prepared, method, path):
    call, params = prepared
    query = {}
    if path.startswith("/api/connections/{id}"):
        params = params | {"id": "conn_marketing_lake" if path.endswith("files") else "conn_analytics_wh"}
        if path.endswith(("columns", "preview")):
            query = {"table": "fct_orders"}
        if method == "DELETE":
            params = params | {"id": "conn_hr_people"}
    if path.startswith("/api/pipelines"):
        params = params | {"id": "pl_02hqabc"}
    if path.startswith("/api/runs"):
        params = params | {"id": call.post("/api/pipelines/pl_02hqabc/run")[1]["runId"]}
    if path.endswith("/results") or (path.startswith("/api/runs") and method == "GET"):
        call.sandbox.advance(60)
    if path.endswith("/deliveries"):
        _failed_and_delivered(call, params["id"])
    for name, value in params.items():
        path = path.replace(f"{{{name}}}", value)
    return call.call(method, path, request_body(method, _template(path, params)) if method != "GET" else None, **query)


def _template(path, params):
    for name, value in params.items():
        path = path.replace(value, f"{{{name}}}")
    return path


def _failed_and_delivered(call, hook_id):
    """One delivery that arrived and one that failed for good, without a network."""
    deliveries = call.sandbox._state.deliveries
    for http_status, error in ((200, None), (503, "connection reset by peer")):
        call.post(f"/api/v1/webhooks/{hook_id}/test")
        for _ in range(3 if error else 1):
            for shipment in deliveries.take_due():
                deliveries.record(shipment, http_status, error)
            call.sandbox.advance(30)


@pytest.mark.parametrize("row", [row for _, row in CALLS], ids=ids(CALLS))
def test_documented_row(prepared, row):
    status, body = answer(prepared, row["method"], row["path"])
    assert 200 <= status < 300, body
    if row["kind"] == "request":
        return
    if row["status"] is not None:
        assert status == row["status"]
    nullable = NULLABLE.get((row["method"], row["path"]), frozenset())
    expected = dict(row["body"])
    if "config" in expected:
        # The keys inside `config` belong to the connector.
        assert isinstance(body["config"], dict)
        expected["config"], body["config"] = {}, {}
    assert shape_differences(expected, body, nullable=nullable) == []
    if "rows" in body:
        assert {len(cells) for cells in body["rows"]} == {len(body["columns"])}


@pytest.mark.parametrize("row", [row for _, row in SHAPES], ids=[str(index) for index, _ in SHAPES])
def test_documented_envelope(prepared, row):
    call, params = prepared
    if "error" in row["body"]:
        status, body = call.post("/api/v1/connections/conn_hr_people/backfill", {"end_at": "2025-03-01T00:00:00Z"})
        assert status == 400
        assert shape_differences(row["body"], body) == []
        assert body["error"]["code"] == row["body"]["error"]["code"]
        assert body["error"]["details"][0] == {"field": "start_at", "issue": "blank"}
    else:
        # The orchestration routes document `data` as the object itself, without `type` and `attributes` around it.
        _, body = call.get(f"/api/v1/jobs/{params['jobId']}")
        assert list(row["body"]) == list(body) == ["data"]
        assert row["body"]["data"]["attributes"]
        assert "attributes" not in body["data"]


def test_no_row_is_left_out():
    assert len(CALLS) + len(SHAPES) == sum(row["page"] in PAGES for row in SAMPLES) + len(OF_PIPELINES | OF_SETTINGS)
    assert {row["page"] for _, row in ROWS} == {*PAGES, "pipelines", "user-settings"}


def test_shape_differences_can_tell():
    expected = {"a": 1, "b": [{"c": "x"}], "d": None}
    assert shape_differences(expected, {"a": 2, "b": [{"c": "y"}], "d": 3}) == []
    assert shape_differences(expected, {"a": "2", "b": [{"c": "y"}], "d": 3})
    assert shape_differences(expected, {"a": 2, "b": [{"c": "y", "e": 1}], "d": 3})
    assert shape_differences(expected, {"a": 2, "b": [], "d": 3})
    assert shape_differences(expected, {"a": 2, "b": [{"c": "y"}]})
    assert shape_differences(expected, {"a": None, "b": [{"c": "y"}], "d": None})


def test_package_data_is_the_whole_documentation():
    assert len(SAMPLES) == 124
    assert Sandbox().handle("GET", "/api/v1/jobs").status == 401
