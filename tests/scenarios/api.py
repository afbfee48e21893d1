"""The API's side of a scenario: scripts, faults, and the journal that judges."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from scripts.local.sandbox import SandboxProcess
from tests.scenarios.scenario import Scenario

T = TypeVar("T")

ACTIVE = frozenset({"queued", "running", "cancelling"})


class Api:
    """One connection's view of the sandbox, from now on: what was there before does not count."""

    def __init__(self, sandbox: SandboxProcess, connection_id: str) -> None:
        self._sandbox = sandbox
        self.connection_id = connection_id
        self._before = {job["id"] for job in self._all()}
        self._since = self._last_seq()

    def prepare(self, scenario: Scenario) -> None:
        """Script the jobs to come, and let calls about this connection go wrong."""
        self._sandbox.control("PUT", f"connections/{self.connection_id}/script", {"sequence": list(scenario.script)})
        # Reconcile may look at the jobs of an earlier scenario meanwhile: the faults are not for its calls.
        earlier = sorted(self._before)
        for fault in scenario.faults:
            body = {"operation": fault.operation, "kind": fault.kind, "times": fault.times, **fault.options}
            if "body" in body:
                body["body"] = str(body["body"]).replace("{api_key}", self._sandbox.api_key)
            self._sandbox.control("POST", "faults", body | {"connection_id": self.connection_id, "spared_ids": earlier})

    def start_foreign(self) -> str:
        """Somebody else starts a job; return its id."""
        from planasonix import Planasonix

        with Planasonix(self._sandbox.api_key, self._sandbox.url) as client:
            return client.connections.sync(self.connection_id).id

    def jobs(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return [job for job in self._all() if job["id"] not in self._before]

    def finish(self, job: dict[str, Any], outcome: str) -> None:
        self._sandbox.control("POST", f"jobs/{job['id']}/finish", {"outcome": outcome})

    def entries(self, operation: str) -> list[dict[str, Any]]:
        """The journal's entries about this connection."""
        found = self._sandbox.control("GET", f"journal?operation={operation}&since_seq={self._since}")["entries"]
        return [entry for entry in found if entry["connection_id"] == self.connection_id]

    def looks(self, scenario: Scenario) -> int:
        """How often the job was asked for. In deferred mode lists count, which many waits share."""
        area = "backfills" if scenario.wish.kind == "backfill" else "jobs"
        found = len(self.entries(f"{area}.get"))
        if scenario.mode == "deferred":
            lists = self._sandbox.control("GET", f"journal?operation={area}.list&since_seq={self._since}")
            found += len(lists["entries"])
        return found

    def closest_read_after_refusal(self) -> float | None:
        """Seconds between a 429 on a read of the job and the next read; None where there was no 429."""
        ours = {job["id"] for job in self.jobs()}
        reads = [entry for entry in self.entries("jobs.get") if entry["path"].rsplit("/", 1)[-1] in ours]
        pauses = [
            (datetime.fromisoformat(after["real_at"]) - datetime.fromisoformat(before["real_at"])).total_seconds()
            for before, after in itertools.pairwise(reads)
            if before["status"] == 429
        ]
        return min(pauses, default=None)

    def faults_not_struck(self) -> list[str]:
        """The faults that this connection was given and that hit nothing."""
        rules = self._sandbox.control("GET", "faults")["faults"]
        return [
            rule["operation"] for rule in rules if rule["connection_id"] == self.connection_id and not rule["struck"]
        ]

    def clean(self) -> None:
        """Forget the faults and end what is still active, so that the next scenario finds the connection free."""
        self._sandbox.control("DELETE", f"faults?connection_id={self.connection_id}")
        for job in self.jobs():
            if job["status"] in ACTIVE:
                self.finish(job, "cancelled")

    def _all(self) -> list[dict[str, Any]]:
        return self._sandbox.control("GET", f"jobs?connection_id={self.connection_id}")["jobs"]

    def _last_seq(self) -> int:
        return int(self._sandbox.control("GET", "counts")["calls"])


def wait_until(probe: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """Return what the probe gives once it is true; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.2)
    return found
