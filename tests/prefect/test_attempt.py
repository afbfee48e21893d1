"""One wish, one job: retries, exits and failures in flows that run in this process."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from prefect import flow, task
from prefect.runtime import flow_run
from prefect.states import Cancelling

from planasonix.errors import RunCancelledError, RunFailedError
from planasonix.runs import SyncRequest
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync, RunOptions
from prefect_planasonix.attempt import Attempt
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.ledger import ArtifactStore, LedgerError, entries_since, records_of
from prefect_planasonix.loop import on_shared_loop
from prefect_planasonix.state_watch import FlowRunGivenUpError

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.timeout(180)]
ORDERS = "conn_shop_orders"


@pytest.fixture
def box(sandbox: RunningSandbox) -> RunningSandbox:
    sandbox.set_speed(50)
    return sandbox


def sync_of(box: RunningSandbox, connection_id: str = ORDERS, **options: Any) -> PlanasonixSync:
    credentials = PlanasonixCredentials(api_key=box.api_key, base_url=box.url)  # pyright: ignore
    options = {"poll_interval_seconds": 0.3, **options}
    return PlanasonixSync(credentials=credentials, connection_id=connection_id, **options)


def cancels(box: RunningSandbox) -> int:
    return sum(1 for call in box.journal if call.path.endswith("/cancel"))


def test_sync_and_async_flows_tasks_and_scripts_behave_alike(box: RunningSandbox) -> None:
    @flow
    def in_flow() -> Any:
        return sync_of(box).trigger().fetch_result()

    @task
    def work() -> Any:
        return sync_of(box).trigger().fetch_result()

    @flow
    def in_task() -> Any:
        return work.submit().result()

    @flow
    async def in_async_flow() -> Any:
        return await (await sync_of(box).atrigger()).afetch_result()

    ends = [
        in_flow(),
        in_task(),
        asyncio.run(in_async_flow()),  # pyright: ignore
        sync_of(box).trigger().fetch_result(),
    ]
    assert [end.status for end in ends] == ["succeeded"] * 4
    assert box.jobs_started() == 4


def test_the_job_says_who_started_it_and_the_ledger_which_it_was(box: RunningSandbox) -> None:
    @flow(name="nightly")
    def nightly(secret: str) -> str:
        assert sync_of(box).trigger().wait_for_completion()
        return str(flow_run.id)

    run_id = nightly("hidden-parameter")
    sent = next(call for call in box.journal if call.path.endswith("/sync"))
    metadata = (json.loads(sent.body) if isinstance(sent.body, str | bytes) else sent.body)["metadata"]
    assert metadata["orchestrator"] == "prefect"
    assert (metadata["flow_name"], metadata["flow_run_id"]) == ("nightly", run_id)
    assert metadata["link"].endswith(run_id)
    assert "hidden-parameter" not in json.dumps(metadata)
    (entry,) = records_of(prefect_client(), run_id)
    assert (entry.record.ended_as, entry.record.verdict, entry.waits) == ("succeeded", "succeeded", True)
    assert entry.handle is not None
    assert f"`{entry.handle.id}`" in entry.to_markdown()
    assert entry in list(entries_since(prefect_client(), None))


def test_task_and_flow_retries_find_the_job_again(box: RunningSandbox) -> None:
    tries: list[int] = []

    @task(retries=1)
    def load() -> str:
        run = sync_of(box).trigger()
        tries.append(1)
        if len(tries) < 3:
            raise OSError("the worker was cut off")
        run.wait_for_completion()
        return str(run.id)

    @flow(retries=1)
    def retried() -> str:
        return load.submit().result()

    retried()
    assert len(tries) == 3
    assert box.jobs_started() == 1


def test_a_job_that_failed_is_started_anew_by_a_retry(box: RunningSandbox) -> None:
    box.script(ORDERS, "failed")

    @flow(retries=1)
    def load() -> None:
        sync_of(box).trigger().wait_for_completion()

    with pytest.raises(RunFailedError):
        load()
    assert box.jobs_started() == 2


def test_a_job_that_somebody_cancelled_is_not(box: RunningSandbox) -> None:
    box.script(ORDERS, "stuck")

    @flow(retries=1)
    def load() -> None:
        run = sync_of(box).trigger()
        threading.Timer(0.5, run.cancel).start()
        run.wait_for_completion()

    with pytest.raises(RunCancelledError):
        load()
    assert box.jobs_started() == 1


def test_a_submitted_task_sees_that_its_run_is_cancelled(box: RunningSandbox) -> None:
    box.script(ORDERS, "stuck")

    @task(retries=2)
    def load() -> None:
        sync_of(box).trigger().wait_for_completion()

    @flow
    def cancelled() -> None:
        future = load.submit()
        deadline = time.monotonic() + 60
        while box.jobs_started() == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        prefect_client().set_flow_run_state(flow_run.id, Cancelling(), force=True)
        future.wait()

    began = time.monotonic()
    with suppress(Exception):  # how Prefect ends such a run is its own affair
        cancelled()
    assert time.monotonic() - began < 60
    assert (box.jobs_started(), cancels(box)) == (1, 1)


def test_a_flow_that_runs_out_of_time_takes_its_job_along(box: RunningSandbox) -> None:
    box.script(ORDERS, "stuck")

    @flow(timeout_seconds=4)
    def late() -> None:
        sync_of(box).trigger().wait_for_completion()

    with pytest.raises(TimeoutError):
        late()
    assert (box.jobs_started(), cancels(box)) == (1, 1)


def test_nothing_is_started_without_the_ledger(box: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise LedgerError("no")

    monkeypatch.setattr(ArtifactStore, "write", refuse)

    @flow
    def load() -> None:
        sync_of(box).trigger()

    with pytest.raises(LedgerError):
        load()
    assert box.jobs_started() == 0


def test_a_run_that_was_given_up_starts_nothing(box: RunningSandbox) -> None:
    @flow
    def gone() -> None:
        prefect_client().set_flow_run_state(flow_run.id, Cancelling(), force=True)
        sync_of(box).trigger()

    with pytest.raises(FlowRunGivenUpError):
        gone()
    assert box.jobs_started() == 0


def test_outside_any_run_an_interrupted_wait_takes_its_job_along(box: RunningSandbox) -> None:
    box.script(ORDERS, "stuck")
    sync = sync_of(box)

    async def main() -> None:
        run = await sync.atrigger()
        async with asyncio.timeout(1.5):
            await run.await_completion()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert cancels(box) == 1


def test_a_skipped_start_has_nothing_to_wait_for(box: RunningSandbox) -> None:
    box.script(ORDERS, "stuck")
    first = sync_of(box).trigger()
    run = sync_of(box, if_running="skip").trigger()
    assert (run.id, run.wait_for_completion(), run.fetch_result(), run.cancel()) == (None, None, None, None)
    first.cancel()


def test_attach_waits_for_a_job_that_it_does_not_own(box: RunningSandbox) -> None:
    started = sync_of(box).trigger()
    run = sync_of(box, expected_tables=["public.nowhere"]).attach(str(started.id))
    outcome = run.fetch_result()
    assert outcome is not None
    assert [table.name for table in outcome.tables if not table.reported] == ["public.nowhere"]
    assert run.handle is not None
    assert not run.handle.owned


def test_many_waits_share_list_pages(box: RunningSandbox) -> None:
    """While six jobs run, a round costs a list page or two (queued, running), and not a call for each of them."""
    box.set_speed(0)
    names = [each.id for each in _connections(box)][:6]
    credentials = PlanasonixCredentials(api_key=box.api_key, base_url=box.url)  # pyright: ignore
    options = RunOptions(artifacts=False, poll_interval_seconds=0.3)
    seen: list[tuple[int, int]] = []

    @task
    def load(name: str) -> Any:
        return on_shared_loop(Attempt(credentials, options).run, SyncRequest(name))

    def watch() -> None:
        deadline = time.monotonic() + 60
        while box.jobs_started() < len(names) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.0)
        lists, gets = box.calls("jobs.list"), box.calls("jobs.get")
        while box.calls("jobs.list") < lists + 20 and time.monotonic() < deadline:
            time.sleep(0.1)
        seen.append((box.calls("jobs.list") - lists, box.calls("jobs.get") - gets))
        box.set_speed(20)

    @flow
    def many() -> list[Any]:
        watcher = threading.Thread(target=watch)
        watcher.start()
        ends = [future.result() for future in load.map(names)]
        watcher.join()
        return ends

    ends = many()
    assert len({end.id for end in ends}) == len(names) == box.jobs_started()
    [(lists, gets)] = seen
    assert lists >= 20
    assert gets < lists / 2


def _connections(box: RunningSandbox) -> list[Any]:
    with sync_of(box).credentials.get_client() as client:
        return [each for each in client.connections.list() if each.id.startswith("conn_")]
