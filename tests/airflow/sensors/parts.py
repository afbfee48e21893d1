"""What the tests of the sensors share: a context as a task has it, a sensor, what a trigger fires."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    TaskDeferred,
)

from airflow_provider_planasonix.sensors.job import PlanasonixJobSensor

KEY = "plnx_live_canary_sensors_51c7"
ORDERS = "conn_shop_orders"
LONG_AGO = "2026-01-01T00:00:00+00:00"
SINCE = {"connection_id": ORDERS, "since": LONG_AGO}
TRIGGER_ALONE = {**SINCE, "deferrable": True, "start_from_trigger": True}


class Context(dict[str, Any]):
    """What a sensor asks of a task's context."""

    def __init__(self) -> None:
        self.pushed: list[str] = []
        self.stored: dict[str, Any] = {}
        ti = SimpleNamespace(
            dag_id="d",
            run_id="r",
            task_id="wait",
            map_index=-1,
            try_number=1,
            xcom_push=lambda key, value: self.pushed.append(value),
            get_first_reschedule_date=lambda context: None,
        )
        super().__init__(ti=ti, task_state_store=SimpleNamespace(get=self.stored.get, set=self.stored.__setitem__))


def sensor(**fields: Any) -> PlanasonixJobSensor:
    return PlanasonixJobSensor(**{"task_id": "wait", "deferrable": False, **fields})


def deferred(task: Any, context: Context) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    return caught.value


def event_of(trigger: Any) -> dict[str, Any]:
    async def first() -> dict[str, Any]:
        return (await anext(trigger.run())).payload

    return asyncio.run(first())
