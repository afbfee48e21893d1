"""A key that is rotated in Airflow's connection while tasks wait, against a sandbox in this process."""

import asyncio
import json
import logging
from typing import Any

import pytest

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger
from planasonix.errors import AuthenticationError
from planasonix.runs import RunHandle
from planasonix.sandbox import Sandbox

OLD, NEW = "plnx_live_canary_old_8e2a", "plnx_live_canary_new_8e2a"


@pytest.fixture
def served():
    with Sandbox(api_keys=(NEW,), speed=20.0).serve() as running:
        yield running


@pytest.fixture
def connection(served, monkeypatch: pytest.MonkeyPatch):
    def define(key: str, host: str = served.url) -> None:
        values = {"conn_type": "planasonix", "host": host, "password": key}
        monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(values))

    define(OLD)
    return define


def test_a_client_on_a_worker_reads_the_connection_again(connection, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hook = PlanasonixHook()
    with hook.get_client() as client:
        connection(NEW)
        assert client.connections.get("conn_shop_orders").id == "conn_shop_orders"
    with hook.get_client() as later:
        assert later.config.api_key.reveal() == NEW
    assert OLD not in caplog.text
    assert NEW not in caplog.text


def test_a_key_for_another_host_is_not_sent_to_the_old_one(connection) -> None:
    with PlanasonixHook().get_client() as client:
        connection(NEW, "http://127.0.0.1:9")
        with pytest.raises(AuthenticationError):
            client.connections.get("conn_shop_orders")
        assert client.config.api_key.reveal() == OLD


def test_a_connection_that_cannot_be_read_leaves_the_refusal_as_it_is(connection) -> None:
    with PlanasonixHook().get_client() as client:
        connection("")
        with pytest.raises(AuthenticationError):
            client.connections.get("conn_shop_orders")


def test_a_trigger_that_waits_outlives_the_rotation(connection, served) -> None:
    async def wait() -> Any:
        connection(NEW)
        async with await PlanasonixHook().get_async_client() as client:
            job = await client.connections.sync("conn_shop_orders")
        connection(OLD)
        now = job.created_at.timestamp()
        handle = RunHandle("job", job.id, "conn_shop_orders", True, now, now + 3600, "intent")
        task = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
        trigger = PlanasonixRunTrigger(handle.to_dict(), task, "planasonix_default", 0.05)
        events = trigger.run()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        connection(NEW)
        return (await asyncio.wait_for(waiting, 60)).payload

    payload = asyncio.run(wait())
    assert payload["status"] == "succeeded"
    assert NEW not in json.dumps(payload)
