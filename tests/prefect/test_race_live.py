"""Two flow runs want one connection at once: each way of `if_running`, in real processes, judged by the journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect

pytestmark = [pytest.mark.live, pytest.mark.scenario]

FLOWS = {
    "flows.py": """
import os
from prefect import flow
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync

@flow
def load(if_running):
    credentials = PlanasonixCredentials(api_key=os.environ["PLANASONIX_API_KEY"])
    PlanasonixSync(
        credentials=credentials, connection_id="conn_shop_orders", if_running=if_running, poll_interval_seconds=0.5
    ).trigger().wait_for_completion()
"""
}


@pytest.fixture(scope="module")
def here(local_prefect: LocalPrefect) -> LocalPrefect:
    local_prefect.deploy("flows.py:load")
    return local_prefect


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> Iterator[SandboxProcess]:
    """A tenant whose jobs end when a test says so."""
    sandbox_process.control("PUT", "clock/speed", {"speed": 0})
    yield sandbox_process
    sandbox_process.control("PUT", "clock/speed", {"speed": 1})


def jobs(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    return sandbox.control("GET", "jobs")["jobs"]


def race(here: LocalPrefect, sandbox: SandboxProcess, if_running: str) -> list[str]:
    """Two runs that begin together; returned once both have come so far that one of them has the connection."""
    deployment = here.deployment_id("load/local")
    runs = [here.start_run(deployment, {"if_running": if_running}) for _ in range(2)]
    here.wait_until(lambda: jobs(sandbox), "a job", 120, runs[0])
    return runs


def finish(sandbox: SandboxProcess, job: dict[str, Any]) -> None:
    sandbox.control("POST", f"jobs/{job['id']}/finish", {"outcome": "succeeded"})


def test_who_waits_runs_its_own_job_afterwards(here: LocalPrefect, sandbox: SandboxProcess) -> None:
    runs = race(here, sandbox, "wait")
    here.wait_until(lambda: all("busy" in here.log(one) or own(here, one) for one in runs), "both runs to look", 120)
    [first] = jobs(sandbox)
    finish(sandbox, first)
    here.wait_until(lambda: len(jobs(sandbox)) == 2, "the second job", 120)
    finish(sandbox, jobs(sandbox)[1])
    assert [here.wait_run(one) for one in runs] == ["Completed"] * 2
    assert {named(here, one) for one in runs} == {job["id"] for job in jobs(sandbox)}
    assert len(jobs(sandbox)) == 2
    assert sandbox.control("GET", "counts")["cancels"] == 0


def test_who_attaches_shares_the_one_job(here: LocalPrefect, sandbox: SandboxProcess) -> None:
    runs = race(here, sandbox, "attach")
    here.wait_until(lambda: all(own(here, one) for one in runs), "both runs to know the job", 120)
    [job] = jobs(sandbox)
    finish(sandbox, job)
    assert [here.wait_run(one) for one in runs] == ["Completed"] * 2
    assert [named(here, one) for one in runs] == [job["id"]] * 2
    assert len(jobs(sandbox)) == 1
    assert sandbox.control("GET", "counts")["cancels"] == 0


def test_who_fails_names_the_job_that_is_in_its_way(here: LocalPrefect, sandbox: SandboxProcess) -> None:
    runs = race(here, sandbox, "fail")

    def failed() -> list[str]:
        return [one for one in runs if here.state_type(one) == "FAILED"]

    here.wait_until(failed, "one of them to fail", 120)
    [loser] = failed()
    [job] = jobs(sandbox)
    assert job["id"] in here.run(loser)["state"]["message"]
    finish(sandbox, job)
    [winner] = [one for one in runs if one != loser]
    assert here.wait_run(winner) == "Completed"
    assert len(jobs(sandbox)) == 1
    assert sandbox.control("GET", "counts")["cancels"] == 0


def own(here: LocalPrefect, flow_run_id: str) -> str | None:
    """The job that the run's ledger names, once it does."""
    found = here.artifacts(flow_run_id, "planasonix-ledger-")
    _, mark, rest = (found[-1]["data"] if found else "").partition("`job_")
    return f"job_{rest.partition('`')[0]}" if mark else None


def named(here: LocalPrefect, flow_run_id: str) -> str:
    return str(own(here, flow_run_id))
