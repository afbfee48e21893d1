"""A job that succeeded with warnings leaves its task green: the log tells them loudly enough to be looked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from planasonix import Planasonix

WINDOW = {"start_at": "2026-01-01T00:00Z", "end_at": "2026-01-02T00:00Z"}


class Store(dict[str, Any]):
    def set(self, key: str, value: Any) -> None:
        self[key] = value


def context_of(task: Any) -> dict[str, Any]:
    ti = SimpleNamespace(
        **{"dag_id": "nightly", "run_id": "manual__1", "task_id": "load", "map_index": -1},
        **{"try_number": 1, "max_tries": 1, "log_url": None, "xcom_push": lambda **_: None},
    )
    return {"ti": ti, "task": task, "dag_run": SimpleNamespace(clear_number=0), "task_state_store": Store()}


@pytest.mark.planasonix_sandbox(speed=600)
@pytest.mark.parametrize(
    ("table", "level"), [("stripe.charges", "info"), ("stripe.chargez", "warning")], ids=["right", "typo"]
)
@pytest.mark.parametrize("stage", [None, "1d"], ids=["at once", "in stages"])
def test_a_table_that_does_not_exist_is_a_warning_in_the_log(
    planasonix_sandbox: Any, table: str, level: str, stage: str | None
) -> None:
    operator = PlanasonixBackfillOperator(
        **{"task_id": "load", "connection_id": "conn_billing_stripe", "tables": [table], "stage": stage, **WINDOW},
        **{"deferrable": False, "poll_interval_seconds": 0.05},
    )
    operator.hook = SimpleNamespace(job_url_template=None)  # type: ignore[assignment]  # no Airflow connection here
    attempt = operator.new_attempt(context_of(operator))
    attempt.log = told = MagicMock()
    with Planasonix() as client:
        outcome = attempt.run(client, operator.run_request({}))
    assert outcome["status"] == "succeeded"
    [(last_level, (last_text,), _)] = told.mock_calls[-1:]
    assert "succeeded" in last_text
    assert last_level == level
    assert ("chargez does not exist" in last_text) == (level == "warning")
