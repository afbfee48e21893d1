"""What Airflow calls beside `execute`: on_kill after its own time limit, and the end of a deferral that timed out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.bases.operator import TriggerFailureReason
from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferralTimeout

from airflow_provider_planasonix.assets import planasonix_table
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from planasonix import Planasonix
from planasonix.errors import ConfigurationError
from planasonix.sandbox import Sandbox

ORDERS = "conn_shop_orders"


class AttemptThatTimesOut:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def run(self, client: Any, request: Any) -> Any:
        raise AirflowTaskTimeout

    def cancel_what_was_started(self, client: Any) -> None:
        self.calls.append("cancel")

    def on_signal(self) -> None:
        self.calls.append("signal")


def sync(**arguments: Any) -> PlanasonixSyncOperator:
    operator = PlanasonixSyncOperator(**{"task_id": "sync", "connection_id": ORDERS, **arguments})
    client = Planasonix("plnx_live_sandbox", transport=Sandbox().transport())
    operator.__dict__["hook"] = SimpleNamespace(get_client=lambda: client)
    return operator


def test_airflows_own_call_of_on_kill_after_a_time_limit_is_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    operator, attempt = sync(), AttemptThatTimesOut()
    monkeypatch.setattr(operator, "new_attempt", lambda context: attempt)
    with pytest.raises(AirflowTaskTimeout):
        operator.execute({})
    operator.on_kill()
    assert attempt.calls == ["cancel"]


def test_a_deferral_that_timed_out_is_told_as_that_though_nothing_can_be_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = sync()
    monkeypatch.setattr(operator, "new_attempt", lambda context: AttemptThatTimesOut())

    def out_of_reach() -> Any:
        raise ConnectionError("no secrets backend")

    operator.__dict__["hook"] = SimpleNamespace(get_client=out_of_reach)
    with pytest.raises(TaskDeferralTimeout):
        operator.resume_execution("__fail__", {"error": TriggerFailureReason.TRIGGER_TIMEOUT}, {})


@pytest.mark.parametrize("outlet", [planasonix_table(ORDERS, "public.orders"), AssetAlias("tables")])
def test_no_event_of_a_run_that_nobody_waits_for(monkeypatch: pytest.MonkeyPatch, outlet: Any) -> None:
    """A template is known on the worker: refused before anything is sent."""
    operator, attempt = sync(outlets=[outlet], wait_for_completion="{{ params.wait }}"), AttemptThatTimesOut()
    monkeypatch.setattr(operator, "new_attempt", lambda context: attempt)
    operator.wait_for_completion = False
    with pytest.raises(ConfigurationError) as caught:
        operator.execute({})
    assert caught.value.field == "outlets"
    assert attempt.calls == []


def test_an_asset_of_something_else_is_the_authors_own_word(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = sync(outlets=[Asset("s3://lake/orders")], wait_for_completion=False)
    monkeypatch.setattr(operator, "new_attempt", lambda context: AttemptThatTimesOut())
    with pytest.raises(AirflowTaskTimeout):
        operator.execute({})
