"""A flow run that an event started tells what it starts how deep in the chain it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task

from planasonix.errors import ConfigurationError, FeedbackLoopError
from planasonix.runs import StagedOutcome
from planasonix.sandbox import RunningSandbox
from planasonix.webhooks.causes import depth_of_run
from prefect_planasonix import PlanasonixCredentials
from prefect_planasonix.chain import MAX_DEPTH_VARIABLE, cause_in, max_depth
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.flows import run_backfill, run_sync
from prefect_planasonix.ledger import records_of
from prefect_planasonix.tasks import start_sync
from tests.prefect.conftest import CANARY_KEY

pytestmark = pytest.mark.usefixtures("prefect_server")
ORDERS = "conn_shop_orders"
EVENT = {"event_id": "e", "type": "planasonix.job.succeeded", "kind": "job", "id": "job_0", "status": "succeeded"}
Reload = dict[str, Any]


@pytest.fixture
def credentials(sandbox: RunningSandbox, tmp_path: Path) -> PlanasonixCredentials:
    sandbox.set_speed(1000)
    return PlanasonixCredentials(
        api_key=CANARY_KEY,  # pyright: ignore[reportArgumentType]
        base_url=sandbox.url,
        inbox_url=f"sqlite:///{tmp_path / 'inbox.db'}",  # pyright: ignore[reportArgumentType]
    )


@pytest.fixture
def inbox_url(credentials: PlanasonixCredentials) -> str:
    assert credentials.inbox_url is not None
    return credentials.inbox_url.get_secret_value()


def test_a_sync_a_task_and_stages_are_one_deeper_also_in_subflows(
    credentials: PlanasonixCredentials, inbox_url: str
) -> None:
    found: list[tuple[str, str]] = []

    @task
    def below() -> None:
        handle = start_sync.fn(credentials, "conn_support_tickets")
        found.append((handle["kind"], handle["id"]))

    @flow
    def reload(planasonix_event: Reload | None = None) -> None:
        outcome = run_sync(credentials, ORDERS, poll_interval_seconds=0.2)
        assert outcome is not None
        found.append(("job", outcome.id))
        below()
        window = ("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z")
        staged = run_backfill(credentials, ORDERS, *window, stage="1d", poll_interval_seconds=0.2)
        assert isinstance(staged, StagedOutcome)
        found.extend(("backfill", str(stage.id)) for stage in staged.stages)

    reload({**EVENT, "depth": 1})
    assert len(found) == 4
    assert {depth_of_run(inbox_url, kind, run_id) for kind, run_id in found} == {2}


def test_the_limit_stops_before_anything_is_started(
    credentials: PlanasonixCredentials, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    @flow
    def reload(planasonix_event: Reload | None = None) -> Any:
        return run_sync(credentials, ORDERS, poll_interval_seconds=0.2)

    started = sandbox.jobs_started()
    with pytest.raises(FeedbackLoopError, match="3 runs in a row"):
        reload({**EVENT, "depth": 3})
    monkeypatch.setenv(MAX_DEPTH_VARIABLE, "1")
    with pytest.raises(FeedbackLoopError, match="1 runs in a row"):
        reload({**EVENT, "depth": 1})
    monkeypatch.setenv(MAX_DEPTH_VARIABLE, "many")
    with pytest.raises(ConfigurationError, match=MAX_DEPTH_VARIABLE):
        reload(EVENT)
    assert sandbox.jobs_started() == started
    # Without an event nobody asks for the limit.
    assert reload() is not None


def test_the_ledger_keeps_the_depth_for_the_relay(credentials: PlanasonixCredentials) -> None:
    @flow
    def reload(planasonix_event: Reload | None = None) -> str:
        from prefect.runtime import flow_run

        run_sync(credentials, ORDERS, poll_interval_seconds=0.2)
        return str(flow_run.id)

    [entry] = records_of(prefect_client(), reload(EVENT))
    assert entry.record.depth == 1


@pytest.mark.parametrize("given", [None, {}, "event", 3, ["event"]])
def test_what_is_no_event_is_none(given: Any) -> None:
    assert cause_in({"planasonix_event": given}) is None
    assert cause_in(None) is None


def test_the_limit_that_is_not_set_is_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MAX_DEPTH_VARIABLE, raising=False)
    assert max_depth() == 3
