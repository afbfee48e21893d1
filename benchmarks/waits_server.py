"""A sandbox in its own process, with jobs that end one after another: `python -m benchmarks.waits_server JOBS`.

It writes one line of JSON once it serves, and, asked by an empty line, another one: when each job ended, and how many
calls came.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from planasonix.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[1]
CONNECTION = "conn_shop_orders"
FIRST_END_SECONDS = 8.0
AT_LEAST_WITHIN_SECONDS = 15.0
ENDS_A_SECOND = 150
"""Many more than ten thousand jobs of a quarter of an hour have, and few enough for two cores to serve and read."""


class Served:
    """The sandbox as the measuring process sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.hello = self._read()

    def ask(self) -> dict[str, Any]:
        """`{"calls": ..., "ended": {job id: epoch seconds}}`."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextlib.contextmanager
def served(jobs: int) -> Iterator[Served]:
    """A sandbox with that many jobs, which were just started. It ends with the block."""
    program = [sys.executable, "-m", "benchmarks.waits_server", str(jobs)]
    with subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


def main(jobs: int) -> None:
    sandbox = Sandbox(busy="parallel", speed=0)
    chance = random.Random(1)
    within = max(AT_LEAST_WITHIN_SECONDS, jobs / ENDS_A_SECOND)
    ends = [FIRST_END_SECONDS + chance.uniform(0.0, within) for _ in range(jobs)]
    sandbox.script(CONNECTION, sequence=[{"outcome": "succeeded", "duration_seconds": s} for s in ends])
    header = {"authorization": f"Bearer {sandbox.api_key}"}
    started: list[dict[str, Any]] = []
    for _ in range(jobs):
        reply = sandbox.handle("POST", f"/api/v1/connections/{CONNECTION}/sync", (), header, b"{}")
        started.append(json.loads(reply.body)["data"]["job"])
    before = sandbox.calls()
    with sandbox.serve() as server:
        # Time stood still while they were started; from now on it is everybody's.
        sandbox.advance(max(0.0, time.time() - sandbox.clock.time()))
        sandbox.set_speed(1.0)
        jobs_shown = [{"id": job["id"], "created_at": job["created_at"]} for job in started]
        print(json.dumps({"url": server.url, "key": server.api_key, "jobs": jobs_shown}), flush=True)
        for _ in sys.stdin:
            # The API's own stamps are whole seconds, which would be up to one too early; the emulator knows better.
            records = sandbox._state.jobs.shelf.by_id
            ended = {job["id"]: records[job["id"]].finished for job in started}
            print(json.dumps({"calls": sandbox.calls() - before, "ended": ended}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
