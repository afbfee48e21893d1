"""`planasonix webhooks serve` as a process of its own: to be ended, to be killed, and started again at its address."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

PLANASONIX = (sys.executable, "-c", "from planasonix.cli import main; main()")
SECRET = "whsec_0123456789abcdef"
_PATH = "/planasonix/webhooks"


@contextmanager
def serving(*options: str, scheme: str = "body", **environment: str) -> Iterator[str]:
    """A receiver on a free port, which must end well when it is told to. Gives its URL."""
    receiver = Receiver(0, *options, scheme=scheme, **environment)
    try:
        yield receiver.start()
        receiver.stop()
    finally:
        receiver.kill()


class Receiver:
    """One that keeps its port however often it is started, if `port` is None."""

    def __init__(self, port: int | None, *options: str, scheme: str = "body", **environment: str) -> None:
        port = _lasting_port() if port is None else port
        self._command = [*PLANASONIX, "webhooks", "serve", "--port", str(port), "--scheme", scheme, *options]
        known = {name: value for name, value in os.environ.items() if not name.startswith("PLANASONIX_")}
        self._environment = known | environment
        self._process: subprocess.Popen[str] | None = None
        self.url = f"http://127.0.0.1:{port}{_PATH}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> str:
        """Returns the URL, once it can be called."""
        process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self._environment
        )
        assert process.stdout is not None
        self._process = process
        line = process.stdout.readline()
        assert line.startswith("Receiving on "), line
        self.url = line.split()[-1]
        return self.url

    def stop(self) -> None:
        """Ends it in order."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout.read() == "Stopped.\n"

    def kill(self) -> None:
        """kill -9, if it is alive."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def health(self) -> int:
        """The status of its health route."""
        return httpx.get(self.url.replace(_PATH, "/healthz"), timeout=30).status_code


def _lasting_port() -> int:
    """A free port below those that the system gives to callers: while nobody listens a caller would be given it, and
    be connected with itself.
    """
    while True:
        port = random.randint(15_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(condition: object, timeout_seconds: float = 60.0) -> None:
    """Waits until `condition()` holds."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
