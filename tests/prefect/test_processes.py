"""Tasks that run in processes of their own: each has its wish, and a later try of the flow finds all of them."""

from __future__ import annotations

import os

import pytest
from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner

from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync

pytestmark = [pytest.mark.scenario, pytest.mark.usefixtures("prefect_server")]
ORDERS = "conn_shop_orders"
TRIES: list[list[str]] = []


@task
def load() -> str:
    # The processes inherit the environment; all else of a flow is pickled for them.
    credentials = PlanasonixCredentials(api_key=os.environ["BOX_KEY"], base_url=os.environ["BOX_URL"])  # pyright: ignore
    run = PlanasonixSync(credentials=credentials, connection_id=ORDERS, poll_interval_seconds=0.3).trigger()
    assert run is not None
    run.wait_for_completion()
    return run.id


@flow(retries=1, task_runner=ProcessPoolTaskRunner(max_workers=2))
def both() -> None:
    asked = [load.submit() for _ in range(2)]
    TRIES.append(sorted(each.result() for each in asked))
    if len(TRIES) == 1:
        raise OSError("the first try fails after its jobs")


@pytest.mark.timeout(240)
def test_identical_tasks_in_processes_have_a_job_each_which_the_next_try_finds(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_speed(20)
    sandbox.switch(busy="parallel")
    monkeypatch.setenv("BOX_KEY", sandbox.api_key)
    monkeypatch.setenv("BOX_URL", sandbox.url)
    TRIES.clear()
    try:
        both()
    finally:
        sandbox.switch(busy="409")
    assert len(set(TRIES[0])) == 2
    assert TRIES[0] == TRIES[1]
    assert sandbox.jobs_started(ORDERS) == 2
