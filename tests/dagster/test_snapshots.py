"""The search for leaked keys sees what Dagster stores compressed; and with `dg.EnvVar` there is nothing to see."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix.clients import close_clients
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix.sandbox import RunningSandbox, Sandbox
from scripts.dagster_local.reading import Reading
from tests.dagster.steps import spec_of

KEY = "plnx_live_canary_5n4p"


@pytest.fixture
def served() -> Iterator[RunningSandbox]:
    with Sandbox(api_keys=(KEY,), speed=500).serve() as running:
        yield running
    close_clients()


def files_with_key(home: Path, served: RunningSandbox, api_key: Any) -> list[str]:
    @dg.asset(metadata=spec_of("public.orders").metadata)
    def orders(context: dg.AssetExecutionContext, planasonix: PlanasonixWorkspace):
        yield from planasonix.sync_and_poll(context)

    workspace = PlanasonixWorkspace(api_key=api_key, base_url=served.url, poll_interval_seconds=0.05)
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        assert dg.materialize([orders], resources={"planasonix": workspace}, instance=instance).success
        reading = Reading()
        reading.home = home
        return [path.name for path in reading.files_with(KEY)]


def test_a_literal_key_stands_in_the_snapshot_of_the_job(served: RunningSandbox, tmp_path: Path) -> None:
    assert files_with_key(tmp_path, served, KEY) == ["runs.db"]


def test_a_key_of_the_environment_stands_nowhere(
    served: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANASONIX_API_KEY", KEY)
    assert files_with_key(tmp_path, served, dg.EnvVar("PLANASONIX_API_KEY")) == []
