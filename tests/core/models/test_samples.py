"""Every documented body of the pages that this layer covers, read and written back."""

import json
from collections import Counter
from pathlib import Path

import pytest

from planasonix.errors import InvalidRequestError, error_from_reply
from planasonix.models import (
    Backfill,
    BackfillRequestBody,
    Connection,
    ConnectionColumns,
    ConnectionFiles,
    ConnectionPreview,
    ConnectionTables,
    ConnectionTest,
    DatabricksCatalogs,
    DeletedConnection,
    Delivery,
    DeliveryReceipt,
    Job,
    JobResults,
    Organization,
    Pipeline,
    PipelineRun,
    QueryResult,
    Resource,
    RunLogs,
    RunNodes,
    SyncRequestBody,
    Webhook,
    WebhookCreateBody,
    WebhookSecret,
    WebhookTestBody,
    WebhookUpdateBody,
    WireModel,
    read_json,
    unwrap_one,
    unwrap_page,
)

PAGES = ("orchestration-api", "introduction", "connections", "runs")
# The rest of that page is about editing pipelines, for which there is no model.
OF_PIPELINES = {
    ("GET", "/api/pipelines", "response"),
    ("POST", "/api/pipelines", "response"),
    ("POST", "/api/pipelines/{id}/run", "response"),
}
# So is the rest of this one, which is about people and their settings.
OF_SETTINGS = {("GET", "/api/organization", "response")}
ROWS = [
    row
    for row in json.loads((Path(__file__).parents[1] / "data" / "samples.json").read_text())
    if row["page"] in PAGES
    or (row["page"] == "pipelines" and (row["method"], row["path"], row["kind"]) in OF_PIPELINES)
    or (row["page"] == "user-settings" and (row["method"], row["path"], row["kind"]) in OF_SETTINGS)
]


def one(model, key=None):
    def check(body):
        if key is not None:
            sent = body["data"][key]
        elif "data" in body:
            sent = body["data"]
        else:
            sent = body
        read = model.read(unwrap_one(read_json(json.dumps(body).encode()), key))
        assert read.to_wire() == sent
        return read

    return check


def page(model, *keys):
    def check(body):
        rows, cursor = unwrap_page(read_json(json.dumps(body).encode()), keys)
        read = model.read_many(rows)
        assert [item.to_wire() for item in read] == body["data"]
        meta = body.get("meta", {})
        assert cursor == meta.get("page", meta).get("cursor")
        return read

    return check


def request(model):
    def check(body):
        built = model(**body)
        assert built.to_wire() == body
        assert json.loads(built.to_bytes()) == body
        return built

    return check


def resource(body):
    """The generic form: kept as it is by `Resource`, its attributes lifted for every other model."""
    assert Resource.read(body["data"]).to_wire() == body["data"]
    flat = unwrap_one(body)
    assert flat == {"id": body["data"]["id"], "type": "pipeline", **body["data"]["attributes"]}


def error(body):
    sent = body["error"]
    read = error_from_reply(400, {}, json.dumps(body).encode())
    assert isinstance(read, InvalidRequestError)
    assert {"code": read.code, "message": read.message, "details": read.details} == sent


def started_run(body):
    """The one body that names a run's id otherwise than the run does, so that it stays among the extra fields too."""
    read = PipelineRun.read(unwrap_one(body, "run"))
    assert read.to_wire() == body
    assert read.id == body["runId"]
    assert unknown_fields(read) == {"runId"}


