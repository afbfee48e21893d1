"""The hooks of a flow whose run crashed in its own process: on the loop of an async flow, and beside a sync one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prefect import flow
from prefect.runtime import flow_run
from pydantic import SecretStr

from planasonix.sandbox import RunningSandbox, Sandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync, planasonix_hooks
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.ledger import ArtifactStore, records_of
from tests.prefect.conftest import CANARY_KEY


class Stop(BaseException):
    """What ends a process: Prefect calls the run crashed."""


def saved(sandbox: RunningSandbox) -> PlanasonixCredentials:
    block = PlanasonixCredentials(api_key=SecretStr(CANARY_KEY), base_url=sandbox.url)
    block.save("hooks", overwrite=True)
    return block


def sync_flow(block: PlanasonixCredentials) -> Callable[[], Any]:
    @flow
    def crashes() -> None:
        PlanasonixSync(credentials=block, connection_id="conn_shop_orders").trigger()
        raise Stop

    return planasonix_hooks(crashes)


def async_flow(block: PlanasonixCredentials) -> Callable[[], Any]:
    @flow
    async def crashes() -> None:
        await PlanasonixSync(credentials=block, connection_id="conn_shop_orders").atrigger()
        raise Stop

    hooked = planasonix_hooks(crashes)
    return lambda: asyncio.run(hooked())  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("made", [sync_flow, async_flow])
def test_what_a_crashed_flow_has_started_is_cancelled_with_its_saved_block(
    prefect_server: str, sandbox: RunningSandbox, made: Callable[[PlanasonixCredentials], Callable[[], Any]]
) -> None:
    sandbox.set_speed(0)
    run = made(saved(sandbox))
    with pytest.raises(Stop):
        run()
    assert sandbox.cancels() == 1


@pytest.mark.parametrize("made", [sync_flow, async_flow])
@pytest.mark.parametrize("how", ["unsaved", "deleted"])
def test_a_hook_without_a_key_says_so(
    prefect_server: str,
    sandbox: RunningSandbox,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[PlanasonixCredentials], Callable[[], Any]],
    how: str,
) -> None:
    sandbox.set_speed(0)
    monkeypatch.delenv("PLANASONIX_API_KEY", raising=False)
    if how == "unsaved":
        block = PlanasonixCredentials(api_key=SecretStr(CANARY_KEY), base_url=sandbox.url)
        told = "its credentials were not saved as a block, give planasonix_hooks(credentials=...)"
    else:
        block = saved(sandbox)
        PlanasonixCredentials.delete("hooks")
        told = "its saved block 'hooks' cannot be loaded. Cancel it by hand."
    run = made(block)
    with pytest.raises(Stop):
        run()
    assert sandbox.cancels() == 0
    assert told in caplog.text


@pytest.mark.parametrize("made", [sync_flow, async_flow])
def test_a_hook_takes_the_key_of_its_environment_where_no_block_was_saved(
    prefect_server: str,
    sandbox: RunningSandbox,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[PlanasonixCredentials], Callable[[], Any]],
) -> None:
    sandbox.set_speed(0)
    monkeypatch.setenv("PLANASONIX_API_KEY", CANARY_KEY)
    monkeypatch.setenv("PLANASONIX_BASE_URL", sandbox.url)
    run = made(PlanasonixCredentials(api_key=SecretStr(CANARY_KEY)))
    with pytest.raises(Stop):
        run()
    assert sandbox.cancels() == 1


def test_the_key_goes_to_no_address_that_an_artifact_names(
    prefect_server: str, sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.set_speed(0)
    block = saved(sandbox)

    @flow
    def crashes() -> None:
        PlanasonixSync(credentials=block, connection_id="conn_shop_orders").trigger()
        [entry] = records_of(prefect_client(), str(flow_run.id))
        ArtifactStore(prefect_client(), entry.owner).write(replace(entry, base_url=stranger.url))
        raise Stop

    with Sandbox().serve() as stranger, pytest.raises(Stop):
        planasonix_hooks(crashes)()
    assert stranger.journal == []
    assert sandbox.cancels() == 0
    assert "its credentials name another address by now" in caplog.text
