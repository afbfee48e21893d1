"""The hook against a sandbox in this process."""

import asyncio
import json
import pickle
from typing import Any

import pytest

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.links import PlanasonixJobLink
from planasonix import AsyncPlanasonix, Planasonix
from planasonix.sandbox import Sandbox

KEY = "plnx_live_canary_8e2a"


@pytest.fixture(scope="module")
def served():
    with Sandbox(api_keys=(KEY,)).serve() as running:
        yield running


@pytest.fixture(autouse=True)
def _reset(served) -> None:
    served.reset()


@pytest.fixture
def connection(served, monkeypatch: pytest.MonkeyPatch):
    def define(**fields: Any) -> None:
        values = {"conn_type": "planasonix", "host": served.url, "password": KEY} | fields
        monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(values))

    define()
    return define


def test_the_clients_use_the_connection(connection) -> None:
    connection(extra=json.dumps({"organization_id": "org_1", "job_url_template": "https://app/{job_id}"}))
    hook = PlanasonixHook()
    assert hook.job_url_template == "https://app/{job_id}"
    with hook.get_conn() as client:
        assert isinstance(client, Planasonix)
        assert client.config.organization_id == "org_1"
        assert client.connections.get("conn_shop_orders").id == "conn_shop_orders"


def test_a_tenant_that_names_the_variables_of_a_run_otherwise(connection) -> None:
    connection(extra=json.dumps({"run_variables_field": "parameters"}))
    with PlanasonixHook().get_client() as client:
        assert client.config.run_variables_field == "parameters"


def test_options_go_before_the_connection(connection) -> None:
    connection(extra=json.dumps({"timeout_seconds": 9}))
    with PlanasonixHook().get_client(timeout_seconds=2.0) as client:
        assert client.config.timeout_seconds == 2.0


def test_the_async_client(connection) -> None:
    async def name() -> str:
        async with await PlanasonixHook().get_async_client() as client:
            assert isinstance(client, AsyncPlanasonix)
            return (await client.connections.get("conn_shop_orders")).id

    assert asyncio.run(name()) == "conn_shop_orders"


def test_the_key_shows_nowhere(connection) -> None:
    hook = PlanasonixHook()
    hook.get_client().close()
    assert repr(hook) == "PlanasonixHook('planasonix_default')"
    assert KEY.encode() not in pickle.dumps(hook)
    again = pickle.loads(pickle.dumps(hook))
    with again.get_client() as client:
        assert client.config.host == PlanasonixHook().get_client().config.host


def test_the_link_is_pushed_under_its_own_key() -> None:
    pushed: dict[str, str] = {}

    class Task:
        def xcom_push(self, key: str, value: str) -> None:
            pushed[key] = value

    PlanasonixJobLink.push({"ti": Task()}, None)
    assert pushed == {PlanasonixJobLink().xcom_key: ""}
    PlanasonixJobLink.push({"ti": Task()}, "https://app/job_1")
    assert pushed == {PlanasonixJobLink().xcom_key: "https://app/job_1"}