JOBS, BACKFILLS, HOOKS = "/api/v1/jobs", "/api/v1/backfills", "/api/v1/webhooks"
START, CONNECTIONS = "/api/v1/connections/{connectionId}", "/api/connections"
PIPELINES, RUNS = "/api/pipelines", "/api/runs"
# (page, method, path, kind) -> one check for each of its rows, in their order.
CHECKS = {
    ("orchestration-api", "POST", f"{START}/sync", "request"): [request(SyncRequestBody)],
    ("orchestration-api", "POST", f"{START}/sync", "response"): [one(Job, "job")],
    ("orchestration-api", "POST", f"{START}/backfill", "request"): [request(BackfillRequestBody)],
    ("orchestration-api", "POST", f"{START}/backfill", "response"): [one(Backfill, "backfill")],
    ("orchestration-api", "GET", BACKFILLS, "response"): [page(Backfill, "backfills")],
    ("orchestration-api", "GET", f"{BACKFILLS}/{{backfillId}}", "response"): [one(Backfill)],
    ("orchestration-api", "GET", JOBS, "response"): [page(Job, "jobs")],
    ("orchestration-api", "GET", f"{JOBS}/{{jobId}}", "response"): [one(Job)],
    ("orchestration-api", "GET", f"{JOBS}/{{jobId}}/results", "response"): [one(JobResults)],
    ("orchestration-api", "POST", f"{JOBS}/{{jobId}}/cancel", "response"): [one(Job)],
    ("orchestration-api", "GET", HOOKS, "response"): [page(Webhook, "webhooks")],
    ("orchestration-api", "POST", HOOKS, "request"): [request(WebhookCreateBody)],
    ("orchestration-api", "POST", HOOKS, "response"): [one(Webhook)],
    ("orchestration-api", "GET", f"{HOOKS}/{{id}}", "response"): [one(Webhook)],
    ("orchestration-api", "PUT", f"{HOOKS}/{{id}}", "request"): [request(WebhookUpdateBody)],
    ("orchestration-api", "PUT", f"{HOOKS}/{{id}}", "response"): [one(Webhook)],
    ("orchestration-api", "POST", f"{HOOKS}/{{id}}/rotate-secret", "response"): [one(WebhookSecret)],
    ("orchestration-api", "POST", f"{HOOKS}/{{id}}/test", "request"): [request(WebhookTestBody)],
    ("orchestration-api", "POST", f"{HOOKS}/{{id}}/test", "response"): [one(DeliveryReceipt)],
    ("orchestration-api", "GET", f"{HOOKS}/{{id}}/deliveries", "response"): [page(Delivery, "deliveries")],
    ("introduction", None, None, "response"): [resource, error],
    ("connections", "GET", CONNECTIONS, "response"): [page(Connection, "connections")],
    ("connections", "POST", CONNECTIONS, "response"): [one(Connection)],
    ("connections", "GET", f"{CONNECTIONS}/{{id}}", "response"): [one(Connection)],
    ("connections", "DELETE", f"{CONNECTIONS}/{{id}}", "response"): [one(DeletedConnection)],
    ("connections", "POST", f"{CONNECTIONS}/test", "response"): [one(ConnectionTest)],
    ("connections", "GET", f"{CONNECTIONS}/{{id}}/tables", "response"): [one(ConnectionTables)],
    ("connections", "GET", f"{CONNECTIONS}/{{id}}/columns", "response"): [one(ConnectionColumns)],
    ("connections", "GET", f"{CONNECTIONS}/{{id}}/preview", "response"): [one(ConnectionPreview)],
    ("connections", "GET", f"{CONNECTIONS}/{{id}}/files", "response"): [one(ConnectionFiles)],
    ("connections", "POST", f"{CONNECTIONS}/test-query", "response"): [one(QueryResult)],
    ("connections", "POST", f"{CONNECTIONS}/databricks/discover", "response"): [one(DatabricksCatalogs)],
    ("pipelines", "GET", PIPELINES, "response"): [page(Pipeline, "pipelines")],
    ("pipelines", "POST", PIPELINES, "response"): [one(Pipeline)],
    ("pipelines", "POST", f"{PIPELINES}/{{id}}/run", "response"): [started_run],
    ("runs", "GET", RUNS, "response"): [page(PipelineRun, "runs")],
    ("runs", "GET", f"{RUNS}/{{id}}", "response"): [one(PipelineRun)],
    ("runs", "GET", f"{RUNS}/{{id}}/nodes", "response"): [one(RunNodes)],
    ("runs", "GET", f"{RUNS}/{{id}}/logs", "response"): [one(RunLogs)],
    ("runs", "DELETE", f"{RUNS}/{{id}}", "response"): [one(PipelineRun)],
    ("user-settings", "GET", "/api/organization", "response"): [one(Organization)],
}


def key_of(row):
    return row["page"], row["method"], row["path"], row["kind"]


def test_the_table_names_every_documented_body_and_no_other():
    assert Counter(map(key_of, ROWS)) == Counter({key: len(checks) for key, checks in CHECKS.items()})


@pytest.mark.parametrize("key", CHECKS, ids=lambda key: " ".join(map(str, key)))
def test_a_documented_body_is_read_and_written_back_whole(key):
    bodies = [row["body"] for row in ROWS if key_of(row) == key]
    for body, check in zip(bodies, CHECKS[key], strict=True):
        read = check(body)
        # A field that only survived as an unknown one was not read.
        for model in read if isinstance(read, list) else [read]:
            if isinstance(model, WireModel):
                assert unknown_fields(model) == set()


def unknown_fields(model):
    found = set(model.__pydantic_extra__ or ())
    for name in type(model).model_fields:
        value = getattr(model, name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, WireModel):
                found |= {f"{name}.{inner}" for inner in unknown_fields(item)}
    return found
