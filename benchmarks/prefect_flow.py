"""Many waits in one flow of a real Prefect, in this process: `python -m benchmarks.prefect_flow WAITS` prints JSON.

An async flow gathers `atrigger` and `await_completion`: that is how one process is given a thousand waits. Submitted
tasks wait in the same loop of the plugin, but need a thread each, and Prefect's own calls for task runs would blur what
is counted here. Each wait has a connection of its own. Needs an environment with Prefect and the plugin.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess

INTERVAL_SECONDS = 5.0
ENDS_A_SECOND = 40
EVERY_WHICH_FAILS = 20
CALLS_A_MINUTE = 1_200
CREATE_CALLS_A_MINUTE = 1_000_000
"""Connections are made at once: how a tenant comes by them is not what is measured."""

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one flow showed.

    start_calls, wait_calls: lists and reads of jobs a wait, until all were started and from there on. outcome_calls:
    reads of results a wait. late_seconds: from each job's end to the outcome in the flow, sorted.
    prefect_calls: requests to Prefect's API a wait, by phase and route. wrong: outcomes that are not their job's.
    """

    waits: int
    jobs: int
    start_calls: float
    wait_calls: float
    outcome_calls: float
    late_seconds: list[float]
    prefect_calls: dict[str, dict[str, float]]
    seconds_to_start: float
    seconds_to_end: float
    wrong: list[str]

    def late_at(self, share: float) -> float:
        return self.late_seconds[min(len(self.late_seconds) - 1, int(len(self.late_seconds) * share))]

    def prefect_calls_of(self, phase: str) -> float:
        return sum(self.prefect_calls[phase].values())


