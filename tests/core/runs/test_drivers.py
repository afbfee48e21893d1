"""Both drivers read and cancel a run of each kind through the client's part for that kind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.runs import (
    MemoryLedger,
    Outcome,
    PipelineRunRequest,
    Provenance,
    RunHandle,
    aoutcome_of,
    astart_run,
    outcome_of,
    start_run,
)
from planasonix.runs.cancel import cancel
from planasonix.runs.drivers import aperform, perform
from planasonix.runs.effects import Get, RunView, Steps
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox, VirtualClock
from planasonix.watch import Kind

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CONNECTION, PIPELINE = "conn_shop_orders", "pl_daily_revenue"


@pytest.fixture
def sandbox() -> Sandbox:
    """Its clock stands: what was started goes on, what was cancelled is on its way to its end."""
    return Sandbox(clock=VirtualClock.manual(NOW))


def start(sandbox: Sandbox, kind: Kind) -> str:
    with Planasonix(DEFAULT_API_KEY, transport=sandbox.transport()) as client:
        match kind:
            case "job":
                return client.connections.sync(CONNECTION).id
            case "backfill":
                return client.connections.backfill(CONNECTION, start_at=datetime(2026, 1, 1, tzinfo=UTC), end_at=NOW).id
            case "run":
                return client.pipelines.run(PIPELINE).id


def read(kind: Kind, run_id: str) -> Steps[RunView]:
    run: RunView = yield Get(kind, run_id)
    return run


@pytest.fixture(params=["sync", "async"])
def carry_out(request: pytest.FixtureRequest, sandbox: Sandbox) -> Any:
    def blocking(steps: Steps[Any]) -> Any:
        with Planasonix(DEFAULT_API_KEY, transport=sandbox.transport()) as client:
            return perform(client, steps)

    async def awaited(steps: Steps[Any]) -> Any:
        async with AsyncPlanasonix(DEFAULT_API_KEY, transport=sandbox.transport()) as client:
            return await aperform(client, steps)

    return blocking if request.param == "sync" else lambda steps: asyncio.run(awaited(steps))


@pytest.mark.parametrize("way", ["sync", "async"])
def test_an_end_that_was_just_read_is_not_read_again(sandbox: Sandbox, way: str) -> None:
    with Planasonix(DEFAULT_API_KEY, transport=sandbox.transport()) as client:
        job = client.connections.sync(CONNECTION)
        handle = RunHandle("job", job.id, CONNECTION, owned=True, created_at=0.0, deadline_at=1.0, intent="intent")
        ended = job.model_copy(update={"status": "succeeded"})
        blocking = outcome_of(client, handle, ended=ended) if way == "sync" else None

    async def awaited() -> Outcome:
        async with AsyncPlanasonix(DEFAULT_API_KEY, transport=sandbox.transport()) as client:
            return await aoutcome_of(client, handle, ended=ended)

    outcome = blocking or asyncio.run(awaited())
    assert (outcome.id, outcome.status, sandbox.calls("jobs.get")) == (job.id, "succeeded", 0)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_start_is_sent_as_the_clients_settings_have_it(sandbox: Sandbox, way: str) -> None:
    settings: Any = {"environment": "env_of_the_client", "run_variables_field": "parameters"}
    options: Any = {"intent": "intent", "ledger": MemoryLedger(), "provenance": Provenance("test", "a test")}
    request = PipelineRunRequest(PIPELINE, variables={"day": 1})

    async def awaited() -> Any:
        async with AsyncPlanasonix(DEFAULT_API_KEY, transport=sandbox.transport(), **settings) as client:
            return await astart_run(client, request, **options)

    if way == "async":
        assert asyncio.run(awaited()).how == "started"
    else:
        with Planasonix(DEFAULT_API_KEY, transport=sandbox.transport(), **settings) as client:
            assert start_run(client, request, **options).how == "started"
    assert sandbox.journal[-1].body == {"environmentId": "env_of_the_client", "parameters": {"day": 1}}


@pytest.mark.parametrize(
    ("kind", "reads", "cancels"),
    [
        ("job", "jobs.get", "jobs.cancel"),
        ("backfill", "backfills.get", "jobs.cancel"),
        ("run", "runs.get", "runs.cancel"),
    ],
)
def test_each_kind_is_read_and_cancelled_as_what_it_is(
    sandbox: Sandbox, carry_out: Any, kind: Kind, reads: str, cancels: str
) -> None:
    run_id = start(sandbox, kind)
    run = carry_out(read(kind, run_id))
    assert (run.id, run.phase) == (run_id, "active")
    assert sandbox.calls(reads) == 1
    carry_out(cancel(kind, run_id, patience_seconds=0))
    assert sandbox.calls(cancels) >= 1
    assert sandbox.cancels() + sandbox.run_cancels() >= 1
    sandbox.advance(60)
    assert carry_out(read(kind, run_id)).phase == "cancelled"


def test_after_warming_up_reading_the_rows_of_any_kind_builds_nothing() -> None:
    program = (
        "from planasonix.runs.warm_up import warm_up\n"
        "warm_up()\n"
        "from planasonix.models import Backfill, Job, PipelineRun, base\n"
        "built = base._list_of.cache_info().misses\n"
        "for model in (Backfill, Job, PipelineRun):\n"
        "    model.read_many([])\n"
        "assert base._list_of.cache_info().misses == built == 3\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
