"""A task is cleared while its start request is under way: its store is gone when the answer comes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_planasonix import attempt as attempt_module
from airflow_provider_planasonix import staged_attempt as staged_attempt_module
from airflow_provider_planasonix.attempt import Attempt
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from planasonix import Planasonix
from planasonix.runs import SyncRequest


class StoreOfAClearedTask(dict[str, Any]):
    """Takes what is written before the request, and nothing that names its job."""

    def set(self, key: str, value: dict[str, Any]) -> None:
        # A stage's entry is a record itself, a task's holds one.
        if (value.get("record") or value).get("run_id"):
            raise LookupError("task instance not found")
        self[key] = value


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
