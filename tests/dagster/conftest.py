"""One sandbox process for all live tests of this folder, and a real Dagster for each module that defines one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.dagster_local import LocalDagster
from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess

# The API key of this run: looked for in all that Dagster and the sandbox wrote, and by `make test` in all output.
CANARY_KEY = os.environ.get("PLANASONIX_SANDBOX_API_KEY") or f"plnx_live_canary_{secrets.token_hex(16)}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whichever live test of a module comes first starts its Dagster: that has limits of its own.
    for item in items:
        if item.get_closest_marker("live") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(240, func_only=True))


@pytest.fixture(autouse=True)
def _no_storage_of_an_earlier_test() -> Iterator[None]:
    """Dagster keeps the state storage of the instance that was entered last, also after its folder is gone, where
    instances are left in another order than they were entered in; whoever loads definitions then asks it.
    """
    from dagster._core.storage.defs_state.base import set_defs_state_storage

    with set_defs_state_storage(None):
        yield


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    logs = tmp_path_factory.mktemp("sandbox")
    with SandboxProcess(free_port(), CANARY_KEY, logs) as process:
        yield process
    assert [path for path in logs.rglob("*") if path.is_file() and CANARY_KEY.encode() in path.read_bytes()] == []


@pytest.fixture
def sandbox_process(_sandbox: SandboxProcess) -> SandboxProcess:
    """The product's sandbox as a separate process, as new."""
    _sandbox.reset()
    return _sandbox


@pytest.fixture(scope="module")
def local_dagster(request: pytest.FixtureRequest, _sandbox: SandboxProcess) -> Iterator[LocalDagster]:
    """A running Dagster with what the test module says.

    `DEFINITIONS`: source of its `definitions.py`. `OPTIONS` (if there): more arguments of `LocalDagster`. All its
    processes have PLANASONIX_API_KEY and PLANASONIX_BASE_URL of the sandbox, and PLANASONIX_JOB_URL_TEMPLATE.
    """
    options: dict[str, Any] = dict(getattr(request.module, "OPTIONS", {}))
    variables = sandbox_variables(_sandbox) | options.pop("environment_variables", {})
    with LocalDagster(request.module.DEFINITIONS, environment_variables=variables, **options) as running:
        yield running
        assert running.files_with(CANARY_KEY) == [], "the API key stands in Dagster's logs or databases"


def sandbox_variables(sandbox: SandboxProcess) -> dict[str, str]:
    """The environment variables with which a process finds the sandbox."""
    return {
        "PLANASONIX_API_KEY": sandbox.api_key,
        "PLANASONIX_BASE_URL": sandbox.url,
        "PLANASONIX_JOB_URL_TEMPLATE": f"{sandbox.url}/#/{{kind}}s/{{id}}",
    }
