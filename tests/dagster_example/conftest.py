"""The example project on a real `dg dev`, as a user starts it: for all tests of this folder.

Driven from outside, over the webserver: the core's environment has the browser, and nothing of Dagster.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.dagster_local import LocalDagster
from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess

PROJECT = Path(__file__).resolve().parents[2] / "example_dags" / "dagster"
CANARY_KEY = os.environ.get("PLANASONIX_SANDBOX_API_KEY") or f"plnx_live_canary_{secrets.token_hex(16)}"


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    logs = tmp_path_factory.mktemp("sandbox")
    with SandboxProcess(free_port(), CANARY_KEY, logs) as process:
        yield process
    assert [path for path in logs.rglob("*") if path.is_file() and CANARY_KEY.encode() in path.read_bytes()] == []


@pytest.fixture(scope="session")
def example(sandbox: SandboxProcess) -> Iterator[LocalDagster]:
    variables = {
        "PLANASONIX_API_KEY": sandbox.api_key,
        "PLANASONIX_BASE_URL": sandbox.url,
        "PLANASONIX_JOB_URL_TEMPLATE": f"{sandbox.url}/#/{{kind}}s/{{id}}",
    }
    with LocalDagster(PROJECT, environment_variables=variables) as running:
        yield running
        assert running.files_with(CANARY_KEY) == [], "the API key stands in Dagster's logs or databases"


@pytest.fixture(scope="session")
def loaded(example: LocalDagster) -> dict[str, str]:
    """The runs that the tests look at, all at once; by name. They have ended well."""
    runs = {
        "shop": example.launch_assets("raw/shop/orders", "raw/shop/customers"),
        "crm": example.launch_assets("raw/crm/account", "raw/crm/companies"),
        "tickets": example.launch_range("2026-03-28", "2026-03-29", "support_tickets/zendesk/tickets"),
        "billing": example.launch_assets("billing_stripe/stripe/charges"),
    }
    example.start_sensor("planasonix_billing")
    assert {name: example.wait_run(run_id, timeout_seconds=240) for name, run_id in runs.items()} == dict.fromkeys(
        runs, "SUCCESS"
    )
    return runs
