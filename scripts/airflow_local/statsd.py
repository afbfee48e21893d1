"""Catches what Airflow's components send as StatsD metrics, over UDP."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from typing import Self


class StatsD:
    """Counts metrics by name while it is open; give `environment` to the Airflow whose metrics are wanted.

    Names come without tags and with Airflow's prefix cut off, as its documentation lists them. Use as a context
    manager.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Hundreds of metrics a second come in bursts, and a datagram that finds no room is lost.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._counts: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._receive, name="statsd", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=5)

    @property
    def environment(self) -> dict[str, str]:
        """What makes Airflow send its metrics here."""
        host, port = self._socket.getsockname()
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": host,
            "AIRFLOW__METRICS__STATSD_PORT": str(port),
            "AIRFLOW__METRICS__STATSD_PREFIX": "airflow",
        }

    def count(self, name: str) -> int:
        """How often a metric came, whatever its value."""
        return self._counts[name]

    def _receive(self) -> None:
        while True:
            try:
                packet = self._socket.recv(65_536)
            except OSError:
                return
            for line in packet.decode(errors="replace").splitlines():
                name = line.partition(":")[0].partition(",")[0].removeprefix("airflow.")
                if name:
                    self._counts[name] += 1
