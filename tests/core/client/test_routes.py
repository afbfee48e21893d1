"""The route table, against the models, the façade and the served OpenAPI document."""

from __future__ import annotations

import re

import pytest
import yaml

from planasonix import AsyncPlanasonix, Planasonix, models
from planasonix.client.routes import DEFAULT_PREFIXES, ROUTES
from planasonix.sandbox import Sandbox


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_each_route_has_its_models_and_its_method(route):
    for name in (route.request, route.response):
        assert name is None or getattr(models, name)
    assert route.family in DEFAULT_PREFIXES
    assert "facts §" in route.source
    for client in (Planasonix("k"), AsyncPlanasonix("k")):
        target = client
        for part in route.operation.split("."):
            target = getattr(target, part)
        assert callable(target)


def test_only_starts_and_creations_are_keyed_and_only_posts():
    keyed = {route.operation for route in ROUTES.values() if route.keyed}
    assert all(ROUTES[operation].method == "POST" for operation in keyed)
    assert {"connections.sync", "connections.backfill"} <= keyed
    assert {route.operation for route in ROUTES.values() if route.repeat == "read"} == {
        route.operation for route in ROUTES.values() if route.method == "GET"
    }


def test_every_published_route_is_served():
    reply = Sandbox().handle("GET", "/api/v1/openapi.yaml", [], {"authorization": "Bearer plnx_live_sandbox"}, b"")
    document = yaml.safe_load(reply.body)
    served = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, methods in document["paths"].items()
        for method in methods
    }
    for route in ROUTES.values():
        path = DEFAULT_PREFIXES[route.family] + re.sub(r"\{\w+\}", "{}", route.path)
        assert ((route.method, path) in served) != route.assumed, route.operation
