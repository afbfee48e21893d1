"""Who started the job, in Airflow's words (G7)."""

from __future__ import annotations

from typing import Any

from airflow_provider_planasonix.push.chain import deeper
from planasonix.runs import Provenance


def provenance_of(context: Any) -> Provenance:
    """`triggered_by` and `dag_run_id` as in the API's own example; no try number, which changes within an intent."""
    ti: Any = context["ti"]
    details: dict[str, str | int] = {"dag_id": ti.dag_id, "dag_run_id": ti.run_id, "task_id": ti.task_id}
    if ti.map_index is not None and ti.map_index >= 0:
        details["map_index"] = int(ti.map_index)
    if context.get("partition_key") is not None:
        details["partition_key"] = str(context["partition_key"])
    if link := getattr(ti, "log_url", None):
        # To the task, not to one of its tries.
        details["link"] = str(link).partition("?")[0]
    provenance = Provenance("airflow", f"airflow_dag_{ti.dag_id}", details)
    return deeper(provenance, context)
