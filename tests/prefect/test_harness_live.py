"""The local Prefect itself: what the other live tests rely on, shown with plain flows."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.local import proc
from scripts.prefect_local import LocalPrefect
from scripts.prefect_local.leaks import files_with

FLOWS = {
    "plain.py": """
import os
import time
from prefect import flow, serve, suspend_flow_run, task
from prefect.artifacts import create_link_artifact
from prefect.events import emit_event


@flow
def fine(word: str = "none"):
    create_link_artifact("http://here/1", key="the-link")
    emit_event("plain.seen", resource={"prefect.resource.id": "plain.one"})
    print(os.getpid())
    return word


@task
def wait_long():
    time.sleep(600)


@flow(log_prints=True)
def stuck():
    print("stuck now")
    wait_long()


@flow(log_prints=True)
def sleeper():
    suspend_flow_run(key="one")
    print("awake")


@flow
def served():
    time.sleep(600)


if __name__ == "__main__":
    serve(served.to_deployment("by-serve"))
"""
}


@pytest.mark.live
@pytest.mark.scenario
def test_a_run_tells_what_it_did(local_prefect: LocalPrefect) -> None:
    deployment = local_prefect.deploy("plain.py:fine")
    run = local_prefect.start_run(deployment, {"word": "spoken"}, tags=["mine"])
    assert local_prefect.wait_run(run) == "Completed"
    assert local_prefect.run(run)["parameters"] == {"word": "spoken"}
    assert [one["id"] for one in local_prefect.runs(deployment_id=deployment, tags=["mine"])] == [run]
    [link] = local_prefect.artifacts(run, "the-")
    assert link["type"] == "markdown"
    assert "http://here/1" in link["data"]
    seen = local_prefect.wait_until(lambda: local_prefect.events("plain."), "the event", run_id=run)
    assert [event["event"] for event in seen] == ["plain.seen"]
    local_prefect.post_event("posted.said", {"prefect.resource.id": "posted.one"})
    local_prefect.wait_until(lambda: local_prefect.events("posted."), "the posted event")
    assert local_prefect.events("prefect.flow-run.Completed", flow_run_id=run)
    local_prefect.wait_until(lambda: "Finished in state" in local_prefect.log(run), "the end of the log", run_id=run)


@pytest.mark.live
@pytest.mark.scenario
def test_a_cancelled_run_ends_with_its_process(local_prefect: LocalPrefect) -> None:
    run = local_prefect.start_run(local_prefect.deploy("plain.py:stuck"))
    local_prefect.wait_until(lambda: "stuck now" in local_prefect.log(run), "the flow", 120, run)
    pid = local_prefect.flow_process(run)
    assert local_prefect.cancel(run) == "ACCEPT"
    assert local_prefect.wait_run(run) == "Cancelled"
    proc.wait_gone(pid, 30)
    assert local_prefect.retry(run) == "ACCEPT"
    local_prefect.wait_run(run, "Running")
    again = local_prefect.flow_process(run)
    local_prefect.kill(again)
    assert local_prefect.wait_run(run) == "Crashed"


@pytest.mark.live
@pytest.mark.scenario
def test_a_suspended_run_has_no_process_and_survives_its_worker(local_prefect: LocalPrefect) -> None:
    run = local_prefect.start_run(local_prefect.deploy("plain.py:sleeper"))
    local_prefect.wait_run(run, "Suspended")
    local_prefect.wait_no_process(run)
    [worker] = local_prefect.workers
    local_prefect.lose_machine(worker)
    assert not worker.alive
    assert local_prefect.resume(run) == "ACCEPT"
    worker.start()
    assert local_prefect.wait_run(run) == "Completed"
    local_prefect.wait_until(lambda: "awake" in local_prefect.log(run), "the log of the second half", run_id=run)
    states = local_prefect.states(run)
    assert states.index("Suspended") < states.index("Resuming") < states.index("Completed")


@pytest.mark.live
@pytest.mark.scenario
def test_serve_ends_its_runs_as_a_redeploy_does(local_prefect: LocalPrefect) -> None:
    serving = local_prefect.serve("plain.py")
    deployment = local_prefect.wait_deployed("served/by-serve")
    run = local_prefect.start_run(deployment)
    local_prefect.wait_run(run, "Running")
    pid = local_prefect.flow_process(run)
    serving.terminate(60)
    assert local_prefect.wait_run(run) == "Cancelled"
    proc.wait_gone(pid, 30)


@pytest.mark.live
@pytest.mark.scenario
def test_nothing_is_left_when_the_owner_dies() -> None:
    source = (
        "import sys, time\n"
        "from scripts.prefect_local import LocalPrefect\n"
        "with LocalPrefect(workers=0) as prefect:\n"
        "    print(prefect.home, flush=True)\n"
        "    time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    home = Path(owner.stdout.readline().strip())
    assert home.is_dir()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    _wait_until_gone(home)


def test_a_key_is_found_plainly_in_rows_and_in_pickles(tmp_path: Path) -> None:
    key = "plnx_live_" + "k" * 20
    (tmp_path / "plain.txt").write_text(f"...{key}...")
    pickled = base64.encodebytes(pickle.dumps({"a": "b" * 99, "k": key})).decode()
    (tmp_path / "result").write_text(json.dumps({"result": pickled}))
    with sqlite3.connect(tmp_path / "rows.db") as rows:
        rows.execute("create table t (x text)")
        rows.execute("insert into t values (?)", (f"x{'y' * 9000}{key}",))
    rows.close()
    (tmp_path / "clean.txt").write_text("plnx_live_ is only a prefix")
    assert [path.name for path in files_with(tmp_path, key)] == ["plain.txt", "result", "rows.db"]


def _wait_until_gone(home: Path) -> None:
    deadline = time.monotonic() + 60
    while home.exists():
        assert time.monotonic() < deadline, f"{home} is still there"
        time.sleep(0.2)
