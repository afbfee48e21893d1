"""Catches the metrics that Airflow sends by StatsD."""

import socket
import threading
from typing import Self


class StatsdCapture:
    """A UDP socket on a free port, and what came to it. Use as a context manager.

    `environment` are the variables that make Airflow send there, tags included.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Hundreds of metrics a second come in bursts, and a datagram that finds no room is lost.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._catch, name="statsd-capture", daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        values = {
            "statsd_on": "True",
            "statsd_host": "127.0.0.1",
            "statsd_port": str(self._socket.getsockname()[1]),
            "statsd_influxdb_enabled": "True",
        }
        return {f"AIRFLOW__METRICS__{name.upper()}": value for name, value in values.items()}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # An empty datagram ends the thread.
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def lines(self, part: str = "") -> list[str]:
        """The metrics so far that hold this text, oldest first."""
        return [line for line in list(self._lines) if part in line]

    def count(self, part: str) -> int:
        """How many of them there are."""
        return len(self.lines(part))

    def _catch(self) -> None:
        while data := self._socket.recv(65536):
            self._lines += data.decode(errors="replace").splitlines()
