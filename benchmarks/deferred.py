"""Many deferred tasks of one DAG in one real triggerer: what they cost the API, and what they do to its event loop.

A real Airflow with its default triggerer (capacity 1,000) on SQLite runs one mapped sync operator.
Every task starts a job on a worker and defers; once all of them wait, the jobs are ended, some of them badly, and every
task is resumed on a worker to report its end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from scripts.airflow_local import LocalAirflow, Run
from scripts.airflow_local.settings import Intervals
from scripts.airflow_local.statsd import StatsdCapture
from scripts.local.sandbox import SandboxProcess

TASKS = 1_000
INTERVAL_SECONDS = 5.0
STEADY_SECONDS = 30.0
ENDS_A_SECOND = 40
"""Jobs do not all end in one moment; a tenant that ended a thousand in half a minute would be a busy one."""

EVERY_WHICH_FAILS = 20
CONNECTION = "conn_shop_orders"
BLOCKED_LINE = "async thread was blocked"

DAG = """
from airflow.sdk import DAG
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

with DAG("many", schedule=None, max_active_tasks=64) as dag:
    PlanasonixSyncOperator.partial(
        task_id="sync", deferrable=True, poll_interval_seconds={interval}, timeout_seconds=7200
    ).expand(connection_id=[{connection!r}] * {tasks})
"""

EXECUTOR = Path(__file__).with_name("one_process_executor.py")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run showed.

    calls_per_wait: lists and reads of jobs for each finished wait; what a worker reads to report an end counts as its
    outcome. steady_lists: first pages of lists in `STEADY_SECONDS` in which all tasks waited; steady_reads: reads of
    single jobs in the same time. late_seconds: from each job's end to the first read that shows it, sorted. wrong: the
    tasks whose state does not agree with their job.
    """

    tasks: int
    jobs: int
    calls_per_wait: float
    steady_lists: int
    steady_reads: int
    late_seconds: list[float]
    blocked: int
    metrics: int
    blocked_lines: list[str]
    mib_before: float
    mib_while_waiting: float
    seconds_to_defer: float
    seconds_to_end: float
    states: dict[str, int]
    wrong: list[str]

    def late_at(self, share: float) -> float:
        return self.late_seconds[min(len(self.late_seconds) - 1, int(len(self.late_seconds) * share))]


def in_a_triggerer() -> Iterator[Figure]:
    """The whole thousand; a smaller one is a test."""
    found = measure(TASKS)
    what = f"{found.tasks:,} deferred tasks in one triggerer at {INTERVAL_SECONDS:g} s"
    yield Figure(f"{what}: status calls a finished wait", f"{found.calls_per_wait:.2f}", gate="≤ 2.5")
    yield Figure(f"{what}: `triggers.blocked_main_thread`", f"{found.blocked}", gate="≤ 0")
    yield Figure(f"{what}: tasks whose state is not their job's", f"{len(found.wrong)}", gate="≤ 0")
    ticks = STEADY_SECONDS / INTERVAL_SECONDS
    yield Figure(f"{what}: lists begun a tick, all tasks together", f"{found.steady_lists / ticks:.2f}", gate="≤ 1.2")
    yield Figure(f"{what}: seen late, p99", f"{found.late_at(0.99):.1f} s")
    grown = found.mib_while_waiting - found.mib_before
    memory = f"{found.mib_while_waiting:.0f} MiB ({grown * 1024 / found.tasks:.0f} KiB a task)"
    yield Figure(f"{what}: memory of the triggerer's two processes", memory)
    yield Figure(f"{what}: until all of them were deferred", f"{found.seconds_to_defer:.0f} s")
    yield Figure(f"{what}: from the first job's end to the last task's", f"{found.seconds_to_end:.0f} s")


