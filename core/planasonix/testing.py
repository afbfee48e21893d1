"""Pytest plugin: the fixture `planasonix_sandbox`, a served sandbox for tests of one's own pipelines.

    def test_nightly_load(planasonix_sandbox):
        with Planasonix() as client:  # finds the sandbox, see below
            job = client.connections.sync("conn_shop_orders")
            planasonix_sandbox.advance(60)
            client.jobs.wait(job.id)
        assert planasonix_sandbox.jobs_started() == 1

While such a test runs, PLANASONIX_BASE_URL and PLANASONIX_API_KEY name the sandbox, whatever they were before, and are
put back afterwards: a `Planasonix()` in the code under test, or in a process that it starts, never reaches a real
tenant. A key or address that the code passes itself still counts more.

Options of the sandbox are given with a marker:

    @pytest.mark.planasonix_sandbox(profile="rich", speed=60, busy="queue")
    def test_busy_connection(planasonix_sandbox): ...

The fixture's value is a `planasonix.sandbox.RunningSandbox`: `.url`, `.api_key`, `.transport()`, and
every method of the `Sandbox` behind it (`.script`, `.fault`, `.advance`, `.journal`, `.jobs_started()`,
...). It needs the extra `planasonix[testing]`.

The environment variable PLANASONIX_SANDBOX_API_KEY sets the key that the sandbox accepts: choose one that
you can then look for in your logs and databases, where it must not be.

Pytest imports this module in every run of an environment that has the package, so nothing of the sandbox,
and no server, is imported before a test asks for the fixture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from planasonix.sandbox import RunningSandbox

__all__ = ["planasonix_sandbox"]

_MARKER = "planasonix_sandbox"
KEY_VARIABLE = "PLANASONIX_SANDBOX_API_KEY"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{_MARKER}(**options): options of the Sandbox behind the fixture `planasonix_sandbox`"
    )


@pytest.fixture
def planasonix_sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    """A sandbox of its own for each test, served over HTTP on a free loopback port, stopped afterwards.

    PLANASONIX_BASE_URL and PLANASONIX_API_KEY name it for as long.
    """
    from planasonix.sandbox import Sandbox

    marker: pytest.Mark | None = request.node.get_closest_marker(_MARKER)  # pyright: ignore[reportUnknownMemberType]
    options: dict[str, Any] = dict(marker.kwargs) if marker else {}
    if key := os.environ.get(KEY_VARIABLE):
        options.setdefault("api_keys", key)
    with Sandbox(**options).serve() as running:
        monkeypatch.setenv("PLANASONIX_BASE_URL", running.url)
        monkeypatch.setenv("PLANASONIX_API_KEY", running.api_key)
        yield running
