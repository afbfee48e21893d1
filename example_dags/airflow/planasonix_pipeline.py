"""Run a pipeline with variables; start a slow one and put an end to it."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_planasonix.operators.cancel import PlanasonixCancelOperator
from airflow_provider_planasonix.operators.pipeline import PlanasonixRunPipelineOperator

with DAG(
    "planasonix_pipeline",
    schedule=None,
    params={"day": "2026-01-05"},
    default_args={"retries": 2},
    tags=["planasonix"],
    doc_md=__doc__,
):
    PlanasonixRunPipelineOperator(
        task_id="revenue",
        # By its exact name, looked up when the task runs; or `pipeline_id`.
        pipeline_name="daily_revenue",
        # The same day gives the same run: a retry that loads it again changes nothing.
        variables={"day": "{{ params.day }}"},
        deferrable=True,
    )

    # Returns the run's handle at once.
    close = PlanasonixRunPipelineOperator(
        task_id="close_the_ledger", pipeline_id="pl_ledger_close", wait_for_completion=False
    )

    # One that has ended already is no error, so that clearing this task does no harm.
    PlanasonixCancelOperator(task_id="not_today", handle=close.output)