def measure(tasks: int, *, parallelism: int = 4, timeout_seconds: float = 5400.0) -> Measured:
    """Run so many tasks in an Airflow of their own. Raises AirflowTimeout when they do not get through."""
    key = f"plnx_live_canary_{secrets.token_hex(16)}"
    port = _free_port()
    connection = {"conn_type": "planasonix", "host": f"http://127.0.0.1:{port}", "password": key}
    with tempfile.TemporaryDirectory(prefix="deferred-") as logs, StatsdCapture() as statsd:
        airflow = LocalAirflow(
            connections={"planasonix_default": connection},
            environment_variables=statsd.environment
            | {"AIRFLOW__CORE__EXECUTOR": "one_process_executor.OneProcessExecutor"},
            # No worker beats its heart, and none dies.
            intervals=Intervals(task_heartbeat_timeout=600),
            parallelism=parallelism,
        )
        (airflow.home / "config").mkdir()
        shutil.copy(EXECUTOR, airflow.home / "config")
        with SandboxProcess(port, key, Path(logs)) as sandbox, contextlib.ExitStack() as ends:
            ends.callback(airflow.stop)
            airflow.start(timeout_seconds=600)
            _favour(airflow)
            sandbox.control("PATCH", "switches", {"busy": "parallel"})
            sandbox.control("PUT", f"connections/{CONNECTION}/script", {"outcome": "stuck", "queue_seconds": 0})
            found = _run(airflow, sandbox, statsd, tasks, timeout_seconds)
            leaks = airflow.files_with(key)
            if leaks:
                raise AssertionError(f"the API key stands in {leaks}")
            return found


def _run(
    airflow: LocalAirflow, sandbox: SandboxProcess, statsd: StatsdCapture, tasks: int, timeout_seconds: float
) -> Measured:
    before = _mib(airflow)
    source = DAG.format(interval=INTERVAL_SECONDS, connection=CONNECTION, tasks=tasks)
    airflow.add_dag("many.py", source, timeout_seconds=300)
    began = time.monotonic()
    run = airflow.trigger("many")
    _wait(airflow, run, {"deferred": tasks}, timeout_seconds)
    deferred = time.monotonic()
    airflow.wait_until(lambda: _claimed(airflow) == tasks, "the triggerer to take all of them", 120)
    steady_lists, steady_reads = _steady(sandbox)
    waiting = _mib(airflow)

    ending = time.monotonic()
    ended_at = _end_all(sandbox)
    airflow.wait_run(run, timeout_seconds=timeout_seconds)
    ended = time.monotonic()

    jobs = {job["id"]: job for job in sandbox.control("GET", "jobs")["jobs"]}
    reads, outcomes = _reads(sandbox)
    calls = _calls(sandbox, "jobs.list") + sum(map(len, reads.values())) - outcomes
    lines = airflow.triggerer.log_path.read_text(errors="replace").splitlines()
    metrics = statsd.count("triggers.running") + statsd.count("triggerer_heartbeat")
    if not metrics:
        raise RuntimeError("no metric of the triggerer came: is `statsd` installed where Airflow is?")
    return Measured(
        tasks=tasks,
        jobs=len(jobs),
        calls_per_wait=calls / tasks,
        steady_lists=steady_lists,
        steady_reads=steady_reads,
        late_seconds=sorted(_first_after(reads[job_id], at) - at for job_id, at in ended_at.items()),
        blocked=statsd.count("triggers.blocked_main_thread"),
        metrics=metrics,
        blocked_lines=[line for line in lines if BLOCKED_LINE in line],
        mib_before=before,
        mib_while_waiting=waiting,
        seconds_to_defer=deferred - began,
        seconds_to_end=ended - ending,
        states=_states(airflow, run),
        wrong=_wrong(airflow, run, jobs),
    )


def _wait(airflow: LocalAirflow, run: Run, wanted: dict[str, int], timeout_seconds: float) -> None:
    def reached() -> bool:
        time.sleep(0.5)
        states = _states(airflow, run)
        if bad := {state for state in states if state in ("failed", "upstream_failed")}:
            raise AssertionError(f"tasks are {bad}: {states}\n{airflow.dump(run)[:20_000]}")
        return states == wanted

    airflow.wait_until(reached, f"the tasks to be {wanted}", timeout_seconds)


def _states(airflow: LocalAirflow, run: Run) -> dict[str, int]:
    rows = airflow.database.query(
        "SELECT state, count(*) AS n FROM task_instance WHERE dag_id = ? AND run_id = ? GROUP BY state",
        run.dag_id,
        run.run_id,
    )
    return {str(row["state"]): row["n"] for row in rows}


def _claimed(airflow: LocalAirflow) -> int:
    return airflow.database.query("SELECT count(*) AS n FROM trigger WHERE triggerer_id IS NOT NULL")[0]["n"]


