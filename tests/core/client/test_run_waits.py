"""`runs.wait`, blocking and through the shared watcher."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from planasonix import AsyncPlanasonix
from planasonix.errors import RunCancelledError, RunFailedError, WaitTimeoutError
from planasonix.models import PipelineRun
from planasonix.sandbox import DEFAULT_API_KEY
from planasonix.watch import Interval, watch_shared

DAILY = "pl_daily_revenue"


@pytest.fixture
def client(make_client, sandbox):
    """Overrides the one over HTTP."""
    return make_client(DEFAULT_API_KEY, transport=sandbox.sandbox.transport())


def test_until_it_has_succeeded(client, sandbox):
    run = client.pipelines.run(DAILY)
    done = client.runs.wait(run.id, timeout=30)
    assert isinstance(done, PipelineRun)
    assert (done.id, done.status) == (run.id, "succeeded")


def test_a_run_that_failed(client, sandbox):
    run = client.pipelines.run("pl_mainframe_claims")
    sandbox.advance(60)
    with pytest.raises(RunFailedError, match="source_authentication_failed") as caught:
        client.runs.wait(run.id, timeout=timedelta(seconds=30))
    assert (caught.value.run_id, caught.value.kind) == (run.id, "run")


def test_a_run_that_was_cancelled(client, sandbox):
    run = client.pipelines.run(DAILY)
    client.runs.cancel(run.id)
    sandbox.advance(60)
    with pytest.raises(RunCancelledError):
        client.runs.wait(run.id, timeout=30)


def test_a_run_that_goes_on(client, sandbox):
    sandbox.script(DAILY, outcome="stuck")
    run = client.pipelines.run(DAILY)
    with pytest.raises(WaitTimeoutError):
        client.runs.wait(run.id, timeout=0.1)
    assert sandbox.run_cancels() == 0


def test_many_waits_share_the_lists_of_runs(sandbox):
    """Twelve runs that end together after many looks: the lists carry the looks, not a GET a run."""
    sandbox.script("*", kind="run", outcome="stuck")
    ends = ("succeeded", "failed", "cancelled")

    async def main():
        async with AsyncPlanasonix(DEFAULT_API_KEY, transport=sandbox.sandbox.transport()) as client:
            runs = [await client.pipelines.run(DAILY) for _ in range(12)]
            waits = [
                asyncio.create_task(
                    watch_shared(
                        client, "run", run.id, created_at=run.created_at, interval=Interval(fixed_seconds=0.05)
                    )
                )
                for run in runs
            ]
            while sandbox.calls("runs.list") < 20:  # noqa: ASYNC110 - the sandbox has no event to wait for
                await asyncio.sleep(0.01)
            looked_one_by_one = sandbox.calls("runs.get")
            for number, run in enumerate(runs):
                sandbox.finish(run.id, ends[number % 3])
            return looked_one_by_one, [run.phase for run in await asyncio.gather(*waits)]

    looked_one_by_one, phases = asyncio.run(asyncio.wait_for(main(), 30))
    assert phases == [ends[number % 3] for number in range(12)]
    assert looked_one_by_one <= 12
    assert sandbox.calls("runs.get") <= looked_one_by_one + 12 + 12
    queries = [dict(entry.query) for entry in sandbox.journal if entry.operation == "runs.list"]
    assert {query["status"] for query in queries} == {"queued", "running"}
    assert all(("from" in query) == (query["status"] == "running") for query in queries)
