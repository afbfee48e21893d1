"""Starts and ends all components of one Airflow."""

import atexit
import contextlib
import os
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from scripts.airflow_local import template
from scripts.airflow_local.control import Control
from scripts.airflow_local.errors import AirflowTimeout
from scripts.airflow_local.metadata import Metadata, PostgresServer, Run, SqliteFile
from scripts.airflow_local.postgres import Postgres
from scripts.airflow_local.rest import Rest
from scripts.airflow_local.settings import Intervals, connection_variables, environment, new_secrets
from scripts.local.components import Component, Guard
from scripts.local.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venvs" / "airflow"
# Set to keep the home folder (logs, database) of every Airflow that this package starts.
KEEP_VARIABLE = "KEEP_LOCAL_AIRFLOW"


class LocalAirflow(Control):
    """API server, scheduler with LocalExecutor, DAG processor and triggerer, each a process of its own.

    connections: by id, in the form of Airflow's JSON (`{"conn_type": ..., "host": ...}`), given as environment
    variables. environment: more variables for all components. parallelism: tasks at the same time. database: where the
    metadata are kept; several live triggerers need PostgreSQL.
    `stop()` ends everything; if this process dies without calling it, a helper process does.
    """

    def __init__(
        self,
        *,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        venv: Path = VENV,
        intervals: Intervals | None = None,
        parallelism: int = 4,
        database: Literal["sqlite", "postgresql"] = "sqlite",
    ) -> None:
        self._venv = venv
        self._warm = False
        self._keep = bool(os.environ.get(KEEP_VARIABLE))
        self.home = Path(tempfile.mkdtemp(prefix="local-airflow-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.rest = Rest(self.url)
        self._guard = Guard(None if self._keep else self.home)
        self._logs = self.home / "logs"
        self._postgres = (
            Postgres(venv, self.home / "postgres", self._logs, self._guard) if database == "postgresql" else None
        )
        self.database = Metadata(
            PostgresServer(self._postgres.dsn) if self._postgres else SqliteFile(self.home / "airflow.db")
        )
        self._environment = (
            environment(self.home, self.port, intervals or Intervals(), parallelism)
            | ({"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._postgres.url} if self._postgres else {})
            | new_secrets()
            | connection_variables(connections or {})
            | dict(environment_variables or {})
        )
        for folder in ("dags", "plugins", "logs"):
            (self.home / folder).mkdir()
        self.api_server = self._component("api-server", "api-server", "--port", str(self.port))
        self.scheduler = self._component("scheduler", "scheduler", "--skip-serve-logs")
        self.dag_processor = self._component("dag-processor", "dag-processor")
        self.triggerer = self._component("triggerer", "triggerer", "--skip-serve-logs")
        self.components = [self.api_server, self.scheduler, self.dag_processor, self.triggerer]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout_seconds: float = 120.0) -> Self:
        """Start everything and wait until Airflow calls all its components healthy."""
        atexit.register(self.stop)
        try:
            if self._postgres is not None:
                self._postgres.start()
            else:
                template.copy_database(self._venv, self.home / "airflow.db")
            for component in self.components:
                component.start()
            self.wait_healthy(timeout_seconds=timeout_seconds)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill everything that was started and remove the home folder; may be called twice."""
        atexit.unregister(self.stop)
        for component in self.components:
            component.kill()
        if self._postgres is not None:
            self._postgres.stop()
        self._guard.close()
        if not self._keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def files_with(self, text: str) -> list[Path]:
        """As `Control.files_with`, with the rows of PostgreSQL as text too."""
        if self._postgres is not None:
            self._postgres.dump(self.home / "rows.sql")
        return super().files_with(text)

    def extra_triggerer(self, name: str = "triggerer-2") -> Component:
        """Return a further triggerer, not started yet; it ends with the rest."""
        component = self._component(name, "triggerer", "--skip-serve-logs")
        self.components.append(component)
        return component

    def wait_healthy(self, *names: str, timeout_seconds: float = 60.0) -> None:
        """Wait until the health page calls these parts healthy (all by default).

        names: of `metadatabase`, `scheduler`, `triggerer`, `dag_processor`.
        """
        wanted = names or ("metadatabase", "scheduler", "triggerer", "dag_processor")
        deadline = time.monotonic() + timeout_seconds
        seen: dict[str, Any] = {}
        while any(seen.get(name, {}).get("status") != "healthy" for name in wanted):
            self.check()
            if time.monotonic() > deadline:
                raise AirflowTimeout(f"not healthy after {timeout_seconds:g} s: {seen}\n{self.dump()}")
            time.sleep(0.2)
            with contextlib.suppress(OSError):
                seen = self.rest.get("/monitor/health")
                self._warm_up()

    def add_connection(self, connection_id: str, **fields: Any) -> None:
        """Store a connection in the database (fields of the REST API: conn_type, host, password, extra, ...)."""
        self.rest.post("/connections", {"connection_id": connection_id, **fields})

    def check(self) -> None:
        for component in self.components:
            if component.expected_alive:
                component.check()

    def dump(self, run: Run | None = None) -> str:
        logs = [f"--- {component.name}\n{component.tail()}" for component in self.components]
        try:
            facts = super().dump(run)
        except Exception as error:
            facts = f"no facts from the database: {error}"
        return "\n".join([facts, *logs])

    def _warm_up(self) -> None:
        # The API server builds the versions of the task API at the first call, which takes seconds: better
        # while the other components are still starting than inside the first task.
        if not self._warm:
            urllib.request.urlopen(f"{self.url}/execution/health/ping", timeout=60).close()
            self._warm = True

    def _component(self, name: str, *arguments: str) -> Component:
        command = [str(self._venv / "bin" / "airflow"), *arguments]
        return Component(name, command, self._environment, self._logs, self._guard)
