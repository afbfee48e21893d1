"""A sandbox in this process, somebody who starts jobs in it, and a task's context."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from planasonix import Planasonix
from planasonix.sandbox import RunningSandbox, Sandbox
from tests.airflow.sensors.parts import KEY, ORDERS, Context


@pytest.fixture(scope="module")
def served() -> Iterator[RunningSandbox]:
    with Sandbox(api_keys=(KEY,)).serve() as running:
        yield running


@pytest.fixture
def sandbox(served: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    served.reset()
    served.script(ORDERS, "stuck")
    extra = json.dumps({"job_url_template": "https://app.example/{kind}s/{id}"})
    connection = {"conn_type": "planasonix", "host": served.url, "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(connection))
    return served


@pytest.fixture
def somebody(sandbox: RunningSandbox) -> Iterator[Planasonix]:
    """Who starts jobs without Airflow."""
    with Planasonix(KEY, sandbox.url) as client:
        yield client


@pytest.fixture
def context() -> Context:
    return Context()
