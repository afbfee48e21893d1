"""What a call does once it cannot go on: bounded, whatever is slow, and nobody else's job is touched."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow

from planasonix.errors import ConfigurationError, PlanasonixError, WaitTimeoutError
from planasonix.runs import RunHandle, SyncRequest
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync, RunOptions, wish_ledger
from prefect_planasonix import loop as loop_module
from prefect_planasonix import settling as settling_module
from prefect_planasonix.attempt import Attempt
from prefect_planasonix.deferred import run_deferred
from prefect_planasonix.ledger import ArtifactStore
from prefect_planasonix.owner import RunOwner
from prefect_planasonix.state_watch import StateWatch
from prefect_planasonix.tasks import start_sync, wait_for_run
from prefect_planasonix.termination import SeenState

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.timeout(180)]
ORDERS = "conn_shop_orders"


@pytest.fixture
def box(sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    sandbox.set_speed(50)
    yield sandbox
    sandbox.clear_faults()


def credentials_of(box: RunningSandbox) -> PlanasonixCredentials:
    return PlanasonixCredentials(api_key=box.api_key, base_url=box.url)  # pyright: ignore


def cancels(box: RunningSandbox) -> int:
    return sum(1 for call in box.journal if call.path.endswith("/cancel"))


# --- one bound of time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", [RunOwner(flow_run_id=str(uuid4())), RunOwner()], ids=["in a flow", "outside"])
def test_all_that_follows_an_interruption_shares_one_bound(owner: RunOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that gets no answer, a state that cannot be read, a cancel that hangs: each may take its whole time."""
    monkeypatch.setattr(settling_module, "SETTLE_SECONDS", settling_module._LAST_SECONDS + 1.5)
    monkeypatch.setattr(settling_module, "START_SECONDS", 0.7)
    attempt = Attempt(PlanasonixCredentials(api_key="plnx_live_x"), RunOptions())  # pyright: ignore
    said: list[str] = []
    attempt.log = lambda level, text: said.append(text)
    away, interrupted = threading.Event(), threading.Event()

    class Away(StateWatch):
        def _read(self) -> SeenState:
            away.wait(30)
            raise OSError

    async def call() -> float:
        settling = settling_module.Settling(attempt, Away(owner))

        async def settle(state: SeenState | None) -> None:
            await settling.verdict(owner, state)
            await settling.in_thread(lambda: away.wait(30))

        call = asyncio.ensure_future(
            settling.around(settling.unbroken(asyncio.sleep(30), interrupted.set), settle),
        )
        await asyncio.sleep(0.1)
        call.cancel()
        began = time.monotonic()
        await asyncio.wait([call])
        assert call.cancelled()
        assert settling.left() == 0.0
        took = time.monotonic() - began
        away.set()
        return took

    took = asyncio.run(call())
    assert interrupted.is_set()
    assert 1.0 < took < 1.5 + 5.0
    assert ["could not be settled in time" in text for text in said] == [True]


def test_the_bound_is_less_than_the_shared_loop_and_prefect_give() -> None:
    attempt = Attempt(PlanasonixCredentials(api_key="plnx_live_x"))  # pyright: ignore
    settling = settling_module.Settling(attempt, StateWatch(RunOwner()))
    assert settling.left() < loop_module.SETTLE_SECONDS < 30.0


# --- notes ------------------------------------------------------------------------------------------------------------


def test_a_good_result_is_not_lost_for_a_prefect_that_is_away(
    box: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wish_ledger, "NOTE_SECONDS", 0.5)
    away = threading.Event()

    def hangs(*args: Any, **kwargs: Any) -> Any:
        away.wait(60)
        raise OSError("away")

    @flow
    def nightly() -> Any:
        run = PlanasonixSync(
            credentials=credentials_of(box), connection_id=ORDERS, poll_interval_seconds=0.3, artifacts=False
        ).trigger()
        monkeypatch.setattr(ArtifactStore, "entries", hangs)
        monkeypatch.setattr(ArtifactStore, "write", hangs)
        began = time.monotonic()
        outcome = run.wait_for_completion()  # pyright: ignore
        return outcome.status, time.monotonic() - began  # pyright: ignore

    try:
        status, seconds = nightly()
    finally:
        away.set()
    assert status == "succeeded"
    assert seconds < 20.0


# --- several for one suspension ---------------------------------------------------------------------------------------


def test_nothing_is_started_where_one_of_them_is_no_request(box: RunningSandbox) -> None:
    @flow
    def both() -> Any:
        return run_deferred(credentials_of(box), [SyncRequest(ORDERS), "conn_x"])  # pyright: ignore

    with pytest.raises(ConfigurationError, match=r"requests\[1\] is no request, but a str"):
        both()
    assert box.jobs_started() == 0


@pytest.mark.parametrize("wanted", [True, False])
def test_the_others_are_settled_before_a_failed_start_is_raised(wanted: bool, box: RunningSandbox) -> None:
    box.script(ORDERS, "stuck")

    @flow
    def both() -> Any:
        requests = [SyncRequest(ORDERS), SyncRequest("conn_does_not_exist")]
        return run_deferred(credentials_of(box), requests, poll_interval_seconds=0.3, cancel_on_cancellation=wanted)

    with pytest.raises(PlanasonixError) as raised:
        both()
    job = box.jobs(ORDERS)[-1]
    assert "connection conn_does_not_exist" in str(raised.value)
    assert f"{job['id']} {'was cancelled' if wanted else 'goes on'}" in str(raised.value)
    assert cancels(box) == (1 if wanted else 0)


@pytest.mark.scenario
def test_they_go_on_where_another_try_may_succeed(box: RunningSandbox) -> None:
    box.script(ORDERS, "stuck")
    box.fault("connections.sync", "error", status=503, times=None, connection_id="conn_crm_accounts")

    @flow
    def both() -> Any:
        return run_deferred(credentials_of(box), [SyncRequest(ORDERS), SyncRequest("conn_crm_accounts")])

    with pytest.raises(PlanasonixError, match="goes on"):
        both()
    assert cancels(box) == 0


# --- a job of somebody else's -----------------------------------------------------------------------------------------


def test_a_wait_in_another_flow_run_never_cancels_what_it_did_not_start(box: RunningSandbox) -> None:
    box.script(ORDERS, "stuck")
    credentials = credentials_of(box)
    handles: list[RunHandle] = []

    @flow
    def starter() -> Any:
        handles.append(start_sync(credentials, ORDERS, timeout_seconds=2.0))  # pyright: ignore

    @flow
    def waiter() -> Any:
        return wait_for_run(credentials, handles[0], poll_interval_seconds=0.3)  # pyright: ignore

    starter()
    with pytest.raises(WaitTimeoutError, match="goes on: it may be somebody else's"):
        waiter()
    assert cancels(box) == 0


def test_a_wait_in_the_flow_run_that_started_it_does(box: RunningSandbox) -> None:
    box.script(ORDERS, "stuck")
    credentials = credentials_of(box)

    @flow
    def both() -> Any:
        handle = start_sync(credentials, ORDERS, timeout_seconds=2.0)
        return wait_for_run(credentials, handle, poll_interval_seconds=0.3)  # pyright: ignore

    with pytest.raises(WaitTimeoutError, match="was cancelled"):
        both()
    assert cancels(box) == 1
