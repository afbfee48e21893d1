"""The commands as processes: one that receives and sweeps, and the one that finds out how a tenant signs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from planasonix import Planasonix
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox
from planasonix.webhooks import Inbox, sign
from tests.core.webhooks.test_serve import PLANASONIX, SECRET, serving


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.05)


def test_serve_stores_what_is_delivered_and_what_it_swept(sqlite_url: str) -> None:
    sandbox = Sandbox("strict", busy="parallel")
    with (
        sandbox.serve() as running,
        serving(
            *("--inbox", sqlite_url, "--sweep-interval", "0.5"),
            PLANASONIX_WEBHOOK_SECRETS=SECRET,
            PLANASONIX_API_KEY=DEFAULT_API_KEY,
            PLANASONIX_BASE_URL=running.url,
        ) as url,
        Planasonix(DEFAULT_API_KEY, transport=sandbox.transport()) as client,
    ):
        client.webhooks.create(url, ["job.succeeded"], SECRET)
        inbox = Inbox.open(sqlite_url)
        until(lambda: inbox.note("sweep"))
        delivered, cancelled = client.connections.sync("conn_shop_orders"), client.connections.sync("conn_hr_people")
        sandbox.finish(delivered.id)
        sandbox.finish(cancelled.id, "cancelled")  # facts §3: no event of it is documented
        until(lambda: len(inbox.read(0)) >= 2)
    # `serving` has seen it end cleanly; the lease was given back, so that the next sweeper need not wait for it.
    found = {row.event.job_id: (row.event.status, row.source) for row in inbox.read(0)}
    assert found[cancelled.id] == ("cancelled", "sweep")
    assert found[delivered.id][0] == "succeeded"
    assert found[delivered.id][1] in ("webhook", "sweep"), "whichever was first; never both"
    assert len(inbox.read(0)) == 2
    assert inbox.lease("sweep", "the next one", 1.0) is not None
    inbox.close()


def test_what_was_acknowledged_before_a_sigterm_is_stored(sqlite_url: str) -> None:
    acknowledged: list[str] = []

    async def deliver(url: str, pid: int) -> None:
        async with httpx.AsyncClient() as client:

            async def one(number: int) -> None:
                body = f'{{"id":"evt_{number}","type":"job.failed","job_id":"job_{number}"}}'.encode()
                try:
                    answer = await client.post(url, content=body, headers=sign(body, SECRET, timestamp=None))
                except httpx.TransportError:  # the server has gone: its sender comes again
                    return
                if answer.status_code == 200:
                    acknowledged.append(f"evt_{number}")
                if len(acknowledged) == 20:
                    os.kill(pid, signal.SIGTERM)

            await asyncio.gather(*(one(number) for number in range(120)))

    command = [*PLANASONIX, "webhooks", "serve", "--port", "0", "--scheme", "body", "--inbox", sqlite_url]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLANASONIX_")}
    environment["PLANASONIX_WEBHOOK_SECRETS"] = SECRET
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            asyncio.run(deliver(process.stdout.readline().split()[-1], process.pid))
            assert process.wait(60) == 0
            assert process.stdout.read() == "Stopped.\n"
        finally:
            process.kill()
    with Inbox.open(sqlite_url) as inbox:
        stored = [row.event.event_id for row in inbox.read(0)]
    assert len(acknowledged) >= 20
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


@pytest.mark.parametrize("scheme", ["timestamped", "body"])
def test_probe_prints_the_option_to_pin_the_scheme_with(scheme: Any, tmp_path: Path) -> None:
    sandbox = Sandbox("strict", signature_scheme=scheme)
    with sandbox.serve() as running:
        environment = os.environ | {"PLANASONIX_API_KEY": DEFAULT_API_KEY, "PLANASONIX_BASE_URL": running.url}
        done = subprocess.run(
            [*PLANASONIX, "webhooks", "probe"], capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        with Planasonix(DEFAULT_API_KEY, transport=sandbox.transport()) as client:
            assert list(client.webhooks.list()) == []
    assert (done.returncode, done.stdout) == (0, f"--scheme {scheme}\n"), done.stderr
    listening, told = done.stderr.splitlines()
    assert re.fullmatch(r"Listening on 127\.0\.0\.1:\d+", listening)
    assert told == "The key is the secret as text."
