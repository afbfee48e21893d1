"""What a person does to a running Airflow: add DAGs, start runs, wait, clear, mark, kill tasks."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from scripts.airflow_local.errors import AirflowTimeout, DagImportFailed
from scripts.airflow_local.metadata import Metadata, Run, TaskRow
from scripts.airflow_local.rest import Rest
from scripts.local import proc

T = TypeVar("T")

FINAL_STATES = ("success", "failed", "skipped", "upstream_failed", "removed")


class Control:
    """Actions through the REST API, observations through the metadata database."""

    home: Path
    rest: Rest
    database: Metadata

    # --- DAG files ---------------------------------------------------------------------------------------------

    def add_dag(self, filename: str, source: str, timeout_seconds: float = 30.0) -> list[str]:
        """Write a DAG file (or write it anew), wait until it was parsed, return its DAG ids.

        Raises DagImportFailed with Airflow's stack trace. DAGs start unpaused.
        """
        before = self.database.dags_of(filename)
        path = self.home / "dags" / filename
        for old in self.database.import_errors(filename):
            # An old error of the same file must not be taken for the new one.
            self.forget_import_error(old)
        draft = path.with_suffix(".draft")
        draft.write_text(source)
        draft.replace(path)

        def parsed() -> list[str] | None:
            errors = self.database.import_errors(filename)
            if errors:
                raise DagImportFailed(next(iter(errors.values())))
            now = self.database.dags_of(filename)
            fresh = [dag_id for dag_id, parsed_at in now.items() if parsed_at != before.get(dag_id)]
            return fresh or None

        return self.wait_until(parsed, f"{filename} to be parsed", timeout_seconds)

    def forget_import_error(self, filename: str, timeout_seconds: float = 30.0) -> None:
        """Remove a broken DAG file and wait until Airflow has forgotten its import error."""
        (self.home / "dags" / Path(filename).name).unlink(missing_ok=True)
        self.wait_until(
            lambda: not self.database.import_errors(Path(filename).name),
            f"the import error of {filename} to go",
            timeout_seconds,
        )

    def pause(self, dag_id: str, paused: bool = True) -> None:
        self.rest.patch(f"/dags/{quote(dag_id)}", {"is_paused": paused})

    # --- runs --------------------------------------------------------------------------------------------------

    def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        logical_date: datetime | None = None,
        data_interval: tuple[datetime, datetime] | None = None,
        run_id: str | None = None,
        partition_key: str | None = None,
    ) -> Run:
        """Start a run. Dates must be aware; without a logical date the run has none, as in Airflow's button."""
        body: dict[str, Any] = {"conf": dict(conf or {}), "logical_date": _text(logical_date)}
        if data_interval is not None:
            start, end = data_interval
            body |= {"data_interval_start": _text(start), "data_interval_end": _text(end)}
        if run_id is not None:
            body["dag_run_id"] = run_id
        if partition_key is not None:
            body["partition_key"] = partition_key
        made = self.rest.post(f"/dags/{quote(dag_id)}/dagRuns", body)
        return Run(dag_id, made["dag_run_id"])

    def mark_run(self, run: Run, state: str) -> None:
        """Set a whole run to success or failed, as the buttons do."""
        self.rest.patch(f"{_path(run)}", {"state": state})

    def delete_run(self, run: Run) -> None:
        self.rest.delete(_path(run))

    # --- tasks -------------------------------------------------------------------------------------------------

    def clear(self, run: Run, *task_ids: str, downstream: bool = False, map_index: int | None = None) -> None:
        """Clear tasks, whatever their state. map_index: of one mapped instance instead of all."""
        chosen = [task if map_index is None else [task, map_index] for task in task_ids]
        body = {
            "dry_run": False,
            "dag_run_id": run.run_id,
            "task_ids": chosen,
            "only_failed": False,
            "reset_dag_runs": True,
            "include_downstream": downstream,
        }
        self.rest.post(f"/dags/{quote(run.dag_id)}/clearTaskInstances", body)

    def mark(self, run: Run, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task as success, failed or skipped."""
        where = f"{_path(run)}/taskInstances/{quote(task_id)}"
        if map_index >= 0:
            where += f"/{map_index}"
        self.rest.patch(where, {"new_state": state})

    def task_process(self, run: Run, task_id: str, map_index: int = -1, timeout_seconds: float = 20.0) -> int:
        """Return the pid of the process that runs a task, waiting until there is one."""

        def running() -> int | None:
            row = self.database.task(run, task_id, map_index)
            alive = row is not None and row.state == "running" and row.pid and proc.read(row.pid)
            return row.pid if row and alive else None

        return self.wait_until(running, f"a process of {task_id}", timeout_seconds)

    def kill_task(self, run: Run, task_id: str, map_index: int = -1, *, what: str = "task") -> int:
        """Kill -9 a running task and return the pid that ran it.

        what: "task" the process with the operator, as the out-of-memory killer does; "supervisor" its parent
        (a worker of the executor) alone, which leaves the operator running without a master; "both", as the
        loss of the machine does.
        """
        pid = self.task_process(run, task_id, map_index)
        process = proc.read(pid)
        if process is None:
            raise AirflowTimeout(f"the process of {task_id} ended before it could be killed")
        targets = {"task": [pid], "supervisor": [process.parent], "both": [process.parent, pid]}[what]
        for target in targets:
            proc.kill(target)
        return pid

    # --- observing ---------------------------------------------------------------------------------------------

    def wait_task(
        self,
        run: Run,
        task_id: str,
        *states: str | None,
        map_index: int = -1,
        try_number: int | None = None,
        timeout_seconds: float = 90.0,
    ) -> TaskRow:
        """Wait until a task is in one of the states and return its row.

        states: as in the database, None for "cleared, not scheduled yet"; no state at all means any final one.
        try_number: wait for this try or a later one.
        Raises AirflowTimeout, early when the whole run has ended in some other way.
        """
        wanted = states or FINAL_STATES

        def reached() -> TaskRow | None:
            ended = self.database.run_state(run) in ("success", "failed")
            row = self.database.task(run, task_id, map_index)
            if row is None or row.state not in wanted:
                if ended and row is not None and row.state in FINAL_STATES:
                    raise AirflowTimeout(f"the run ended while waiting for {wanted}\n{self.dump(run)}")
                return None
            return row if try_number is None or row.try_number >= try_number else None

        return self.wait_until(reached, f"{task_id} to be {' or '.join(map(str, wanted))}", timeout_seconds, run)

    def wait_run(self, run: Run, *states: str, timeout_seconds: float = 60.0) -> str:
        """Wait until a run is in one of the states (any final one by default) and return it."""
        wanted = states or ("success", "failed")

        def reached() -> str | None:
            state = self.database.run_state(run)
            return state if state in wanted else None

        return self.wait_until(reached, f"the run to be {' or '.join(wanted)}", timeout_seconds, run)

    def task_log(self, run: Run, task_id: str, try_number: int | None = None, map_index: int = -1) -> str:
        """Return the log files of a task's try (all tries by default), the triggerer's part included."""
        folder = self.home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}" / f"task_id={task_id}"
        if map_index >= 0:
            folder /= f"map_index={map_index}"
        pattern = "attempt=*.log*" if try_number is None else f"attempt={try_number}.log*"
        return "\n".join(path.read_text(errors="replace") for path in sorted(folder.glob(pattern)))

    def files_with(self, text: str) -> list[Path]:
        """Return every file of the home, database included, that holds a text (to look for leaked secrets)."""
        needle = text.encode()

        def holds(path: Path) -> bool:
            # A running Airflow makes and removes files meanwhile.
            try:
                return path.is_file() and needle in path.read_bytes()
            except FileNotFoundError:
                return False

        return [path for path in sorted(self.home.rglob("*")) if holds(path)]

    def wait_until(self, probe: Callable[[], T | None], what: str, timeout_seconds: float, run: Run | None = None) -> T:
        """Poll until `probe` returns something true; raise AirflowTimeout with a dump otherwise."""
        deadline = time.monotonic() + timeout_seconds
        while not (result := probe()):
            self.check()
            if time.monotonic() > deadline:
                raise AirflowTimeout(f"waited {timeout_seconds:g} s for {what}\n{self.dump(run)}")
            time.sleep(0.1)
        return result

    def check(self) -> None:
        """Raise when a component died."""

    def dump(self, run: Run | None = None) -> str:
        """Return what helps to understand a failure."""
        lines = [f"at {datetime.now(UTC):%H:%M:%S}Z, home {self.home}"]
        if run is not None:
            lines.append(f"run {run.run_id}: {self.database.run_state(run)}")
            rows = self.database.tasks(run)
            lines += [f"  {row.task_id}[{row.map_index}] {row.state}, try {row.try_number}" for row in rows]
            # What went wrong first: whoever prints this may cut it.
            for row in sorted(rows, key=lambda row: row.state in ("success", "skipped")):
                lines.append(f"  now      {row}")
                earlier = self.database.history(run, row.task_id, row.map_index)
                lines += [f"  earlier  {old}" for old in earlier]
                log = self.task_log(run, row.task_id, map_index=row.map_index).splitlines()[-15:]
                lines.append("  log      " + "\n           ".join(line[:600] for line in log))
            lines += [f"  airflow  {event}" for event in self.database.events(run)]
        lines += [f"import error {error}" for error in self.database.import_errors().values()]
        return "\n".join(lines)


def _path(run: Run) -> str:
    return f"/dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id)}"


def _text(moment: datetime | None) -> str | None:
    if moment is not None and moment.tzinfo is None:
        raise ValueError("dates of runs must be aware of their time zone")
    return moment and moment.isoformat()
