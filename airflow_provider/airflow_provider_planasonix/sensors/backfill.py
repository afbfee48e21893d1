"""Wait for a backfill: one by its id, or the first one of a connection since some moment."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_planasonix.sensors.run import PlanasonixRunSensor


class PlanasonixBackfillSensor(PlanasonixRunSensor):
    """Waits for a backfill that another task, or somebody outside of Airflow, started (facts §1.1). Cancels nothing.

        load = PlanasonixBackfillOperator(task_id="load", connection_id="conn_shop_orders", wait_for_completion=False)
        PlanasonixBackfillSensor(task_id="loaded", backfill_id=load.output)

    The list of backfills cannot be cut by time (facts §1.1): with `connection_id` and `since`, each look reads the list
    of all backfills of that connection.

    :param backfill_id: the backfill; also what `PlanasonixBackfillOperator` returned, its handle or its outcome, unless
        it loads in stages: those are many. Templated.

    All other parameters, what it returns and what it raises are those of `PlanasonixJobSensor`, without `job_type`.
    """

    template_fields = ("backfill_id", *PlanasonixRunSensor.template_fields)

    kind = "backfill"
    id_field: ClassVar[str] = "backfill_id"

    def __init__(self, *, backfill_id: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backfill_id = backfill_id
        self._check()
