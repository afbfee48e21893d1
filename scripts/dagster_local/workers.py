"""The processes of a run: found by what they log, ended as crashes and evictions end them."""

import signal
from collections.abc import Callable
from typing import Any

from scripts.dagster_local.events import Event
from scripts.local import proc

_RUN_WORKER = "Started process for run"


class Workers:
    """A run worker runs the executor; the default one starts a process for each step."""

    events: Callable[..., list[Event]]
    wait_until: Callable[..., Any]

    def run_worker(self, run_id: str, timeout_seconds: float = 90.0) -> int:
        """Return the pid of the process that runs a run, waiting until there is one alive."""
        return self._alive(lambda event: event.message.startswith(_RUN_WORKER), run_id, timeout_seconds)

    def step_worker(self, run_id: str, step_key: str | None = None, timeout_seconds: float = 90.0) -> int:
        """Return the pid of the process that runs a step (any step by default), waiting until there is one alive.

        With the in-process executor there is none: ask for the run worker.
        """

        def ours(event: Event) -> bool:
            return event.kind == "STEP_WORKER_STARTED" and step_key in (None, event.step_key)

        return self._alive(ours, run_id, timeout_seconds)

    def workers(self, run_id: str) -> list[int]:
        """Return the pids of all living processes of a run: the run worker, then those of the steps."""
        pids = [
            pid
            for event in self.events(run_id)
            if (event.message.startswith(_RUN_WORKER) or event.kind == "STEP_WORKER_STARTED")
            and (pid := _pid(event)) is not None
        ]
        return [pid for pid in dict.fromkeys(pids) if proc.read(pid)]

    def kill(self, *pids: int, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to each and, if it is SIGKILL, wait until they are gone."""
        for pid in pids:
            proc.kill(pid, sig)
        if sig == signal.SIGKILL:
            for pid in pids:
                proc.wait_gone(pid)

    def _alive(self, wanted: Callable[[Event], bool], run_id: str, timeout_seconds: float) -> int:
        def found() -> int | None:
            pids = [_pid(event) for event in self.events(run_id) if wanted(event)]
            return next((pid for pid in reversed(pids) if pid is not None and proc.read(pid)), None)

        return self.wait_until(found, f"a process of run {run_id}", timeout_seconds, run_id)


def _pid(event: Event) -> int | None:
    found = event.metadata.get("pid")
    return int(found) if found is not None else None
