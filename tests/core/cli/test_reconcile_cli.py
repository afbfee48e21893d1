"""`planasonix reconcile` against a served sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from planasonix import Planasonix
from planasonix.cli.group import planasonix
from planasonix.runs import Policy, Provenance, Record, SqliteLedger, SyncRequest, start_run

pytestmark = pytest.mark.planasonix_sandbox(speed=0)


def call(*arguments: str, **environment: str) -> Result:
    result = CliRunner().invoke(planasonix, ["reconcile", *arguments], env=environment)
    assert os.environ["PLANASONIX_API_KEY"] not in result.output
    return result


@pytest.fixture
def ledger(planasonix_sandbox: Any, tmp_path: Path) -> str:
    """Two jobs run; the scripts that started them are gone, and the second left its job on purpose."""
    path = tmp_path / "my ledger.db"
    with Planasonix() as client:
        for slot, connection_id, leave in (("nightly", "conn_shop_orders", False), ("left", "conn_hr_people", True)):
            start_run(
                client,
                SyncRequest(connection_id),
                intent=slot,
                ledger=SqliteLedger(path, slot),
                provenance=Provenance("test", slot),
                policy=Policy(leave_running=leave),
            )
    return str(path)


def test_list_apply_and_again(ledger: str, planasonix_sandbox: Any) -> None:
    arguments = ("--ledger", ledger, "--owner-ended", "nightly", "--owner-ended", "left")
    job_id = SqliteLedger(ledger, "nightly").read().run_id  # type: ignore[union-attr]

    dry = call(*arguments)
    assert dry.exit_code == 3, dry.stderr
    assert f"orphan [would be cancelled]: job {job_id} of connection conn_shop_orders" in dry.stdout
    assert f"planasonix reconcile --ledger '{ledger}' --owner-ended nightly --owner-ended left --apply" in dry.stdout
    assert planasonix_sandbox.counts()["cancels"] == 0

    applied = call(*arguments, "--apply")
    assert applied.exit_code == 0, applied.stderr
    assert f"orphan [cancelled]: job {job_id}" in applied.stdout
    assert planasonix_sandbox.counts()["cancels"] == 1

    planasonix_sandbox.advance(60)
    again = call(*arguments, "--apply", "--output", "json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["counts"] == {"left": 1, "settled": 1}
    assert planasonix_sandbox.counts()["cancels"] == 1


def test_json_of_a_dry_run(ledger: str) -> None:
    dry = call("--ledger", ledger, "--owner-ended", "nightly", "--grace", "5", "--output", "json")
    data = json.loads(dry.stdout)
    assert (dry.exit_code, data["applied"], data["counts"]) == (3, False, {"orphan": 1, "left": 1})
    [orphan] = [finding for finding in data["findings"] if finding["kind"] == "orphan"]
    assert (orphan["slot"], orphan["action"], orphan["status"]) == ("nightly", "would_cancel", "queued")
    assert data["to_apply"].endswith("--owner-ended nightly --grace 5 --output json --apply")


def test_nobody_is_known_to_have_ended(ledger: str) -> None:
    done = call("--ledger", ledger, "--apply")
    assert done.exit_code == 0
    assert "2 findings: 2 left" in done.stdout


def test_a_lost_answer_needs_a_human(planasonix_sandbox: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Planasonix() as client:
        job = client.connections.sync("conn_shop_orders")
    assert job.created_at is not None
    record = Record.fresh("token", SyncRequest("conn_shop_orders"), {})
    sent_at = job.created_at.timestamp() - 1
    SqliteLedger(path, "nightly").write(replace(record, sent_at=sent_at))
    done = call("--ledger", str(path), "--owner-ended", "nightly", "--apply")
    assert done.exit_code == 1
    assert f"{job.id} (queued)" in done.stdout
    assert planasonix_sandbox.counts()["cancels"] == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "either --ledger FILE or --source NAME"),
        (("--ledger", "a", "--source", "b"), "either --ledger FILE or --source NAME"),
        (("--source", "airflow", "--owner-ended", "x"), "--owner-ended goes with --ledger"),
        (("--ledger", "a", "--option", "x=y"), "--option goes with --source"),
        (("--source", "nosuch", "--option", "x"), "KEY=VALUE"),
        (("--source", "nosuch"), "'nosuch'"),
        (("--ledger", "/nowhere/ledger.db"), "cannot be read"),
    ],
)
def test_wrong_arguments(planasonix_sandbox: Any, arguments: tuple[str, ...], text: str) -> None:
    done = call(*arguments)
    assert (done.exit_code, text in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert planasonix_sandbox.counts()["calls"] == 0


def test_a_refused_key_is_told(ledger: str) -> None:
    done = call("--ledger", ledger, "--owner-ended", "nightly", PLANASONIX_API_KEY="plnx_live_another")
    assert done.exit_code == 1
    assert "401" in done.stderr


def test_as_a_process(ledger: str) -> None:
    program = str(Path(sys.executable).with_name("planasonix"))
    command = [program, "reconcile", "--ledger", ledger, "--owner-ended", "nightly"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")
    assert "orphan [would be cancelled]" in done.stdout
