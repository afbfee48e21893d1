"""One Prefect for the unit tests, one sandbox for each kind of test, a real Prefect for each module that asks for one.

The Prefect home of all tests is a folder of this session, in which the API key is looked for at the end.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Prefect reads its settings when it is imported, and test modules import it before any fixture is made.
HOME = Path(tempfile.mkdtemp(prefix="prefect-tests-"))
os.environ.update(
    {
        "PREFECT_HOME": str(HOME),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_COLORS": "false",
    }
)
os.environ.pop("PREFECT_API_URL", None)

import pytest  # noqa: E402

from planasonix.sandbox import RunningSandbox, Sandbox  # noqa: E402
from scripts.local.ports import free_port  # noqa: E402
from scripts.local.sandbox import SandboxProcess  # noqa: E402
from scripts.prefect_local import LocalPrefect  # noqa: E402
from scripts.prefect_local.leaks import files_with  # noqa: E402

# The API key of this run: looked for in all that Prefect and the sandbox wrote, and by `make test` in all output.
CANARY_KEY = os.environ.get("PLANASONIX_SANDBOX_API_KEY") or f"plnx_live_canary_{secrets.token_hex(16)}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whichever test comes first starts a Prefect, which has limits of its own.
    for item in items:
        if not item.get_closest_marker("timeout"):
            seconds = 240 if item.get_closest_marker("live") else 120
            item.add_marker(pytest.mark.timeout(seconds, func_only=True))
        # The wrong one of two twins is often no more than a warning; from a destructor it comes as pytest's own.
        item.add_marker(pytest.mark.filterwarnings("error::RuntimeWarning"))
        item.add_marker(pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def _home() -> Iterator[Path]:
    yield HOME
    try:
        assert files_with(HOME, CANARY_KEY) == [], "the API key stands in Prefect's results, logs or database"
    finally:
        shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def prefect_server(_home: Path) -> Iterator[str]:
    """A Prefect of this session's tests, for flows that run in their process; its address (`…/api`)."""
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_DATABASE_CONNECTION_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=300):
        # Beside the home, in a folder that the harness removes: what is kept there is to be looked through as well.
        database = Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition(":///")[2])
        yield str(PREFECT_API_URL.value())
        assert files_with(database.parent, CANARY_KEY) == [], "the API key stands in Prefect's database"


@pytest.fixture(scope="session")
def _served() -> Iterator[RunningSandbox]:
    with Sandbox(api_keys=(CANARY_KEY,)).serve() as running:
        yield running


@pytest.fixture
def sandbox(_served: RunningSandbox) -> RunningSandbox:
    """The product's sandbox in a thread of this process, as new; its only API key is `CANARY_KEY`."""
    _served.reset()
    return _served


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    logs = tmp_path_factory.mktemp("sandbox")
    with SandboxProcess(free_port(), CANARY_KEY, logs) as process:
        yield process
    assert [path for path in logs.rglob("*") if path.is_file() and CANARY_KEY.encode() in path.read_bytes()] == []


@pytest.fixture
def sandbox_process(_sandbox: SandboxProcess) -> SandboxProcess:
    """The product's sandbox as a separate process, as new: for the processes of a `local_prefect`."""
    _sandbox.reset()
    return _sandbox


@pytest.fixture(scope="module")
def local_prefect(request: pytest.FixtureRequest, _sandbox: SandboxProcess) -> Iterator[LocalPrefect]:
    """A running Prefect with a process worker, as the test module says.

    `FLOWS`: sources of its flows' files, by name. `OPTIONS` (if there): more arguments of `LocalPrefect`. All its
    processes have PLANASONIX_API_KEY and PLANASONIX_BASE_URL of the sandbox, and PLANASONIX_JOB_URL_TEMPLATE.
    """
    options: dict[str, Any] = dict(getattr(request.module, "OPTIONS", {}))
    variables = sandbox_variables(_sandbox) | options.pop("environment_variables", {})
    with LocalPrefect(request.module.FLOWS, environment_variables=variables, **options) as running:
        yield running
        assert running.files_with(CANARY_KEY) == [], "the API key stands in Prefect's logs, results or database"


def sandbox_variables(sandbox: SandboxProcess) -> dict[str, str]:
    """The environment variables with which a process finds the sandbox."""
    return {
        "PLANASONIX_API_KEY": sandbox.api_key,
        "PLANASONIX_BASE_URL": sandbox.url,
        "PLANASONIX_JOB_URL_TEMPLATE": f"{sandbox.url}/#/{{kind}}s/{{id}}",
    }
