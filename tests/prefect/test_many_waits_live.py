"""A thousand waits in one flow, in a process of its own with a real Prefect server; the sandbox's journal judges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.pages import ROOT

pytestmark = [pytest.mark.live, pytest.mark.scenario, pytest.mark.timeout(1800)]
WAITS = 1_000


@dataclass(frozen=True)
class Ran:
    figures: dict[str, Any]
    log: str


@pytest.fixture(scope="module")
def ran() -> Ran:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.prefect_flow", str(WAITS)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    found = json.loads(done.stdout.splitlines()[-1])
    late = sorted(found["late_seconds"])
    told = {name: found[name] for name in ("start_calls", "wait_calls", "outcome_calls", "refused", "seconds_to_start")}
    print(json.dumps({**told, "late_p50": late[len(late) // 2], "late_p99": late[int(len(late) * 0.99)]}))
    return Ran(found, done.stderr + done.stdout)


def test_each_wait_starts_one_job_and_has_its_outcome(ran: Ran) -> None:
    assert ran.figures["jobs"] == WAITS
    assert ran.figures["wrong"] == []


def test_a_finished_wait_costs_few_status_calls(ran: Ran) -> None:
    assert ran.figures["start_calls"] + ran.figures["wait_calls"] <= 2.5


def test_no_wait_goes_on_without_its_entry(ran: Ran) -> None:
    """A look or note of the ledger has a bound, past which a wait goes on without it: a crowd must not come to that."""
    assert "is not at hand" not in ran.log
    assert "asks for the job could not be noted" not in ran.log
    assert "waits for its job could not be noted" not in ran.log
    # An end that Prefect was too slow to note is read from the job itself by whoever needs it.
    assert ran.log.count("could not be noted: Prefect does not answer") <= WAITS // 50
