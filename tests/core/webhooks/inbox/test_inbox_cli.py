"""`planasonix inbox list`, `webhooks replay` and `webhooks tail`, as a shell calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from planasonix.cli.group import planasonix
from planasonix.webhooks.inbox import Arrival, Inbox
from tests.core.webhooks.inbox.making import arrived, job_event


def _call(*arguments: str) -> Result:
    result = CliRunner().invoke(planasonix, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def _listed(*arguments: str) -> list[dict[str, Any]]:
    result = _call("inbox", "list", "--output", "json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def inbox(sqlite_url: str) -> Any:
    with Inbox.open(sqlite_url) as inbox:
        inbox.add([arrived(1, timestamp="2026-03-01T12:00:00Z", note="customer 4711"), arrived(2)])
        inbox.add([Arrival.of(job_event(3, type="backfill.failed", backfill_id="bf_3"), "sweep")])
        yield inbox


def test_list_shows_one_event_a_line(inbox: Inbox) -> None:
    rows = _listed("--inbox", inbox.url)
    assert [row["event_id"] for row in rows] == ["evt_1", "evt_2", "evt_3"]
    assert list(rows[0])[:4] == ["event_id", "type", "job_id", "received_at"]
    assert (rows[0]["type"], rows[0]["job_id"], rows[0]["status"]) == ("job.succeeded", "job_1", "succeeded")
    assert rows[0]["occurred_at"] == "2026-03-01T12:00:00Z"
    assert rows[0]["received_at"].endswith("Z")
    assert (rows[2]["source"], rows[2]["kind"], rows[2]["object_id"]) == ("sweep", "backfill", "bf_3")
    assert "4711" not in str(rows)
    text = _call("inbox", "list", "--inbox", inbox.url).stdout.splitlines()
    assert "job_1" in text[0]
    assert "bf_3  (sweep)" in text[2]
    assert [row["seq"] for row in _listed("--inbox", inbox.url, "--limit", "2")] == [1, 2]
    assert [row["seq"] for row in _listed("--inbox", inbox.url, "--after", "1", "--limit", "1")] == [2]


def test_a_consumers_backlog_and_dead_letters_and_their_replay(inbox: Inbox) -> None:
    url = inbox.url
    inbox.advance("relay", 1)
    inbox.failed("relay", 2, RuntimeError("target said no"), attempts=8)
    inbox.add([Arrival.unreadable(b"\xff", "not JSON")])
    assert [row["seq"] for row in _listed("--inbox", url, "--consumer", "relay")] == [3]
    given_up, unreadable = _listed("--inbox", url, "--dead")
    assert (given_up["event_id"], given_up["consumer"], given_up["attempts"]) == ("evt_2", "relay", 8)
    assert given_up["error"] == "RuntimeError: target said no"
    assert (unreadable["event_id"], unreadable["consumer"], unreadable["error"]) == (None, None, "not JSON")
    assert "dead letter 1 of relay: RuntimeError" in _call("inbox", "list", "--inbox", url, "--dead").stdout
    assert _listed("--inbox", url, "--dead", "--consumer", "relay") == [given_up]

    replayed = _call("webhooks", "replay", "--inbox", url, "--dead")
    assert "1 put again" in replayed.stdout
    assert [row["error"] for row in _listed("--inbox", url, "--dead")] == ["not JSON"]
    rows = _listed("--inbox", url, "--consumer", "relay")
    assert [(row["seq"], row["replay_of"], row["only_for"]) for row in rows] == [(3, None, None), (4, 2, "relay")]
    assert [row["seq"] for row in _listed("--inbox", url, "--consumer", "other", "--after", "2")] == [3]


def test_replay_by_number_and_id(inbox: Inbox) -> None:
    result = _call("webhooks", "replay", "--inbox", inbox.url, "--seq", "1", "--event-id", "evt_3", "--consumer", "x")
    assert "2 put again before x" in result.stdout
    assert "No consumer called 'x' keeps its place" in result.stderr
    inbox.advance("y", 1)
    assert "No consumer" not in _call("webhooks", "replay", "--inbox", inbox.url, "--dead", "--consumer", "y").stderr
    assert [(one.replay_of, one.only_for) for one in inbox.read(3)] == [(1, "x"), (3, "x")]
    for wrong in (("--seq", "99"), ("--event-id", "evt_99"), ("--dead-letter", "99"), ()):
        result = _call("webhooks", "replay", "--inbox", inbox.url, *wrong)
        assert result.exit_code == 2, result.output


def test_a_wrong_inbox_is_told_and_none_is_made(tmp_path: Path) -> None:
    result = _call("inbox", "list", "--inbox", f"sqlite:///{tmp_path}/wrong.db")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no inbox" in result.stderr
    assert list(tmp_path.iterdir()) == []
    result = _call("inbox", "list", "--inbox", "mysql://u:hunter2hunter2@host/db")
    assert result.exit_code == 2
    assert "hunter2" not in result.output
    assert "mysql" in result.output


def test_tail_shows_the_last_events_and_then_what_arrives(inbox: Inbox) -> None:
    last = _call("webhooks", "tail", "--inbox", inbox.url, "--no-follow", "-n", "2", "--output", "json")
    assert [json.loads(line)["seq"] for line in last.stdout.splitlines()] == [2, 3]
    process = subprocess.Popen(
        [sys.executable, "-c", "from planasonix.cli import main; main()", "webhooks", "tail", "-n", "1"],
        env=os.environ | {"PLANASONIX_INBOX": inbox.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    try:
        assert "bf_3" in process.stdout.readline()
        inbox.add([arrived(4)])
        assert "job_4" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()


def test_prune_tells_what_is_gone_and_who_had_not_read_it(inbox: Inbox) -> None:
    inbox.subscribe("slow", "beginning")
    inbox.subscribe("quick")
    assert "Removed 0 events" in _call("inbox", "prune", "--inbox", inbox.url).stdout
    result = _call("inbox", "prune", "--inbox", inbox.url, "--older-than-days", "0")
    assert "Removed 3 events, 0 dead letters and 0 keys." in result.stdout
    assert "by: slow." in result.stderr
    assert inbox.add([arrived(2)])[0].duplicate
