"""A long window in stages: one task, a job for each month, two at a time. A retry or a clear loads what is missing."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator

with DAG(
    "planasonix_stages",
    schedule=None,
    # Change them in the form of the Trigger button. A template may give any type: the list stays a list.
    params={
        "start_at": Param("2026-01-01T00:00:00Z", type="string", format="date-time"),
        "end_at": Param("2026-04-01T00:00:00Z", type="string", format="date-time"),
        "tables": Param(["analytics.fct_orders"], type="array"),
    },
    default_args={"retries": 2},
    tags=["planasonix"],
    doc_md=__doc__,
):
    PlanasonixBackfillOperator(
        task_id="load_history",
        connection_id="conn_analytics_wh",
        start_at="{{ params.start_at }}",
        end_at="{{ params.end_at }}",
        tables="{{ params.tables }}",
        stage="1mo",
        stage_timezone="UTC",
        # Many tenants run one backfill of a connection at a time; the others then wait their turn.
        max_active_stages=2,
        # Nothing new is started after two failures in a row: more of the same would not help.
        stop_after_failures=2,
        # The deadline of each stage's job, not of the whole task.
        timeout_seconds=6 * 3600,
        deferrable=True,
    )