class _PrefectCalls:
    """Requests of this process to Prefect's API, by phase and route."""

    def __init__(self) -> None:
        self.phase = "start"
        self.by_phase: dict[str, Counter[str]] = defaultdict(Counter)

    def note(self, request: Any) -> None:
        path = _ID.sub("{id}", request.url.path)
        self.by_phase[self.phase][f"{request.method} {path}"] += 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient

        sends = {each: each.send for each in (PrefectHttpxAsyncClient, PrefectHttpxSyncClient)}

        def counting(send: Any) -> Any:
            def counted_send(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
                self.note(request)
                return send(client, request, *args, **kwargs)

            return counted_send

        for each, send in sends.items():
            each.send = counting(send)
        try:
            yield
        finally:
            for each, send in sends.items():
                each.send = send


def measure(sandbox: SandboxProcess, waits: int, *, artifacts: bool = True) -> Measured:
    """Run the flow. Prefect's settings name a server, and the sandbox is as new."""
    from prefect import flow

    from planasonix.errors import RunFailedError
    from prefect_planasonix import PlanasonixCredentials, PlanasonixSync

    names = _connections(sandbox, waits)
    credentials = PlanasonixCredentials(
        api_key=sandbox.api_key,  # type: ignore[arg-type]
        base_url=sandbox.url,
        job_url_template=f"{sandbox.url}/#/{{kind}}s/{{id}}",
    )
    calls = _PrefectCalls()
    marks: dict[str, Any] = {}
    seen: dict[str, tuple[str, float]] = {}
    ended_at: dict[str, float] = {}

    def end_all() -> None:
        time.sleep(3 * INTERVAL_SECONDS)
        calls.phase = "end"
        marks["ending"] = time.monotonic()
        for number, job in enumerate(sandbox.control("GET", "jobs")["jobs"]):
            time.sleep(max(0.0, marks["ending"] + number / ENDS_A_SECOND - time.monotonic()))
            outcome = "failed" if number % EVERY_WHICH_FAILS == 0 else "succeeded"
            sandbox.control("POST", f"jobs/{job['id']}/finish", {"outcome": outcome})
            ended_at[job["id"]] = time.time()

    async def wait(run: Any) -> None:
        try:
            outcome = await run.await_completion()
        except RunFailedError as error:
            seen[run.id] = (error.outcome_data["status"], time.time())
        else:
            seen[run.id] = (outcome.status, time.time())

    @flow(name="many-waits")
    async def many() -> None:
        began = time.monotonic()
        blocks = [
            PlanasonixSync(
                credentials=credentials,
                connection_id=name,
                poll_interval_seconds=INTERVAL_SECONDS,
                timeout_seconds=7200,
                artifacts=artifacts,
            )
            for name in names
        ]
        runs = await asyncio.gather(*(each.atrigger() for each in blocks))
        marks["started"] = time.monotonic() - began
        marks["last"] = max(entry["seq"] for entry in sandbox.control("GET", "journal")["entries"])
        calls.phase = "wait"
        ender = threading.Thread(target=end_all)
        ender.start()
        await asyncio.gather(*map(wait, runs))
        marks["ended"] = time.monotonic() - marks["ending"]
        await asyncio.to_thread(ender.join)

    with calls.counted():
        asyncio.run(many())  # type: ignore[arg-type]
    jobs = {job["id"]: job for job in sandbox.control("GET", "jobs")["jobs"]}
    starts, rest, outcomes = _status_calls(sandbox.control("GET", "journal")["entries"], marks["last"])
    return Measured(
        waits=waits,
        jobs=len(jobs),
        start_calls=starts / waits,
        wait_calls=rest / waits,
        outcome_calls=outcomes / waits,
        late_seconds=sorted(at - ended_at[job_id] for job_id, (_, at) in seen.items()),
        prefect_calls={phase: {k: n / waits for k, n in c.most_common()} for phase, c in calls.by_phase.items()},
        seconds_to_start=marks["started"],
        seconds_to_end=marks["ended"],
        wrong=[job_id for job_id, job in jobs.items() if seen.get(job_id, ("unseen", 0.0))[0] != job["status"]],
    )


def _connections(sandbox: SandboxProcess, count: int) -> list[str]:
    """Make so many, whose jobs run until they are ended. The API's limit holds from there on."""
    sandbox.control("PATCH", "switches", {"rate_limit": CREATE_CALLS_A_MINUTE})
    names: list[str] = []
    for number in range(count):
        body = json.dumps({"name": f"shop {number}", "type": "postgres", "config": {}}).encode()
        headers = {"Authorization": f"Bearer {sandbox.api_key}", "Content-Type": "application/json"}
        asked = urllib.request.Request(f"{sandbox.url}/api/connections", data=body, method="POST", headers=headers)
        with urllib.request.urlopen(asked, timeout=10) as reply:
            answer = json.loads(reply.read())
        names.append(answer.get("data", answer)["id"])
        sandbox.control("PUT", f"connections/{names[-1]}/script", {"outcome": "stuck", "queue_seconds": 0})
    sandbox.control("PATCH", "switches", {"rate_limit": CALLS_A_MINUTE})
    return names


def _status_calls(entries: list[dict[str, Any]], last_of_start: int) -> tuple[int, int, int]:
    """Lists and reads of jobs up to there and after it, and reads of results."""
    status = [entry for entry in entries if entry["operation"] in ("jobs.get", "jobs.list")]
    starts = sum(entry["seq"] <= last_of_start for entry in status)
    outcomes = sum(entry["operation"] == "jobs.results" for entry in entries)
    return starts, len(status) - starts, outcomes


def main(waits: int, artifacts: bool = True) -> None:
    from prefect.testing.utilities import prefect_test_harness

    key = f"plnx_live_canary_{secrets.token_hex(16)}"
    with (
        tempfile.TemporaryDirectory(prefix="prefect-waits-") as logs,
        SandboxProcess(free_port(), key, Path(logs)) as sandbox,
        prefect_test_harness(server_startup_timeout=300),
    ):
        print(json.dumps(asdict(measure(sandbox, waits, artifacts=artifacts))))


if __name__ == "__main__":
    main(int(sys.argv[1]), "bare" not in sys.argv)
