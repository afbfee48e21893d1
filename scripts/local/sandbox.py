"""The product's sandbox as a process of its own, steered over HTTP."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from scripts.local import proc
from scripts.local.components import Guard


class SandboxProcess:
    """`planasonix sandbox --port N`, started with the interpreter's own environment.

    api_key: the only key it accepts. logs: folder for its output. Use as a context manager.
    """

    def __init__(self, port: int, api_key: str, logs: Path, *options: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.api_key = api_key
        self._log = logs / "sandbox.log"
        program = Path(sys.executable).with_name("planasonix")
        self._command = [
            str(program), "sandbox", "--host", "127.0.0.1", "--port", str(port), "--api-key", api_key, *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout_seconds: float = 20.0) -> Self:
        """Start it and wait until it answers; raises TimeoutError with its output otherwise."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._guard = self._guard or Guard(None)
        self._guard.watch(self._process.pid)
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self.control("GET", "health")
                return self
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    output = self._log.read_text(errors="replace")
                    self.stop()
                    raise TimeoutError(f"the sandbox did not start:\n{output[-3000:]}") from None
            time.sleep(0.1)

    def stop(self) -> None:
        """End it at once, as a crash of the service would."""
        if self._process is not None:
            proc.kill_session(self._process.pid)
            self._process.wait(timeout=10)
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def reset(self) -> None:
        """Forget all jobs, faults, scripts and journal entries; the clock goes to now where an earlier test stopped it.

        Else the API's stamps lie minutes before its `Date`, as no tenant's do, and whoever lists by time finds nothing.
        """
        self.control("POST", "reset")
        behind = datetime.now(UTC) - datetime.fromisoformat(self.control("GET", "health")["now"])
        if behind > timedelta(seconds=1):
            self.control("POST", "clock/advance", {"seconds": behind.total_seconds()})

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Call the control surface (`/sandbox/<path>`) and return the decoded answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/sandbox/{path}", data=data, method=method, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            text = reply.read().decode()
        return json.loads(text) if text else None
