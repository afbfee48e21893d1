"""Starts and ends all processes of one Dagster."""

import atexit
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from scripts.dagster_local import queries
from scripts.dagster_local.control import Control
from scripts.dagster_local.errors import DagsterTimeout, GraphQLError, LocalDagsterError
from scripts.dagster_local.events import error_text
from scripts.dagster_local.graphql import GraphQL
from scripts.dagster_local.project import NAME, ROOT, environment, write_definitions, write_project, write_settings
from scripts.local.components import Component, Guard
from scripts.local.ports import free_port

VENV = ROOT / ".venvs" / "dagster"
# Set to keep the home folder (logs, databases) of every Dagster that this package starts.
KEEP_VARIABLE = "KEEP_LOCAL_DAGSTER"


class LocalDagster(Control):
    """One Dagster with one code location, and what a user does to it.

    definitions: Python source of the project's `definitions.py`, or the folder of a project to copy. dev: `dg dev`
    as one component (`.dev`), which ends when one of its processes does; without it the same processes one by one
    (`.code_server`, `.daemon`, `.webserver`), so that a test can kill one alone. files: more files of the project, by
    path. settings: entries of `dagster.yaml`, over those of `project.SETTINGS`. environment_variables: for all
    processes, which also know their webserver's address as LOCAL_DAGSTER_URL.
    `stop()` ends everything; if this process dies without calling it, a helper process does.
    """

    def __init__(
        self,
        definitions: str | Path,
        *,
        dev: bool = True,
        files: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        venv: Path = VENV,
    ) -> None:
        if isinstance(definitions, Path) and not dev:
            raise ValueError("a folder is for dg dev, which finds the package in it")
        self._venv = venv
        self._keep = bool(os.environ.get(KEEP_VARIABLE))
        self.home = Path(tempfile.mkdtemp(prefix="local-dagster-"))
        self.project = self.home / "projects" / NAME
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.graphql = GraphQL(self.url)
        self._guard = Guard(None if self._keep else self.home)
        for folder in ("logs", "tmp"):
            (self.home / folder).mkdir()
        write_settings(self.home, settings or {})
        write_project(self.project, definitions, files or {})
        # A job in Planasonix can link to its run only by an address that was free a moment ago.
        variables = {"LOCAL_DAGSTER_URL": self.url, **(environment_variables or {})}
        self._environment = environment(self.home, self.project, variables)
        self.components = self._of_dev() if dev else self._one_by_one()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout_seconds: float = 180.0) -> Self:
        """Start everything; wait until the definitions are loaded and Dagster calls its daemons healthy.

        Raises LocalDagsterError with Dagster's stack trace when the definitions do not load.
        """
        atexit.register(self.stop)
        try:
            for component in self.components:
                component.start()
            self.wait_healthy(timeout_seconds)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill everything that was started and remove the home folder; may be called twice."""
        atexit.unregister(self.stop)
        for component in self.components:
            component.kill()
        self._guard.close()
        if not self._keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def wait_healthy(self, timeout_seconds: float = 120.0) -> None:
        """Wait until the code location is loaded and all daemons are healthy."""
        deadline = time.monotonic() + timeout_seconds
        seen: object = None
        while True:
            self.check()
            with contextlib.suppress(OSError, GraphQLError):
                seen = found = self.graphql.ask(queries.HEALTH)
                locations = (found["workspaceOrError"] or {}).get("locationEntries") or []
                statuses = found["instance"]["daemonHealth"]["allDaemonStatuses"]
                loaded = [self._check_loaded(entry) for entry in locations]
                if loaded and all(loaded) and all(one["healthy"] for one in statuses if one["required"]):
                    return
            if time.monotonic() > deadline:
                raise DagsterTimeout(f"not healthy after {timeout_seconds:g} s: {seen}\n{self.dump()}")
            time.sleep(0.2)

    def define(self, definitions: str) -> None:
        """Write the project's definitions, for the next start."""
        write_definitions(self.project, definitions)

    def redefine(self, definitions: str) -> None:
        """Write the project's definitions anew and load them; raises LocalDagsterError when they do not load."""
        self.define(definitions)
        [entry] = self.graphql.ask(queries.RELOAD, name=NAME).values()
        if entry["__typename"] != "WorkspaceLocationEntry":
            raise LocalDagsterError(json.dumps(entry))
        self._check_loaded(entry)

    def check(self) -> None:
        for component in self.components:
            if component.expected_alive:
                component.check()

    def dump(self, run_id: str | None = None) -> str:
        logs = [f"--- {component.name}\n{component.tail()}" for component in self.components]
        try:
            facts = super().dump(run_id)
        except Exception as error:
            facts = f"no facts from the webserver: {error}"
        return "\n".join([facts, *logs])

    def _of_dev(self) -> list[Component]:
        arguments = ("dev", "--host", "127.0.0.1", "--port", str(self.port), "--no-check-yaml")
        self.dev = self._component("dev", "dg", *arguments)
        return [self.dev]

    def _one_by_one(self) -> list[Component]:
        port = free_port()
        workspace = self.home / "workspace.yaml"
        server = {"host": "127.0.0.1", "port": port, "location_name": NAME}
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
        target = ("--host", "127.0.0.1", "--port", str(port), "--location-name", NAME, "-m", f"{NAME}.definitions")
        page = ("--host", "127.0.0.1", "--port", str(self.port), "--workspace", str(workspace))
        self.code_server = self._component("code-server", "dagster", "code-server", "start", *target)
        self.daemon = self._component("daemon", "dagster-daemon", "run", "--workspace", str(workspace))
        self.webserver = self._component("webserver", "dagster-webserver", *page)
        return [self.code_server, self.daemon, self.webserver]

    def _component(self, name: str, program: str, *arguments: str) -> Component:
        command = [str(self._venv / "bin" / program), *arguments]
        return Component(name, command, self._environment, self.home / "logs", self._guard, folder=self.project)

    def _check_loaded(self, entry: Mapping[str, Any]) -> bool:
        found = entry["locationOrLoadError"] or {}
        if found.get("__typename") != "PythonError":
            return entry.get("loadStatus", "LOADED") == "LOADED" and bool(found)
        if "UserCodeUnreachable" in found["message"]:
            # The code server is still starting.
            return False
        raise LocalDagsterError(error_text(found))
