"""A task is cleared while its start request is under way: its store is gone when the answer comes."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_planasonix import attempt as attempt_module
from airflow_provider_planasonix import staged_attempt as staged_attempt_module
from airflow_provider_planasonix.attempt import Attempt
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from airflow_provider_planasonix.provenance import provenance_of
from planasonix import Planasonix
from planasonix.runs import Record, SyncRequest


class StoreOfAClearedTask(dict[str, Any]):
    """Takes what is written before the request, and nothing that names its job."""

    def set(self, key: str, value: dict[str, Any]) -> None:
        # A stage's entry is a record itself, a task's holds one.
        if (value.get("record") or value).get("run_id"):
            raise LookupError("task instance not found")
        self[key] = value


class Store(dict[str, Any]):
    set = dict.__setitem__


def context_of(task: Any) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="nightly", run_id="manual__1", task_id="sync", map_index=-1, try_number=1, max_tries=1, log_url=None
    )
    return {
        "ti": ti,
        "task": task,
        "dag_run": SimpleNamespace(clear_number=0),
        "task_state_store": StoreOfAClearedTask(),
    }


@pytest.mark.parametrize(("given_up", "cancels"), [(True, 1), (False, 0)])
def test_the_job_of_a_cleared_start_is_cancelled_and_that_of_a_broken_store_is_left(
    planasonix_sandbox: Any, monkeypatch: pytest.MonkeyPatch, given_up: bool, cancels: int
) -> None:
    monkeypatch.setattr(attempt_module, "is_given_up_now", lambda task: given_up)
    operator = PlanasonixSyncOperator(task_id="sync", connection_id="conn_shop_orders")
    with Planasonix() as client, pytest.raises(LookupError, match="not found"):
        Attempt(operator, context_of(operator)).run(client, SyncRequest("conn_shop_orders"))
    assert planasonix_sandbox.jobs_started() == 1
    assert planasonix_sandbox.cancels() == cancels


@pytest.mark.parametrize(("given_up", "left"), [(True, 0), (False, 1)])
def test_so_is_that_of_a_stage(
    planasonix_sandbox: Any, monkeypatch: pytest.MonkeyPatch, given_up: bool, left: int
) -> None:
    monkeypatch.setattr(staged_attempt_module, "is_given_up_now", lambda task: given_up)
    planasonix_sandbox.script("conn_shop_orders", outcome="stuck")
    operator = PlanasonixBackfillOperator(
        task_id="load",
        connection_id="conn_shop_orders",
        partitions=[("2026-01-01T00:00Z", "2026-01-02T00:00Z"), ("2026-01-02T00:00Z", "2026-01-03T00:00Z")],
    )
    asked = operator.run_request({})
    with Planasonix() as client, pytest.raises(LookupError, match="not found"):
        operator.new_attempt(context_of(operator)).run(client, asked)
    with Planasonix() as client:
        [backfill] = client.backfills.list()
    assert (backfill.phase == "active") == bool(left)


@pytest.mark.parametrize(("echoes", "cancels"), [(True, 1), (False, 0)])
@pytest.mark.parametrize("cancel_on_kill", [True, False])
def test_a_time_limit_between_request_and_answer_looks_for_the_job_that_it_gives_up(
    request: pytest.FixtureRequest, echoes: bool, cancels: int, cancel_on_kill: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    request.node.add_marker(pytest.mark.planasonix_sandbox(echo_metadata=echoes))
    sandbox = request.getfixturevalue("planasonix_sandbox")
    sandbox.script("conn_shop_orders", outcome="stuck")
    operator = PlanasonixSyncOperator(task_id="sync", connection_id="conn_shop_orders", cancel_on_kill=cancel_on_kill)
    context = context_of(operator)
    context["task_state_store"] = Store()
    attempt = Attempt(operator, context)
    with Planasonix() as client:
        metadata = provenance_of(context).metadata(attempt.ledger.intent, 0)
        record = Record.fresh(attempt.ledger.intent, SyncRequest("conn_shop_orders"), metadata)
        attempt.ledger.write(replace(record, sent_at=time.time()))
        client.connections.sync("conn_shop_orders", metadata=metadata)
        attempt.cancel_what_was_started(client)
    assert sandbox.cancels() == (cancels if cancel_on_kill else 0)
    if not (echoes and cancel_on_kill):
        assert "took effect is not known" in capsys.readouterr().out
