"""The scenarios in Airflow: a DAG for each, in real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from scripts.airflow_local import LocalAirflow
from scripts.airflow_local import Run as DagRun
from scripts.local import proc
from scripts.local.sandbox import SandboxProcess
from tests.scenarios.driver import Placed, Run, Told
from tests.scenarios.scenario import Cleaner, Differs, Exit, Mode, Moment, Scenario, TaskEnd

TASK = "sync"
PATIENCE = 240.0
ENDS: dict[str | None, TaskEnd] = {"success": "succeeded", "failed": "failed", "skipped": "skipped"}
HEAD = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
"""
# The sentences with which each of them says that it cancelled.
SENTENCES: tuple[tuple[Cleaner, re.Pattern[str]], ...] = (
    ("next try", re.compile("of the earlier run of this task is still running: cancelling it first")),
    ("waiter", re.compile(r"the task is \w+: (job|backfill) \S+ was (cancelled \(it is|asked to stop)")),
    ("worker", re.compile(r"(Planasonix \w+ \S+|It) was (cancelled \(it is|asked to stop)")),
)
NEW_TRY: frozenset[Exit] = frozenset({"evict worker", "kill worker", "lose machine", "waiter crash"})


class AirflowDriver:
    """Drives one `LocalAirflow` whose connection `planasonix_default` names the sandbox."""

    name: ClassVar[str] = "Airflow"
    words: ClassVar[Mapping[str, str]] = {
        # Airflow 3 has no button that kills a task: marking its run as failed is what stops all of it.
        "user kill": "user kill (the run marked failed)",
        "worker evicted": "SIGTERM eviction",
        "worker killed": "SIGKILL worker",
        "again while running": "clear while running",
        "again while deferred": "clear while deferred",
        "again after success": "clear after success",
        "tool's timeout": "execution_timeout",
        "waiter crash": "trigger crash",
        "waiters killed": "triggerer kill -9",
        "waiters restarted": "triggerer restart",
        "waiters down during a kill": "triggerer down during a kill",
        "two waiters, one frozen": "two live triggerers, one frozen",
        "siblings": "mapped task",
        "waiter": "trigger",
    }
    not_applicable: ClassVar[Mapping[tuple[str, Mode], str]] = {}
    landing: ClassVar[frozenset[tuple[str, Mode]] | None] = None
    differs: ClassVar[Mapping[tuple[str, Mode], Differs]] = {}

    def __init__(self, airflow: LocalAirflow, sandbox: SandboxProcess) -> None:
        self.airflow = airflow
        self.sandbox = sandbox

    # --- tasks -----------------------------------------------------------------------------------------------------

    def install(self, placed: Sequence[Placed]) -> None:
        self.airflow.add_dag("scenarios.py", HEAD + "\n".join(map(_dag, placed)), timeout_seconds=PATIENCE)

    def start(self, placed: Placed) -> Run:
        return Run(placed, self.airflow.trigger(_dag_id(placed.scenario)), {"try": 1})

    def until(self, run: Run, moment: Moment, looked: Callable[[], bool]) -> None:
        if moment == "ended":
            # The run too: a task that is cleared while the scheduler ends its run stays cleared.
            self.airflow.wait_run(run.key, "success", timeout_seconds=PATIENCE)
        elif moment == "starting":
            self.airflow.task_process(run.key, TASK, timeout_seconds=PATIENCE)
            self.airflow.wait_until(lambda: self._sent(run), "the ledger to be written", PATIENCE, run.key)
        else:
            deferred = run.placed.scenario.mode == "deferred"
            for index in self._indices(run):
                state, number = "deferred" if deferred else "running", run.notes["try"]
                self.airflow.wait_task(
                    run.key, TASK, state, map_index=index, try_number=number, timeout_seconds=PATIENCE
                )
                if deferred:
                    # Looks do not tell whose they are: the trigger's own log says that it runs.
                    self.airflow.wait_until(lambda index=index: self._triggered(run, index), "a trigger", PATIENCE)
            self.airflow.wait_until(looked, "a look at the job", PATIENCE, run.key)

    # --- ways out --------------------------------------------------------------------------------------------------

    def leave(self, run: Run, way: Exit, again: Callable[[], None]) -> None:
        act: dict[str, Callable[[Run], None]] = {
            "user kill": lambda run: self.airflow.mark_run(run.key, "failed"),
            "evict worker": self._evict,
            "kill worker": lambda run: _ignore(self.airflow.kill_task(run.key, TASK, what="task")),
            "lose machine": lambda run: _ignore(self.airflow.kill_task(run.key, TASK, what="both")),
            "again while running": self._clear,
            "again while deferred": self._clear,
            "again after success": self._clear,
            "mark failed": lambda run: self._mark(run, "failed"),
            "mark success": lambda run: self._mark(run, "success"),
            "waiter crash": self._crash,
            "waiters killed": lambda run: self.airflow.triggerer.restart(),
            "waiters restarted": self._restart,
            "waiters down": self._give_up_while_down,
            "two waiters": self._freeze,
        }
        act[way](run)
        if way in NEW_TRY:
            run.notes["try"] = 2
        if run.placed.scenario.finish is not None and run.placed.scenario.wish.siblings == 1:
            again()

    def _evict(self, run: Run) -> None:
        os.kill(self.airflow.task_process(run.key, TASK), signal.SIGTERM)
        # Airflow lets the task go on after its `on_kill`: the end of its grace is what ends it.
        self.airflow.wait_until(
            lambda: "the worker was told to stop" in self.log(run), "the worker to notice", PATIENCE, run.key
        )
        self.airflow.kill_task(run.key, TASK, what="both")

    def _clear(self, run: Run) -> None:
        self.airflow.clear(run.key, TASK)

    def _mark(self, run: Run, state: str) -> None:
        self.airflow.mark(run.key, TASK, state, map_index=self._indices(run)[run.placed.sibling])

    def _crash(self, run: Run) -> None:
        """A release in which the trigger's class is gone: the next triggerer cannot load what is stored."""
        row = self.airflow.database.task(run.key, TASK)
        assert row is not None
        self.airflow.triggerer.kill()
        self.airflow.database.execute(
            "UPDATE trigger SET classpath = ? WHERE id = ?", "airflow_provider_planasonix.gone.Trigger", row.trigger_id
        )
        self.airflow.triggerer.start()

    def _restart(self, run: Run) -> None:
        self.airflow.triggerer.terminate()
        self.airflow.triggerer.start()

    def _give_up_while_down(self, run: Run) -> None:
        self.airflow.triggerer.kill()
        self._mark(run, "failed")
        self.airflow.wait_task(run.key, TASK, "failed")
        self.airflow.triggerer.start()
        self.airflow.wait_healthy("triggerer", timeout_seconds=PATIENCE)

    def _freeze(self, run: Run) -> None:
        """A frozen triggerer comes back, finds its trigger with another one, and is told to kill its own."""
        frozen = [process.pid for process in self.airflow.triggerer.processes]
        other = self.airflow.extra_triggerer()
        other.start()
        [before] = self.airflow.database.triggers()
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.airflow.wait_until(
                lambda: [row["triggerer_id"] for row in self.airflow.database.triggers()] != [before["triggerer_id"]],
                "the other triggerer to take over",
                PATIENCE,
            )
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        self.airflow.wait_until(
            lambda: "is left to the task's next try: the task is deferred" in self.log(run),
            "the frozen triggerer to be told that its trigger is gone",
            PATIENCE,
            run.key,
        )

    # --- reading back ----------------------------------------------------------------------------------------------

    def end(self, run: Run, tries: int) -> TaskEnd:
        index = self._indices(run)[run.placed.sibling]
        row = self.airflow.wait_task(run.key, TASK, map_index=index, try_number=tries, timeout_seconds=PATIENCE)
        end = ENDS[self.airflow.wait_run(run.key, timeout_seconds=PATIENCE)]
        if row.pid is not None:
            # A worker whose task was ended lives on for seconds, and might still call the API.
            proc.wait_gone(row.pid, PATIENCE)
        return end

    def tries(self, run: Run) -> int:
        row = self.airflow.database.task(run.key, TASK, self._indices(run)[run.placed.sibling])
        return row.try_number if row else 0

    def log(self, run: Run) -> str:
        return self.airflow.task_log(run.key, TASK, map_index=self._indices(run)[run.placed.sibling])

    def cleaners(self, run: Run) -> set[Cleaner]:
        log = self.log(run)
        # Airflow may close a trigger's own log while its `on_kill` is at work; the rest stands in the triggerer's.
        for triggerer in self.airflow.home.glob("logs/triggerer*.log"):
            lines = triggerer.read_text(errors="replace").splitlines()
            log += "\n".join(line for line in lines if f"dag_id={run.key.dag_id} " in line)
        return {who for who, sentence in SENTENCES if sentence.search(log)} | set(run.notes.get("cleaners", ()))

    def provenance(self, run: Run, sibling: int) -> dict[str, Any]:
        key: DagRun = run.key
        link = f"{self.airflow.url}/dags/{key.dag_id}/runs/{quote(key.run_id)}/tasks/{TASK}"
        found: dict[str, Any] = {
            "orchestrator": "airflow",
            "triggered_by": f"airflow_dag_{key.dag_id}",
            "dag_id": key.dag_id,
            "dag_run_id": key.run_id,
            "task_id": TASK,
            "link": link,
        }
        if run.placed.scenario.wish.siblings > 1:
            found |= {"map_index": sibling, "link": f"{link}/mapped/{sibling}"}
        return found

    def told(self, run: Run, sibling: int) -> Told | None:
        outcome = self._xcoms(run, sibling).get("return_value")
        if outcome is None:
            return None
        tables = {table["name"]: (table["rows_loaded"], table["checksum"]) for table in outcome["tables"]}
        return Told(outcome["id"], outcome["rows_loaded"], tables, outcome["link"])

    def shown_link(self, run: Run, sibling: int) -> str | None:
        return self._xcoms(run, sibling).get("planasonix_job_link")

    def abandon(self, run: Run) -> None:
        self.airflow.mark_run(run.key, "failed")

    def reconcile(self, run: Run) -> None:
        program = str(Path(sys.executable).with_name("planasonix"))
        environment = {
            **os.environ,
            "PLANASONIX_API_KEY": self.sandbox.api_key,
            "PLANASONIX_BASE_URL": self.sandbox.url,
            "PLANASONIX_AIRFLOW_URL": self.airflow.url,
        }
        command = [program, "reconcile", "--source", "airflow", "--grace", "0", "--apply", "--output", "json"]
        command += ["--option", f"dags={run.key.dag_id}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment)
        assert self.sandbox.api_key not in done.stdout + done.stderr
        assert done.returncode == 0, done.stdout + done.stderr
        if '"orphan"' in done.stdout:
            run.notes["cleaners"] = {"reconcile"}

    # --- details ---------------------------------------------------------------------------------------------------

    def _indices(self, run: Run) -> list[int]:
        siblings = run.placed.scenario.wish.siblings
        return list(range(siblings)) if siblings > 1 else [-1]

    def _xcoms(self, run: Run, sibling: int) -> dict[str, Any]:
        return self.airflow.database.xcoms(run.key, TASK, self._indices(run)[sibling])

    def _sent(self, run: Run) -> bool:
        entry = self.airflow.database.task_state_store(run.key, TASK).get("planasonix") or {}
        return bool((entry.get("record") or {}).get("sent_at"))

    def _triggered(self, run: Run, index: int) -> bool:
        folder = self.airflow.home / "logs" / f"dag_id={run.key.dag_id}" / f"run_id={run.key.run_id}"
        folder /= f"task_id={TASK}"
        if index >= 0:
            folder /= f"map_index={index}"
        return any(folder.glob(f"attempt={run.notes['try']}.log.trigger.*"))


def _dag_id(scenario: Scenario) -> str:
    return "scenario_" + "".join(letter if letter.isalnum() else "_" for letter in scenario.id)


def _dag(placed: Placed) -> str:
    scenario, wish = placed.scenario, placed.scenario.wish
    arguments: dict[str, str] = {
        "task_id": repr(TASK),
        "deferrable": repr(scenario.mode == "deferred"),
        "poll_interval_seconds": "0.5",
        "retries": repr(wish.retries),
        "retry_delay": "timedelta(seconds=1)",
        "cancel_on_kill": repr(wish.cancel_on_kill),
    }
    if wish.timeout_seconds is not None:
        arguments["timeout_seconds"] = repr(wish.timeout_seconds)
    if wish.tool_timeout_seconds is not None:
        arguments["execution_timeout"] = f"timedelta(seconds={wish.tool_timeout_seconds})"
    operator = "PlanasonixSyncOperator"
    if wish.kind == "backfill":
        operator = "PlanasonixBackfillOperator"
        arguments |= {"start_at": "'2026-01-01T00:00:00+00:00'", "end_at": "'2026-04-01T00:00:00+00:00'"}
    if wish.siblings == 1:
        arguments["connection_id"] = repr(placed.connections[0])
        operator += "({})"
    else:
        operator += f".partial({{}}).expand(connection_id={list(placed.connections)!r})"
    call = operator.replace("{}", ", ".join(f"{name}={value}" for name, value in arguments.items()))
    return f"with DAG({_dag_id(scenario)!r}, schedule=None):\n    {call}\n"


def _ignore(_: object) -> None:
    """For calls whose answer nobody needs."""
