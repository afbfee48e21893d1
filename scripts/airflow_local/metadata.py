"""Reads Airflow's metadata database directly: cheap to poll, and it shows rows that no API returns.

SQLite and PostgreSQL alike.
"""

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """Names one DAG run."""

    dag_id: str
    run_id: str


@dataclass(frozen=True)
class TaskRow:
    """One row of `task_instance` or, for earlier tries, of `task_instance_history`.

    state: None while nothing is scheduled. pid: of the task process on this machine, not of its supervisor.
    next_kwargs: decoded, as given to `defer()` (with the event, once there is one).
    """

    id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    max_tries: int
    pid: int | None
    trigger_id: int | None
    next_method: str | None
    next_kwargs: Any
    start_date: str | None
    end_date: str | None


_COLUMNS = (
    "task_id, map_index, state, try_number, max_tries, pid, trigger_id, next_method, next_kwargs, start_date, end_date"
)


def _row(row: Mapping[str, Any]) -> TaskRow:
    return TaskRow(**{**row, "next_kwargs": _json(row["next_kwargs"])})


class SqliteFile:
    """Every query opens the file anew, so that it sees what was committed last."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def query(self, sql: str, values: Sequence[object]) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values).fetchall()]

    def execute(self, sql: str, values: Sequence[object]) -> None:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            connection.execute(sql, values)


class PostgresServer:
    """One connection for each thread; each query is a transaction of its own. dsn: as libpq takes it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._local = threading.local()

    def query(self, sql: str, values: Sequence[object]) -> list[dict[str, Any]]:
        with self._cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), tuple(values))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def execute(self, sql: str, values: Sequence[object]) -> None:
        with self._cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), tuple(values))

    def _cursor(self) -> Any:
        # Only who asks for PostgreSQL needs the driver.
        import psycopg2  # pyright: ignore[reportMissingModuleSource]

        connection = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = self._local.connection = psycopg2.connect(self._dsn)
            connection.autocommit = True
        return connection.cursor()


class Metadata:
    """Queries, the same for both databases."""

    def __init__(self, database: SqliteFile | PostgresServer) -> None:
        self._database = database

    def query(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Run a SELECT, with `?` for each value, and return all rows."""
        return self._database.query(sql, values)

    def execute(self, sql: str, *values: object) -> None:
        """Run a statement that changes rows: for damage that nothing else can do."""
        self._database.execute(sql, values)

    def tasks(self, run: Run) -> list[TaskRow]:
        """Return the current row of every task of a run."""
        rows = self.query(
            f"SELECT id, {_COLUMNS} FROM task_instance WHERE dag_id = ? AND run_id = ? ORDER BY task_id, map_index",
            run.dag_id,
            run.run_id,
        )
        return [_row(row) for row in rows]

    def task(self, run: Run, task_id: str, map_index: int = -1) -> TaskRow | None:
        """Return the current row of one task; None before the scheduler made it."""
        found = [row for row in self.tasks(run) if (row.task_id, row.map_index) == (task_id, map_index)]
        return found[0] if found else None

    def history(self, run: Run, task_id: str, map_index: int = -1) -> list[TaskRow]:
        """Return the rows of the earlier tries of a task, oldest first."""
        rows = self.query(
            f"SELECT task_instance_id AS id, {_COLUMNS} FROM task_instance_history "
            "WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ? ORDER BY try_number",
            run.dag_id,
            run.run_id,
            task_id,
            map_index,
        )
        return [_row(row) for row in rows]

    def first_run(self, dag_id: str, *, partition_key: str | None = None) -> Run | None:
        """The DAG's oldest run, however it was made; with a key, the oldest of that partition."""
        sql, values = "SELECT run_id FROM dag_run WHERE dag_id = ?", [dag_id]
        if partition_key is not None:
            sql, values = f"{sql} AND partition_key = ?", [dag_id, partition_key]
        found = self.query(f"{sql} ORDER BY id LIMIT 1", *values)
        return Run(dag_id, found[0]["run_id"]) if found else None

    def asset_events(self, run: Run) -> list[dict[str, Any]]:
        """Return the asset events that a run's tasks emitted: uri, extra (decoded), partition_key, map_index."""
        rows = self.query(
            "SELECT asset.uri, asset_event.extra, partition_key, source_map_index AS map_index FROM asset_event "
            "JOIN asset ON asset.id = asset_event.asset_id WHERE source_dag_id = ? AND source_run_id = ? "
            "ORDER BY uri, partition_key, map_index",
            run.dag_id,
            run.run_id,
        )
        return [{**dict(row), "extra": _json(row["extra"])} for row in rows]

    def events(self, run: Run) -> list[str]:
        """Return what Airflow itself noted about a run's tasks: a heartbeat that was missed, a state that changed."""
        rows = self.query(
            "SELECT task_id, map_index, event, extra FROM log WHERE dag_id = ? AND run_id = ? ORDER BY id",
            run.dag_id,
            run.run_id,
        )
        return [f"{row['task_id']}[{row['map_index']}] {row['event']} {row['extra'] or ''}" for row in rows]

    def run_state(self, run: Run) -> str | None:
        rows = self.query("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", run.dag_id, run.run_id)
        return rows[0]["state"] if rows else None

    def task_state_store(self, run: Run, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return the decoded values that a task keeps in its state store."""
        rows = self.query(
            "SELECT key, value FROM task_state_store WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ?",
            run.dag_id,
            run.run_id,
            task_id,
            map_index,
        )
        return {row["key"]: _json(row["value"]) for row in rows}

    def xcoms(self, run: Run, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return the decoded XComs of a task by key."""
        rows = self.query(
            "SELECT key, value FROM xcom WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ?",
            run.dag_id,
            run.run_id,
            task_id,
            map_index,
        )
        return {row["key"]: _decoded(row["value"]) for row in rows}

    def triggers(self) -> list[dict[str, Any]]:
        """Return the rows of all triggers: id, classpath, kwargs as stored, triggerer_id."""
        return self.query("SELECT id, classpath, kwargs, triggerer_id FROM trigger")

    def dags_of(self, filename: str) -> dict[str, str]:
        """Return the time of the last parsing by DAG id, for the DAGs that one file defines."""
        rows = self.query(
            "SELECT dag_id, last_parsed_time FROM dag WHERE relative_fileloc = ? AND NOT is_stale", filename
        )
        return {row["dag_id"]: row["last_parsed_time"] for row in rows}

    def import_errors(self, filename: str | None = None) -> dict[str, str]:
        """Return stack traces by file name, for one file or for all."""
        rows = self.query("SELECT filename, stacktrace FROM import_error")
        return {
            row["filename"]: row["stacktrace"]
            for row in rows
            if filename is None or Path(row["filename"]).name == filename
        }


def _json(value: Any) -> Any:
    # PostgreSQL's driver has decoded a JSON column already.
    return json.loads(value) if isinstance(value, str) else value


def _decoded(value: Any) -> Any:
    # Airflow stores a JSON text inside a JSON column: decode as often as it is text of that kind.
    for _ in range(2):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except ValueError:
            break
    return value
