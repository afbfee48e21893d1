"""The OpenAPI document against the running sandbox, with every default check of schemathesis."""

import schemathesis
import yaml
from hypothesis import HealthCheck, settings

from planasonix.sandbox import DEFAULT_API_KEY, Sandbox
from planasonix.sandbox.core import ROUTES

HEADERS = {"Authorization": f"Bearer {DEFAULT_API_KEY}"}
# Connections are never busy here: a 409 by luck would hide what the checks look for.
SANDBOX = Sandbox(busy="parallel")
DOCUMENT = yaml.safe_load(SANDBOX.handle("GET", "/api/v1/openapi.yaml", (), HEADERS).body)
schema = schemathesis.openapi.from_dict(DOCUMENT)
schema.app = SANDBOX.asgi()


@schema.auth()
class KeyOfTheSandbox:
    def get(self, case, context):
        return DEFAULT_API_KEY

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


def make_meaningful(case):
    """What a schema cannot say: a cursor is the server's own, and a window runs forwards."""
    if case.query and isinstance(case.query.get("cursor"), str):
        case.query.pop("cursor")
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("start_at"), str) and isinstance(body.get("end_at"), str):
        start, end = sorted((body["start_at"], body["end_at"]))
        case.body = {**body, "start_at": start, "end_at": end if end != start else "9999-12-31T23:59:59Z"}


@schema.parametrize()
@settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_every_operation_keeps_its_contract(case):
    make_meaningful(case)
    case.call_and_validate()


def test_document_and_routes_are_the_same():
    documented = {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }
    assert documented == {(route.method, route.path) for route in ROUTES}


def test_document_is_served_as_yaml():
    reply = SANDBOX.handle("GET", "/api/v1/openapi.yaml", (), HEADERS)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/yaml")
