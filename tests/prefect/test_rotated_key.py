"""A key that is rotated while a run waits: the saved block is read again, and no other server sees its key."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from planasonix.errors import AuthenticationError, PlanasonixError
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials
from prefect_planasonix.clients import shared_client
from tests.prefect.conftest import CANARY_KEY

OLD = "plnx_live_0123456789abcdef0123456789abcdef"


def stale(sandbox: RunningSandbox, url: str | None = None) -> PlanasonixCredentials:
    """A block that a flow has loaded before its key was replaced."""
    PlanasonixCredentials(api_key=SecretStr(OLD), base_url=sandbox.url).save("rotated", overwrite=True)
    loaded = PlanasonixCredentials.load("rotated")
    PlanasonixCredentials(api_key=SecretStr(CANARY_KEY), base_url=url or sandbox.url).save("rotated", overwrite=True)
    assert isinstance(loaded, PlanasonixCredentials)
    return loaded


def test_a_client_in_use_goes_on_with_the_new_key(prefect_server: str, sandbox: RunningSandbox) -> None:
    assert shared_client(stale(sandbox)).connections.list()


def test_so_does_one_on_an_event_loop(prefect_server: str, sandbox: RunningSandbox) -> None:
    block = stale(sandbox)

    async def main() -> int:
        async with block.get_async_client() as client:
            return len([one async for one in client.connections.list()])

    assert asyncio.run(main()) > 0


def test_a_block_that_names_another_address_keeps_its_key(prefect_server: str, sandbox: RunningSandbox) -> None:
    block = stale(sandbox, "http://127.0.0.1:9")
    with block.get_client() as client, pytest.raises(PlanasonixError):
        client.connections.get("conn_shop_orders")


def test_a_block_that_was_not_saved_has_one_key(sandbox: RunningSandbox) -> None:
    block = PlanasonixCredentials(api_key=SecretStr(OLD), base_url=sandbox.url)
    with block.get_client() as client, pytest.raises(AuthenticationError):
        client.connections.get("conn_shop_orders")
