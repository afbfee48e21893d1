"""The receiver as a process of its own, with real deliveries from a sandbox."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from planasonix import Planasonix
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox
from planasonix.webhooks import Inbox, sign
from planasonix.webhooks.secrets_file import SecretsFile
from planasonix.webhooks.subscriptions import rotate

PLANASONIX = (sys.executable, "-c", "from planasonix.cli import main; main()")
SECRET = "whsec_0123456789abcdef"


@contextmanager
def serving(*options: str, scheme: str = "body", **environment: str) -> Iterator[str]:
    command = [*PLANASONIX, "webhooks", "serve", "--port", "0", "--scheme", scheme, *options]
    known = {name: value for name, value in os.environ.items() if not name.startswith("PLANASONIX_")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=known | environment)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("Receiving on "), line
        yield line.split()[-1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stdout.read() == "Stopped.\n"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def within(seconds: float, inbox: Inbox, count: int) -> list[str]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rows = inbox.read(0)
        if len(rows) >= count:
            break
        time.sleep(0.1)
    return [row.event.event_id for row in inbox.read(0)]


def test_a_key_that_changes_under_load_loses_no_delivery(tmp_path: Path, sqlite_url: str) -> None:
    path = tmp_path / "secrets"
    SecretsFile(path).add(SECRET)
    sandbox = Sandbox("strict", delivery_duplicates=1, delivery_reorder=True, busy="parallel")
    with (
        sandbox.serve(),
        serving("--inbox", sqlite_url, "--secrets-file", str(path)) as url,
        Planasonix(DEFAULT_API_KEY, transport=sandbox.transport()) as client,
    ):
        hook = client.webhooks.create(url, ["job.succeeded"], SECRET)
        jobs: list[str] = []

        def end_some(count: int) -> None:
            for _ in range(count):
                job = client.connections.sync("conn_shop_orders")
                sandbox.finish(job.id)
                jobs.append(job.id)

        end_some(10)
        # The API signs with the new secret before it is in the file.
        rotate(client, hook.id, str(path), sleep=lambda _: end_some(10))
        end_some(10)
        with Inbox.open(sqlite_url) as inbox:
            within(60, inbox, len(jobs))
            assert sorted(row.event.job_id or "" for row in inbox.read(0)) == sorted(jobs)


def test_it_stores_what_is_genuine_once_and_drains(sqlite_url: str) -> None:
    body = b'{"id":"evt_1","type":"job.failed","job_id":"job_1"}'
    with serving("--inbox", sqlite_url, scheme="timestamped", PLANASONIX_WEBHOOK_SECRETS=SECRET) as url:
        headers = sign(body, SECRET, timestamp=int(time.time()))
        answers = [httpx.post(url, content=body, headers=headers).status_code for _ in range(3)]
        assert answers == [200, 200, 200]
        assert httpx.post(url, content=body + b" ", headers=headers).status_code == 401
        assert httpx.get(url.replace("/planasonix/webhooks", "/healthz")).status_code == 200
    with Inbox.open(sqlite_url) as inbox:
        assert [row.event.event_id for row in inbox.read(0)] == ["evt_1"]


@pytest.mark.parametrize(
    ("inbox", "secrets", "told"),
    [
        ("sqlite:///x.db", "", "no signing secret"),
        ("sqlite:///x.db", "weak", "16 bytes"),
        ("mysql://me:hidden@h/x", SECRET, "inbox"),
    ],
)
def test_it_refuses_to_start_and_says_why(inbox: str, secrets: str, told: str, tmp_path: Path) -> None:
    command = [*PLANASONIX, "webhooks", "serve", "--scheme", "body", "--inbox", inbox]
    environment = os.environ | {"PLANASONIX_WEBHOOK_SECRETS": secrets}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "hidden" not in done.stderr
