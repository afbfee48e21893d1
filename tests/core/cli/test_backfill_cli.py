"""`planasonix backfill` against a served sandbox: as a user and a shell script call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from planasonix import Planasonix
from planasonix.cli.group import planasonix

CONNECTION = "conn_shop_orders"
WINDOW = ("--start-at", "2026-01-01T00:00Z", "--end-at", "2026-01-05T00:00Z", "--stage", "1d")
QUICK = ("--poll-interval", "0.05")


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(planasonix, ["backfill", CONNECTION, *arguments])
    assert os.environ.get("PLANASONIX_API_KEY", "no key") not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.planasonix_sandbox(speed=40)
def test_load_plan_and_go_on_after_a_failure(planasonix_sandbox: Any, tmp_path: Path) -> None:
    ledger = ("--ledger", str(tmp_path / "ledger.db"))
    planasonix_sandbox.script(CONNECTION, sequence=[{}, {"outcome": "failed"}, {}])
    plan = call(*WINDOW, *ledger, "--plan")
    assert plan.exit_code == 0
    assert "4 stages: 0 done, 4 to start or to wait for." in plan.stdout
    assert planasonix_sandbox.calls() == 0

    first = call(*WINDOW, *ledger, *QUICK)
    assert first.exit_code == 1
    assert "in 4 stages failed: 3 done, 1 failed" in first.stdout
    assert "[2026-01-02T00:00:00Z, 2026-01-03T00:00:00Z) failed: backfill bf_" in first.stdout
    assert "1 of 4 stages done, running: bf_" in first.stderr

    rows = json.loads(call(*WINDOW, *ledger, "--plan", "--output", "json").stdout)
    assert [row["state"] for row in rows] == ["done", "failed", "done", "done"]

    second = call(*WINDOW, *ledger, *QUICK, "--output", "json")
    assert second.exit_code == 0, second.output
    outcome = json.loads(second.stdout)
    assert (outcome["status"], len(outcome["stages"])) == ("succeeded", 4)
    assert planasonix_sandbox.backfills_started() == 5

    kept = call(*WINDOW, *ledger, *QUICK, "--on-clear", "resume")
    assert kept.exit_code == 0
    assert planasonix_sandbox.backfills_started() == 5
    anew = call(*WINDOW, *ledger, *QUICK)
    assert anew.exit_code == 0
    assert planasonix_sandbox.backfills_started() == 9


@pytest.mark.planasonix_sandbox(speed=40)
def test_one_stage_without_a_ledger(planasonix_sandbox: Any) -> None:
    result = call(*WINDOW[:4], *QUICK, "--tables", "public.orders", "--priority", "high")
    assert result.exit_code == 0, result.output
    body = next(entry.body for entry in planasonix_sandbox.journal if "backfill_started" in entry.effect)
    assert (body["tables"], body["priority"], body["end_at"][:10]) == (["public.orders"], "high", "2026-01-05")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--start-at", "2026-01-01", "--end-at", "2026-01-05T00:00Z"), "with a time zone"),
        (("--start-at", "2026-01-05T00:00Z", "--end-at", "2026-01-01T00:00Z"), "must be after start_at"),
        ((*WINDOW[:4], "--stage", "1y"), "As in 6h, 1d, 1w or 1mo"),
        ((*WINDOW, "--timezone", "Mars/Base"), "time zone"),
        ((*WINDOW, "--name", "x"), "--name goes with --ledger"),
        ((*WINDOW, "--ledger", "l.db", "--name", "orders/eu"), "without '/'"),
        ((*WINDOW, "--ledger", "/nowhere/ledger.db"), "ledger"),
        ((*WINDOW, "--timeout", "0"), "timeout"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_sent(
    planasonix_sandbox: Any, arguments: tuple[str, ...], told: str
) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert planasonix_sandbox.calls() == 0


def test_while_another_job_runs_the_user_says_what_to_do(planasonix_sandbox: Any) -> None:
    with Planasonix() as client:
        client.connections.backfill(CONNECTION, start_at="2020-01-01T00:00:00Z", end_at="2020-01-02T00:00:00Z")
    skipped = call(*WINDOW, *QUICK, "--if-running", "skip")
    assert skipped.exit_code == 3
    assert "in 4 stages skipped: 4 not started" in skipped.stdout
    failed = call(*WINDOW, *QUICK, "--if-running", "fail")
    assert failed.exit_code == 1
    assert "409" in failed.stderr
    assert planasonix_sandbox.backfills_started() == 1


def test_a_refusal_that_every_stage_would_meet_is_told_once(planasonix_sandbox: Any) -> None:
    result = call(*WINDOW, "--priority", "whenever")
    assert result.exit_code == 1
    assert "priority must be one of low, normal, high" in result.stderr
    assert planasonix_sandbox.calls() == 1


COMMAND = [sys.executable, "-c", "from planasonix.cli import main; main()", "backfill", CONNECTION]


@pytest.mark.parametrize(
    ("profile", "number"),
    [
        pytest.param(
            name,
            number,
            marks=pytest.mark.planasonix_sandbox(
                profile=name, speed=10, busy="parallel", backfill_shard_days=1, backfill_concurrency=2
            ),
            id=name,
        )
        for name, number in (("strict", signal.SIGINT), ("rich", signal.SIGTERM))
    ],
)
def test_interrupted_in_the_middle_no_shard_lives_on(
    planasonix_sandbox: Any, tmp_path: Path, profile: str, number: signal.Signals
) -> None:
    """Two stages of four shards each run, half of the shards queued: all of them are cancelled."""
    planasonix_sandbox.script(CONNECTION, outcome="stuck")
    window = ("--start-at", "2026-01-01T00:00Z", "--end-at", "2026-01-17T00:00Z", "--stage", "4d")
    more = ("--max-active-stages", "2", "--ledger", str(tmp_path / "ledger.db"), *QUICK)
    child = subprocess.Popen([*COMMAND, *window, *more], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while planasonix_sandbox.calls("backfills.get") < 4:
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(number)
        _, told = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 130, told
    assert told.count("was cancelled") == 2
    assert planasonix_sandbox.api_key not in told
    started = planasonix_sandbox.backfills_started()
    jobs = planasonix_sandbox.jobs()
    assert started == 2
    assert len(jobs) >= 4
    assert {job["status"] for job in jobs} <= {"cancelled", "canceled"}

    # And the next call starts them again.
    planasonix_sandbox.script(CONNECTION, duration_seconds=1)
    again = subprocess.run([*COMMAND, *window, *more], capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 0, again.stderr
    assert planasonix_sandbox.backfills_started() == started + 4


@pytest.mark.planasonix_sandbox(speed=1)
def test_a_second_process_of_the_name_is_refused_until_the_first_is_killed(
    planasonix_sandbox: Any, tmp_path: Path
) -> None:
    """And reconcile, told that the first has ended, believes the system."""
    planasonix_sandbox.script(CONNECTION, outcome="stuck")
    path = str(tmp_path / "ledger.db")
    reconcile = ("reconcile", "--ledger", path, "--owner-ended", "nightly")
    child = subprocess.Popen([*COMMAND, *WINDOW, "--ledger", path, "--name", "nightly", *QUICK])
    try:
        deadline = time.monotonic() + 30
        while planasonix_sandbox.calls("backfills.get") < 1:
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        second = call(*WINDOW, "--ledger", path, "--name", "nightly", *QUICK)
        assert second.exit_code == 1
        assert "Another process works on 'nightly'" in second.stderr
        alive = CliRunner().invoke(planasonix, [*reconcile, "--apply"])
        assert (alive.exit_code, "a process holds it" in alive.stdout) == (0, True), alive.output
    finally:
        child.kill()
        child.wait()
    assert planasonix_sandbox.backfills_started() == 1
    assert planasonix_sandbox.calls("jobs.cancel") == 0
    ended = CliRunner().invoke(planasonix, list(reconcile))
    assert (ended.exit_code, "orphan [would be cancelled]" in ended.stdout) == (3, True), ended.output
