"""Events in a real Airflow: the sandbox's webhook, the API server, the inbox, a watcher, a deferred task."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from planasonix.webhooks import Inbox
from scripts.airflow_local import LocalAirflow
from scripts.local.sandbox import SandboxProcess
from tests.airflow.push.world import EXAMPLE, SLOW, SWEEP_SECONDS, Pushed, airflow_with_inbox, without_receiver

pytestmark = [pytest.mark.live, pytest.mark.timeout(300, func_only=True)]

SECRET = f"whsec_canary_{secrets.token_hex(16)}"


@pytest.fixture(scope="module")
def inbox_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('inbox')}/inbox.db"


@pytest.fixture(scope="module")
def sandbox(_sandbox: SandboxProcess) -> SandboxProcess:
    """Kept as it is between the tests of this module: a reset would forget the webhook."""
    return _sandbox


@pytest.fixture(scope="module")
def pushed(sandbox: SandboxProcess, inbox_url: str) -> Iterator[LocalAirflow]:
    with airflow_with_inbox(sandbox, inbox_url, SECRET) as running:
        running.add_dag("planasonix_events.py", EXAMPLE.read_text())
        running.add_dag("slow.py", SLOW)
        yield running


def test_a_webhook_resumes_a_task_and_starts_a_dag(pushed: LocalAirflow, sandbox: SandboxProcess) -> None:
    world = Pushed(pushed, sandbox)
    seconds = world.resumed_after(world.finish(), 30)
    assert seconds <= 5
    assert pushed.wait_run(world.run) == "success"
    told = world.told()
    assert (told["job_id"], told["source"]) == (world.job["id"], "webhook")
    assert (told["connection_id"], told["status"]) == ("conn_shop_orders", "succeeded")
    assert told["rows_loaded"] > 0
    assert len(world.dag_runs()) == len(world.watched) + 1


@pytest.mark.scenario
def test_the_sweep_completes_both_while_the_receiver_is_dead(
    pushed: LocalAirflow, sandbox: SandboxProcess, inbox_url: str
) -> None:
    world = Pushed(pushed, sandbox)
    with without_receiver(pushed):
        world.finish()
        with Inbox.open(inbox_url) as inbox:
            pushed.wait_until(
                lambda: any(one.source == "sweep" and one.event.object_id == world.job["id"] for one in inbox.read(0)),
                "the sweep to find the end",
                3 * SWEEP_SECONDS,
            )
    assert pushed.wait_run(world.run, timeout_seconds=60) == "success"
    told = world.told()
    assert (told["job_id"], told["source"]) == (world.job["id"], "sweep")
    assert told["rows_loaded"] > 0
