"""An error that leaves the caller's run to nobody says so, so that whoever judges it tries again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.errors import PermissionDeniedError, retry_advice
from planasonix.runs import (
    MemoryLedger,
    Provenance,
    RunHandle,
    StagedProgress,
    SyncRequest,
    await_run,
    run_to_end,
    start_run,
    wait_for_progress,
    wait_for_run,
)
from planasonix.sandbox import Sandbox
from planasonix.watch import blocking, watched
from planasonix.watch.patience import Patience

KEY = "plnx_live_sandbox"
REQUEST = SyncRequest("conn_shop_orders")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Its job runs on, and nobody may read it; a wait gives up at the first refusal."""
    for module in (blocking, watched):
        monkeypatch.setattr(module, "Patience", partial(Patience, auth_grace_seconds=0.0))
    sandbox = Sandbox(speed=1)
    sandbox.script("conn_shop_orders", "stuck")
    for operation in ("jobs.get", "jobs.list"):
        sandbox.fault(operation, "error", status=403, times=99)
    return sandbox


def start(client: Planasonix, ledger: MemoryLedger) -> RunHandle:
    provenance = Provenance("airflow", "airflow_dag_d")
    handle = start_run(client, REQUEST, intent="mine", ledger=ledger, provenance=provenance).handle
    assert handle is not None
    return handle


def progress_of(handle: RunHandle) -> StagedProgress:
    return StagedProgress(active=(handle,), done=0, failed=(), to_do=0, ended=False)


def test_a_wait_that_gives_up(sandbox: Sandbox) -> None:
    with Planasonix(KEY, transport=sandbox.transport()) as client:
        handle = start(client, MemoryLedger())
        waits: list[Any] = [
            lambda: wait_for_run(client, handle),
            lambda: wait_for_progress(client, progress_of(handle), None, None),  # type: ignore[arg-type]
        ]
        for wait in waits:
            with pytest.raises(PermissionDeniedError) as caught:
                wait()
            advice = retry_advice(caught.value)
            assert caught.value.run_goes_on
            assert advice is not None
            assert advice.again


def test_a_wait_in_an_event_loop(sandbox: Sandbox) -> None:
    now = time.time()

    async def wait() -> None:
        async with AsyncPlanasonix(KEY, transport=sandbox.transport()) as client:
            await await_run(client, RunHandle("job", "job_1", "conn_shop_orders", True, now, now + 60, "mine"))

    with pytest.raises(PermissionDeniedError) as caught:
        asyncio.run(wait())
    assert caught.value.run_goes_on


def test_the_next_try_that_may_not_read_its_run_waits_for_it(sandbox: Sandbox) -> None:
    ledger = MemoryLedger()
    with Planasonix(KEY, transport=sandbox.transport()) as client:
        first = start(client, ledger)
        again = start(client, ledger)
    assert again == replace(first, reattached=True)


def test_a_start_that_is_refused_leaves_nothing(sandbox: Sandbox) -> None:
    sandbox.fault("connections.sync", "error", status=403)
    with Planasonix(KEY, transport=sandbox.transport()) as client, pytest.raises(PermissionDeniedError) as caught:
        start(client, MemoryLedger())
    assert not caught.value.run_goes_on


def test_a_call_that_cancels_its_run_leaves_nothing(sandbox: Sandbox) -> None:
    with Planasonix(KEY, transport=sandbox.transport()) as client, pytest.raises(PermissionDeniedError) as caught:
        run_to_end(client, REQUEST)
    assert not caught.value.run_goes_on
