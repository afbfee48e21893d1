"""Starts and ends all processes of one Prefect."""

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from scripts.local import proc
from scripts.local.components import Component, Guard
from scripts.local.errors import ComponentDied
from scripts.local.ports import free_port
from scripts.prefect_local.control import Control
from scripts.prefect_local.errors import PrefectTimeout, RestError
from scripts.prefect_local.rest import Rest
from scripts.prefect_local.settings import POOL, ROOT, environment

# Set to the environment of another Prefect than the newest: `make floor` does.
VENV = Path(os.environ.get("LOCAL_PREFECT_VENV") or ROOT / ".venvs" / "prefect")
# Set to keep the home folder (logs, database) of every Prefect that this package starts.
KEEP_VARIABLE = "KEEP_LOCAL_PREFECT"


class LocalPrefect(Control):
    """One Prefect server with a folder of flows, and what a user does to it.

    flows: sources of the flows' files, by name, or a folder to copy. workers: how many process workers start with it
    (`.workers`); more with `worker()`, and `serve()` starts a file that serves its flows. pages: whether the server
    shows the UI. environment_variables: for all processes.
    `stop()` ends everything; if this process dies without calling it, a helper process does.
    """

    def __init__(
        self,
        flows: Mapping[str, str] | Path | None = None,
        *,
        workers: int = 1,
        pages: bool = False,
        environment_variables: Mapping[str, str] | None = None,
        venv: Path = VENV,
    ) -> None:
        self._venv = venv
        self._keep = bool(os.environ.get(KEEP_VARIABLE))
        self.home = Path(tempfile.mkdtemp(prefix="local-prefect-"))
        self.flows = self.home / "flows"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.rest = Rest(self.url)
        self._guard = Guard(None if self._keep else self.home)
        for folder in ("logs", "tmp"):
            (self.home / folder).mkdir()
        if isinstance(flows, Path):
            shutil.copytree(flows, self.flows, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            self.flows.mkdir()
            for name, source in (flows or {}).items():
                self.write(name, source)
        self.environment = environment(self.home, self.url, environment_variables or {})
        address = ("--host", "127.0.0.1", "--port", str(self.port))
        shown = () if pages else ("--no-ui",)
        self.server = self._component("server", "prefect", "server", "start", *address, *shown)
        self.components = [self.server]
        self.workers = [self.worker(f"worker-{number + 1}", start=False) for number in range(workers)]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout_seconds: float = 180.0) -> Self:
        """Start everything; wait until the server answers, and the workers' pool is there."""
        atexit.register(self.stop)
        try:
            self.server.start()
            self.wait_healthy(timeout_seconds)
            for worker in self.workers:
                worker.start()
            if self.workers:
                self.wait_until(self._pool, "the workers' pool", timeout_seconds)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill everything that was started, flow runs included, and remove the home folder; may be called twice."""
        atexit.unregister(self.stop)
        for component in reversed(self.components):
            component.kill()
        # Flow runs have sessions of their own, and outlive a worker that is killed.
        self.kill(*self.processes())
        self._guard.close()
        if not self._keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def write(self, name: str, source: str) -> None:
        """Write a file of the flows' folder; runs that begin later read it."""
        (self.flows / name).write_text(source)

    def worker(self, name: str, *, run_once: bool = False, start: bool = True) -> Component:
        """Return one more process worker. run_once: it ends when the runs that are due have ended."""
        arguments = ("worker", "start", "--pool", POOL, "--type", "process", "--name", name)
        worker = self._component(name, "prefect", *arguments, *(("--run-once",) if run_once else ()))
        return self._added(worker, start)

    def serve(self, file: str, name: str = "serve", *, start: bool = True) -> Component:
        """Return a process that runs a file of the flows' folder, which calls `serve`."""
        return self._added(self._component(name, "python", str(self.flows / file)), start)

    def run_file(self, file: str, name: str, *arguments: str, start: bool = True) -> Component:
        """Return a process that runs a file of the flows' folder, as a person does at a prompt."""
        return self._added(self._component(name, "python", str(self.flows / file), *arguments), start)

    def run_to_end(self, file: str, name: str, *arguments: str, timeout_seconds: float = 120.0) -> None:
        """The same for a file that ends; raises ComponentDied with its output when it fails."""
        component = self.run_file(file, name, *arguments)
        if component.wait_end(timeout_seconds) != 0:
            raise ComponentDied(f"{name} failed:\n{component.tail()}")

    def wait_deployed(self, name: str, timeout_seconds: float = 60.0) -> str:
        """Wait until the deployment `flow/name` is there, as after `serve`; return its id."""

        def found() -> str | None:
            with contextlib.suppress(RestError):
                return self.deployment_id(name)
            return None

        return self.wait_until(found, f"the deployment {name}", timeout_seconds)

    def lose_machine(self, worker: Component) -> None:
        """Kill -9 a worker (or `serve`) with the flow runs that it started, all at one blow."""
        children = [pid for pid in self.flow_processes() if self._started_by(pid, worker.pid)]
        worker.expected_alive = False
        for pid in (worker.pid, *children):
            proc.kill(pid)
        worker.kill()
        self.kill(*children)

    def wait_healthy(self, timeout_seconds: float = 120.0) -> None:
        """Wait until the server answers."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            self.check()
            with contextlib.suppress(OSError, RestError):
                self.rest.get("health")
                return
            if time.monotonic() > deadline:
                raise PrefectTimeout(f"not healthy after {timeout_seconds:g} s\n{self.dump()}")
            time.sleep(0.2)

    def check(self) -> None:
        for component in self.components:
            if component.expected_alive:
                component.check()

    def dump(self, run_id: str | None = None) -> str:
        logs = [f"--- {component.name}\n{component.tail()}" for component in self.components]
        try:
            facts = super().dump(run_id)
        except Exception as error:
            facts = f"no facts from the server: {error}"
        return "\n".join([facts, *logs])

    def _pool(self) -> bool:
        with contextlib.suppress(RestError):
            return self.rest.get(f"work_pools/{POOL}")["status"] == "READY"
        return False

    @staticmethod
    def _started_by(pid: int, ancestor: int) -> bool:
        while found := proc.read(pid):
            if found.parent == ancestor:
                return True
            pid = found.parent
        return False

    def _added(self, component: Component, start: bool) -> Component:
        self.components.append(component)
        if start:
            component.start()
        return component

    def _component(self, name: str, program: str, *arguments: str) -> Component:
        command = [str(self._venv / "bin" / program), *arguments]
        return Component(name, command, self.environment, self.home / "logs", self._guard, folder=self.flows)
