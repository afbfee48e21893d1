"""The processes of push beside Prefect: a receiver and relays, each with its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from prefect_planasonix.credentials import PlanasonixCredentials
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect

SECRET = "whsec_relay_0123456789abcdef"


@contextmanager
def process(prefect: LocalPrefect, log: Path, *command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    with log.open("a") as out:
        started = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
            env=prefect.environment | variables,
        )
        try:
            yield started
        finally:
            started.kill()
            started.wait()
            assert started.stdout is not None
            started.stdout.close()


@contextmanager
def receiver(prefect: LocalPrefect, sandbox: SandboxProcess, inbox_url: str, log: Path) -> Iterator[Any]:
    command = ("-c", "from planasonix.cli import main; main()", "webhooks", "serve", "--port", "0", "--no-sweep")
    more = ("--scheme", "body", "--inbox", inbox_url)
    with process(prefect, log, *command, *more, PLANASONIX_WEBHOOK_SECRETS=SECRET) as started:
        assert started.stdout is not None
        url = started.stdout.readline().split()[-1]
        account = PlanasonixCredentials(api_key=SecretStr(sandbox.api_key), base_url=sandbox.url)
        made = account.ensure_webhook(url, secret=SecretStr(SECRET))
        assert account.ensure_webhook(url, secret=SECRET) == made
        yield started


def relay(prefect: LocalPrefect, inbox_url: str, log: Path, *options: str) -> Any:
    command = ("-m", "prefect_planasonix.relay", "--inbox", inbox_url, "--from-beginning", "--lease-seconds", "2")
    return process(prefect, log, *command, *options)