def _steady(sandbox: SandboxProcess) -> tuple[int, int]:
    """Lists begun and jobs read while everybody waits and nothing ends."""
    # What was claimed last has its first look behind it then.
    time.sleep(3 * INTERVAL_SECONDS)
    since = _last(sandbox)
    time.sleep(STEADY_SECONDS)
    entries = sandbox.control("GET", f"journal?since_seq={since}")["entries"]
    lists = [entry for entry in entries if entry["operation"] == "jobs.list"]
    # A sweep may list each active status; one of them tells the sweeps apart.
    begun = [tuple(sorted(map(tuple, entry["query"]))) for entry in lists if not _names(entry) & {"cursor"}]
    by_status: dict[str, int] = defaultdict(int)
    for query in begun:
        by_status[dict(query).get("status", "")] += 1
    return max(by_status.values(), default=0), sum(entry["operation"] == "jobs.get" for entry in entries)


def _names(entry: dict[str, Any]) -> set[str]:
    return {name for name, _ in entry["query"]}


def _last(sandbox: SandboxProcess) -> int:
    return max((entry["seq"] for entry in sandbox.control("GET", "journal?operation=jobs.list")["entries"]), default=0)


def _calls(sandbox: SandboxProcess, operation: str) -> int:
    return sandbox.control("GET", "counts")["calls_by_operation"].get(operation, 0)


def _end_all(sandbox: SandboxProcess) -> dict[str, float]:
    """End every job, some of them badly; when, by the same clock as the journal's."""
    ended_at: dict[str, float] = {}
    began = time.monotonic()
    for number, job in enumerate(sandbox.control("GET", "jobs")["jobs"]):
        time.sleep(max(0.0, began + number / ENDS_A_SECOND - time.monotonic()))
        outcome = "failed" if number % EVERY_WHICH_FAILS == 0 else "succeeded"
        sandbox.control("POST", f"jobs/{job['id']}/finish", {"outcome": outcome})
        ended_at[job["id"]] = time.time()
    return ended_at


def _reads(sandbox: SandboxProcess) -> tuple[dict[str, list[float]], int]:
    """When each job was read, and how many of these reads were a worker's, who reads results next."""
    reads: dict[str, list[float]] = defaultdict(list)
    outcomes = 0
    for entry in sandbox.control("GET", "journal")["entries"]:
        if entry["operation"] == "jobs.get":
            job_id = entry["path"].rpartition("/")[2]
            reads[job_id].append(datetime.fromisoformat(entry["real_at"]).timestamp())
        outcomes += entry["operation"] == "jobs.results"
    return reads, outcomes


def _first_after(times: list[float], at: float) -> float:
    # The journal writes milliseconds, and the call that ended the job was answered a moment after its end.
    return next((one for one in sorted(times) if one >= at - 0.01), float("inf"))


def _wrong(airflow: LocalAirflow, run: Run, jobs: dict[str, Any]) -> list[str]:
    """Tasks whose state is not what the job of their own ledger says."""
    wanted = {"succeeded": "success", "failed": "failed"}
    ledgers = {
        index: _job_id(airflow.database.task_state_store(run, "sync", index))
        for index in (row.map_index for row in airflow.database.tasks(run))
    }
    twice = [job_id for job_id, group in itertools.groupby(sorted(ledgers.values())) if len(list(group)) > 1]
    wrong = [f"{job_id} has several tasks" for job_id in twice]
    for row in airflow.database.tasks(run):
        job = jobs.get(ledgers[row.map_index])
        if job is None or wanted.get(job["status"]) != row.state:
            wrong.append(f"{row.map_index} is {row.state}, its job {job and job['status']}")
    return wrong


def _job_id(store: dict[str, Any]) -> str:
    entry = store.get("planasonix")
    record = entry.get("record") if isinstance(entry, dict) else None
    return str((record or {}).get("run_id"))


def _favour(airflow: LocalAirflow) -> None:
    """Let the triggerer's processes have a core when they want one, as on a machine of their own.

    The metric counts what the loop waits for, a processor that the workers of this machine took included. Where this
    is not allowed the figures say more of the machine.
    """
    for process in airflow.triggerer.processes:
        with contextlib.suppress(OSError):
            # Where the kernel groups processes by session, a nice value counts within the group alone.
            Path(f"/proc/{process.pid}/autogroup").write_text("-15")
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, int(thread.name), -15)


def _mib(airflow: LocalAirflow) -> float:
    """Proportional memory of the triggerer's processes: what they share counts once."""
    return sum(_pss_kib(process.pid) for process in airflow.triggerer.processes) / 1024


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"no Pss of {pid}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
