"""The processes of flow runs: found by the environment that Prefect gives them, ended as crashes end them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.local import proc


class Processes:
    """A worker or `serve` starts a process for each flow run, in a session of its own."""

    home: Path
    wait_until: Callable[..., Any]

    def flow_processes(self, flow_run_id: str | None = None) -> list[int]:
        """Return the pids of the living processes of a flow run, the oldest first, or of all flow runs."""
        wanted = f"PREFECT__FLOW_RUN_ID={flow_run_id or ''}"
        return [pid for pid in self.processes() if wanted in _environment(pid)]

    def processes(self) -> list[int]:
        """Return the pids of all living processes of this Prefect, the oldest first."""
        home = f"PREFECT_HOME={self.home}\0"
        pids = sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit())
        return [pid for pid in pids if home in _environment(pid) and proc.read(pid)]

    def flow_process(self, flow_run_id: str, timeout_seconds: float = 90.0) -> int:
        """Return the pid of the process that runs a flow run, waiting until there is one."""

        def found() -> int | None:
            return next(iter(self.flow_processes(flow_run_id)), None)

        return self.wait_until(found, f"a process of flow run {flow_run_id}", timeout_seconds, flow_run_id)

    def wait_no_process(self, flow_run_id: str | None = None, timeout_seconds: float = 60.0) -> None:
        """Wait until no process of the flow run (of any) lives, as it must be while it is suspended."""
        what = "the flow run's processes to end"
        self.wait_until(lambda: not self.flow_processes(flow_run_id), what, timeout_seconds, flow_run_id)

    def kill(self, *pids: int, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to each and, if it is SIGKILL, wait until they are gone."""
        for pid in pids:
            proc.kill(pid, sig)
        if sig == signal.SIGKILL:
            for pid in pids:
                proc.wait_gone(pid, 20)


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""
