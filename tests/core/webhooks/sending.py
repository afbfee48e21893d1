"""A sender as the API is one: several deliveries at once, each repeated until it gets a 2xx."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from types import TracebackType
from urllib.parse import urlsplit

from planasonix.webhooks import sign
from tests.core.webhooks.serving import SECRET, until

_PAUSE_SECONDS = 0.05


class Senders:
    """Threads that send new events to the receiver while `flows`; ends with the `with`, once each has got its 2xx."""

    def __init__(self, url: str, count: int = 8) -> None:
        self._parts = urlsplit(url)
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._gives_up = threading.Event()
        self.acknowledged: list[str] = []
        self.answers: Counter[int | str] = Counter()
        """How often each status came, and "none"."""
        self.resent = 0
        """Events that needed more than one attempt."""
        self.without_advice = 0
        """503 answers that told nothing about when to come again."""
        self._threads = [threading.Thread(target=self._send_events, args=(each,)) for each in range(count)]

    def __enter__(self) -> Senders:
        self._flows.set()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._flows.clear()
        if kind is not None:
            self._gives_up.set()
        for thread in self._threads:
            thread.join(120)

    def wait_for(self, more: int, timeout_seconds: float = 60.0) -> None:
        """Until so many more events are acknowledged than now."""
        goal = len(self.acknowledged) + more
        until(lambda: len(self.acknowledged) >= goal, timeout_seconds)

    def wait_for_answer(self, status: int | str, more: int = 1) -> None:
        """Until `status` came so many more times."""
        goal = self.answers[status] + more
        until(lambda: self.answers[status] >= goal)

    def _send_events(self, sender: int) -> None:
        number = 0
        while self._flows.is_set():
            number += 1
            self._send(f"evt_{sender}_{number}", f"job_{sender}_{number}")

    def _send(self, event_id: str, job_id: str) -> None:
        body = json.dumps({"id": event_id, "type": "job.succeeded", "job_id": job_id}).encode()
        attempts = 0
        while not self._gives_up.is_set():
            attempts += 1
            status = self._post(body)
            with self._lock:
                self.answers[status] += 1
                if status == 200:
                    self.acknowledged.append(event_id)
                    self.resent += attempts > 1
                    return
            time.sleep(_PAUSE_SECONDS)

    def _post(self, body: bytes) -> int | str:
        connection = http.client.HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=30)
        try:
            connection.request("POST", self._parts.path, body=body, headers=sign(body, SECRET, timestamp=None))
            response = connection.getresponse()
            if response.status == 503 and not response.headers.get("retry-after", "").isdigit():
                self.without_advice += 1
            return response.status
        except (OSError, http.client.HTTPException):
            return "none"
        finally:
            connection.close()
