"""Long-running processes that can be started, stopped, killed and started again one by one."""

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.local import proc
from scripts.local.errors import ComponentDied

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Lines that Airflow and Dagster write every second whatever happens, and banners.
_NOISE = re.compile(
    r"Refreshing bundle|Searching for files|Found \d+ files|Adopting or resetting|^[ _/|()<,.-]+$"
    r"|Collected \d+ runs for monitoring|Checking run "
)


class Guard:
    """A helper process that ends the components when this process dies without a chance to do so."""

    def __init__(self, home: Path | None) -> None:
        script = Path(__file__).with_name("guard.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(home or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def watch(self, session: int) -> None:
        self._tell(f"+{session}")

    def forget(self, session: int) -> None:
        self._tell(f"-{session}")

    def close(self) -> None:
        """End the helper, which removes the home folder."""
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait(timeout=20)

    def _tell(self, line: str) -> None:
        if self._process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


class Component:
    """One process with everything that it forks, in a session of its own.

    name: for messages and for the log file `<logs>/<name>.log`, to which a restart appends. user: uid to run as.
    folder: where it runs, the logs' folder by default.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        logs: Path,
        guard: Guard,
        user: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log_path = logs / f"{name}.log"
        self._command = list(command)
        self._environment = environment
        self._guard = guard
        self._user = user
        self._folder = folder or logs
        self._process: subprocess.Popen[bytes] | None = None
        self._sessions: list[int] = []
        # False while stopped on purpose, so that a wait does not call it a failure.
        self.expected_alive = False

    @property
    def pid(self) -> int:
        """Pid of the main process, which is also the session id."""
        if self._process is None:
            raise ComponentDied(f"{self.name} was never started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def processes(self) -> list[proc.Process]:
        """The living processes of this component, tasks and trigger runners included."""
        return [process for session in self._sessions for process in proc.in_session(session)]

    def start(self) -> None:
        """Start the process; an earlier one must have ended."""
        if self.alive:
            raise RuntimeError(f"{self.name} is already running as {self.pid}")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell's `&` makes its children deaf to SIGINT, and Dagster then to SIGTERM as well.
                preexec_fn=_hear_interrupts,
                cwd=self._folder if self._user is None else "/",
                user=self._user,
            )
        self.expected_alive = True
        self._sessions.append(self._process.pid)
        self._guard.watch(self._process.pid)

    def check(self) -> None:
        """Raise ComponentDied when the process has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise ComponentDied(f"{self.name} ended with {code}:\n{self.tail()}")

    def kill(self, *, main_only: bool = False) -> None:
        """Kill -9, as a crash of the machine does it, or of the main process alone.

        main_only: leave the children (tasks of a scheduler, the runner of a triggerer) to themselves.
        """
        if self._process is None:
            return
        self.expected_alive = False
        if self.alive:
            proc.kill(self._process.pid)
        self._process.wait(timeout=10)
        if not main_only:
            self._end_sessions()

    def terminate(self, timeout_seconds: float = 20.0, sig: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM, as a redeploy does it, then kill -9 what is still there after the timeout."""
        if self._process is None:
            return
        self.expected_alive = False
        if self.alive:
            proc.kill(self._process.pid, sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=timeout_seconds)
        self.kill()

    def wait_end(self, timeout_seconds: float = 120.0) -> int:
        """Wait until the process has ended by itself, and return its exit code."""
        if self._process is None:
            raise ComponentDied(f"{self.name} was never started")
        self.expected_alive = False
        return self._process.wait(timeout=timeout_seconds)

    def restart(self) -> None:
        self.kill()
        self.start()

    def tail(self, lines: int = 25) -> str:
        """Return the last telling lines of the log."""
        try:
            text = self.log_path.read_text(errors="replace")
        except OSError:
            return ""
        telling = [line for line in _COLOUR.sub("", text).splitlines() if line and not _NOISE.search(line)]
        return "\n".join(telling[-lines:])

    def wait_for_log(self, text: str, timeout_seconds: float = 30.0) -> None:
        """Wait until the log holds a text; raise TimeoutError otherwise."""
        deadline = time.monotonic() + timeout_seconds
        while text not in self.log_path.read_text(errors="replace"):
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} did not log {text!r}:\n{self.tail()}")
            time.sleep(0.1)

    def _end_sessions(self) -> None:
        for session in self._sessions:
            proc.kill_session(session)
            self._guard.forget(session)
        self._sessions.clear()


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
